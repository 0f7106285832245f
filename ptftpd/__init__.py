"""ptftpd: TFTP, DHCP, proxyDHCP and BOOTP for network booting."""

__version__ = "2.0.0"
