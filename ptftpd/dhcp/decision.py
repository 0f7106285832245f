"""Who is answered, and the one boot decision for each client: the most specific rule, or the menu.

Whom to answer and what to tell are decided together. A client is answered that says it boots over the network
(Client.boots), or that a rule narrower than the architecture tells something: a [host], or a [class] by
hardware address, vendor class or switch port, with a boot file, options or a delay of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ptftpd.dhcp import menu
from ptftpd.dhcp.boot import Boot, Rule, Rules, by_rule
from ptftpd.dhcp.pxe import Client
from ptftpd.dhcp.rules import boot_rules, class_rules, host_rules
from ptftpd.settings import Settings


class Decision:
    """Knows what each client is to boot. The settings are all it depends on: DHCP, proxy and 4011 agree."""

    def __init__(self, settings: Settings, own: int) -> None:
        """own is this server's address on the interface; ConfigError when the menu cannot be shown."""
        self._own = own
        self._server = int(settings.pxe.tftp_server or own)
        self._rules = Rules(boot_rules(settings))
        self._menu = menu.entries(settings)
        slow = {f"[class {name}]": group for name, group in settings.classes.items() if group.reply_delay}
        self._slow = Rules(rule for name, group in slow.items() for rule in class_rules(name, group))
        self._delays = {name: group.reply_delay for name, group in slow.items()}
        self._named = Rules(_narrow_rules(settings))
        self._prompt, self._timeout = settings.pxe.menu_prompt, settings.pxe.menu_timeout

    def answers(self, client: Client) -> bool:
        """Return whether a client is for this server, lease or not; HTTP Boot only where it has a file."""
        if client.is_http:
            return self.boot(client) is not None
        return client.boots or bool(self._named.matching(client))

    def why(self, client: Client) -> str:
        """Return what makes a client one of this server's, '' for nothing; see answers()."""
        firmware = client.firmware
        reasons = (
            (client.ipxe, "it is iPXE"),
            (client.is_raspberry_pi, "it is a Raspberry Pi"),
            (client.says_architecture, "it names an architecture (option 93)"),
            (firmware and firmware.boots, f"its vendor class is that of {firmware.name if firmware else ''}"),
        )
        named = self._named.matching(client)
        return next((reason for is_so, reason in reasons if is_so), named[0].origin if named else "")

    def answers_as_proxy(self, client: Client) -> bool:
        """Return whether a proxy has an offer for a client.

        Not for firmware that would take an offer without address for one, nor for all that runs on a machine
        whose address is known: an installed system may do the same. A [class] by vendor class means it.
        """
        rule = self._rules.choose(client)
        named = rule is not None and bool(rule.vendor_class)
        return named or (client.boots and not client.takes_first_offer)

    def boot(self, client: Client) -> Boot | None:
        """Return what a client is to boot, None when there is nothing for it.

        PXE firmware gets the menu in place of what its architecture alone would choose, with the file of the
        first entry for those that show no menus.
        """
        rule = self._rules.choose(client)
        if self._menu and client.shows_menus and (rule is None or rule.is_default):
            offered = self._offer(client, rule)
            if offered:
                return offered
        return by_rule(rule, client, self._server)

    def chosen(self, client: Client, item: tuple[int, ...]) -> Boot | None:
        """Return what a client is to boot that asks port 4011, None for what another boot server may have.

        item is its boot item, type and layer (option 43.71); without one it has seen no menu yet.
        """
        if not item or item[0] == menu.LOCAL:
            return self.boot(client)
        for entry in self._menu:
            if entry.type == item[0]:
                boot = by_rule(entry.rules.choose(client), client, self._server)
                return boot and replace(boot, menu=menu.item(*item[:2]))
        return None

    def delay(self, client: Client) -> float:
        """Return how long replies to a client wait, seconds."""
        rule = self._slow.choose(client) if self._delays else None
        return self._delays[rule.origin] if rule else 0.0

    def candidates(self, client: Client) -> list[Rule]:
        """Return every rule with a boot file that the client could load, the most specific first."""
        return [rule for rule in self._rules.matching(client) if rule.is_loadable(client)]

    def _offer(self, client: Client, rule: Rule | None) -> Boot | None:
        """Return the menu of the entries that suit a client, None when none does.

        The local disk is offered alone where that is the whole menu, or where rule, which decides without a
        menu, is None: EDK2 that hears of nothing to boot looks for offers for a minute before it turns to the
        disk, and turns there at once when it is told to.
        """
        found = [(entry, by_rule(entry.rules.choose(client), client, self._server)) for entry in self._menu]
        suitable = [(entry, boot) for entry, boot in found if boot or entry.type == menu.LOCAL]
        only_local = not any(boot for _, boot in suitable)
        if not suitable or (only_local and rule is not None and len(suitable) < len(found)):
            return None
        shown = [entry for entry, _ in suitable]
        first = suitable[0][1] or Boot(self._server, "", f"[menu {shown[0].text.decode('ascii')}] local")
        timeout = 0 if only_local else self._timeout  # with nothing to choose there is nothing to wait for
        return replace(first, menu=menu.encode(shown, self._own, self._prompt, timeout))


def _narrow_rules(settings: Settings) -> Iterator[Rule]:
    """Yield the rules of the sections that name their clients, and have something to tell them."""
    for name, group in settings.classes.items():
        if group.boot_file or group.ipxe_file or group.option or group.reply_delay:
            yield from (rule for rule in class_rules(f"[class {name}]", group) if rule.is_narrow)
    for name, host in settings.hosts.items():
        if host.boot_file or host.ipxe_file or host.option:
            yield from host_rules(f"[host {name}]", host)
