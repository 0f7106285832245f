"""What systemd and a service say to each other: sockets handed over, the watchdog, notifications.

All of it is in environment variables, which anybody may have set. A variable that is not as its manual page
says is an error with a sentence where something hangs on it, as on the sockets; else it counts as absent.

python3-systemd says what a descriptor is and whether systemd runs. It is not what notifies systemd or writes
to the journal: it would wait for whoever reads there.
"""

from __future__ import annotations

import os
import re
import socket

from systemd import daemon

from ptftpd.errors import ConfigError

Sockets = dict[str, list[socket.socket]]  # by FileDescriptorName

FIRST = 3  # the descriptor of the first socket (sd_listen_fds(3))
NAMES = ("tftp", "dhcp", "pxe")  # those that our units give to their sockets
MANY = 1000  # sockets, at most: systemd hands over as many as the units name
PULSE = 10.0  # seconds between two reports of the status, at most
SHORTEST = (
    0.05  # seconds between two; a watchdog that wants more signs of life is none that could be satisfied
)
PATIENCE = 1.0  # seconds that systemd gets to take what must not be lost


def sockets() -> Sockets:
    """Return the sockets that systemd handed over, and take the variables that told of them out of the way.

    Those of another process, by LISTEN_PID, are not ours. ConfigError when one cannot be served.
    """
    owner, told, called = (os.environ.pop(f"LISTEN_{name}", None) for name in ("PID", "FDS", "FDNAMES"))
    if owner != str(os.getpid()) or told is None:
        return {}
    count = _number(told)
    if count is None or count > MANY:
        reason = f"must be the number of sockets from systemd, at most {MANY}"
        raise ConfigError(reason, source=f"LISTEN_FDS={told}")
    names = called.split(":") if called else ["unknown"] * count
    if len(names) != count:
        reason = f"must name as many sockets as LISTEN_FDS says, {count}"
        raise ConfigError(reason, source=f"LISTEN_FDNAMES={called}")
    found: Sockets = {}
    for fd, name in enumerate(names, FIRST):
        found.setdefault(name, []).append(_socket(fd, name))
    return found


def _socket(fd: int, name: str) -> socket.socket:
    """Return the socket that a descriptor is; ConfigError when it is none that we can serve."""
    source = f"descriptor {fd} from systemd, {name}"
    try:
        if not daemon.is_socket(fd):
            raise ConfigError("is not a socket", source=source)
    except OSError:
        raise ConfigError("is not open", source=source) from None
    os.set_inheritable(fd, False)
    sock = socket.socket(fileno=fd)
    internet = sock.family in {socket.AF_INET, socket.AF_INET6}
    if not internet or sock.type != socket.SOCK_DGRAM or not sock.getsockname()[1]:
        reason = "is not a UDP socket with a port: its .socket unit needs ListenDatagram=PORT"
    elif name not in NAMES:
        reason = f"must be called one of {', '.join(NAMES)}: its .socket unit needs FileDescriptorName="
    else:
        return sock
    sock.detach()  # it is systemd's
    raise ConfigError(reason, source=source)


def pulse() -> float:
    """Return the seconds between two signs of life, half of a watchdog's time (sd_watchdog_enabled(3))."""
    microseconds = _number(os.environ.get("WATCHDOG_USEC", ""))
    ours = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    if not (microseconds and ours):
        return PULSE
    return min(PULSE, max(SHORTEST, microseconds / 2e6))


def notify(state: str) -> None:
    """Tell systemd, when it asked for that (sd_notify(3)); a STATUS, which comes last, is made one line.

    Nobody who does not listen there is waited for, but a second for what must not be lost.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in {"/", "@"}:
        return
    head, _, status = state.partition("STATUS=")
    if status:
        state = f"{head}STATUS={status.replace(chr(10), '; ')}"
    matters = any(f"{name}=" in head for name in ("READY", "RELOADING", "STOPPING"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE if matters else 0)
        try:
            sock.connect(f"\0{address[1:]}" if address[0] == "@" else address)
            sock.send(state.encode(errors="surrogateescape"))
        except (OSError, UnicodeError):
            pass  # nobody listens there: serving goes on


def booted() -> bool:
    """Return whether systemd runs this machine (sd_booted(3))."""
    return bool(daemon.booted())


def _number(text: str) -> int | None:
    """Return a number without sign, None for another text; Python takes digits of any script."""
    return int(text) if re.fullmatch("[0-9]{1,20}", text) else None
