"""What a configuration comes to: the sentence of a start, and what is told of settings that do nothing."""

from __future__ import annotations

from typing import Any

import pytest

from ptftpd.dhcp import advice
from ptftpd.dhcp.plan import plans
from ptftpd.settings import Class, Dhcp, Host, Menu, Pxe, Settings
from tests.machine.dhcp_site import MAC, NETWORK, OWN, ranges


@pytest.mark.parametrize(
    ("named", "mode", "sentence"),
    [
        ({}, "full", "253 addresses of 10.0.0.0-10.0.0.255; no boot file"),
        (
            {"dhcp": Dhcp(range=ranges(".50-.99"))},
            "full",
            "50 addresses of 10.0.0.50-10.0.0.99; no boot file",
        ),
        ({"dhcp": Dhcp(range=ranges(".50-.50"))}, "full", "1 address of 10.0.0.50-10.0.0.50; no boot file"),
        (
            {"dhcp": Dhcp(range=ranges(".2-.2", ".4-.4", ".6-.6", ".8-.8", ".10-.10"))},
            "full",
            "5 addresses of 10.0.0.2-10.0.0.2, 10.0.0.4-10.0.0.4, 10.0.0.6-10.0.0.6 and 2 more ranges; "
            "no boot file",
        ),
        (
            {"dhcp": Dhcp(exclude=ranges(".0-.255")), "hosts": {"a": Host(mac=MAC, address=OWN + 9)}},
            "full",
            "1 reserved address; no boot file",
        ),
        ({"pxe": Pxe(boot_file="x.0")}, "proxy", "boot files as a proxy, no addresses; boot file x.0"),
        (
            {"pxe": Pxe(boot=(("bios", "x.0"),)), "dhcp": Dhcp(range=ranges(".50-.99"))},
            "auto",
            "50 addresses of 10.0.0.50-10.0.0.99 unless another DHCP server answers; "
            "boot files by architecture",
        ),
        (
            {"pxe": Pxe(boot_file="x.0", boot=(("bios", "x.0"),))},
            "proxy",
            "boot files as a proxy, no addresses; boot file x.0 and others by architecture",
        ),
        (
            {"menus": {"Disk": Menu(local=True)}},
            "proxy",
            "boot files as a proxy, no addresses; a boot menu of 1",
        ),
        (
            {"classes": {"a": Class(boot_file="x")}},
            "proxy",
            "boot files as a proxy, no addresses; boot files by [class] and [host]",
        ),
    ],
)
def test_the_sentence_of_a_start(named: dict[str, Any], mode: str, sentence: str) -> None:
    """Two addresses where fifty were meant are seen before the third machine is without one."""
    settings = Settings(**named)
    assert advice.summary(settings, plans(settings, "eth0", OWN, NETWORK), mode) == sentence
