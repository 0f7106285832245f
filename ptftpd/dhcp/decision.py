"""The one boot decision for each client: the file of the most specific rule, or the menu."""

from __future__ import annotations

from dataclasses import replace

from ptftpd.dhcp import menu
from ptftpd.dhcp.boot import Boot, Rule, Rules, by_rule
from ptftpd.dhcp.pxe import Client
from ptftpd.dhcp.rules import boot_rules, class_rules
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
        self._prompt, self._timeout = settings.pxe.menu_prompt, settings.pxe.menu_timeout

    def boot(self, client: Client) -> Boot | None:
        """Return what a client is to boot, None when there is nothing for it.

        PXE firmware gets the menu in place of what its architecture alone would choose, with the file of the
        first entry for those that show no menus.
        """
        rule = self._rules.choose(client)
        if self._menu and client.shows_menus and (rule is None or rule.is_default):
            offered = self._offer(client)
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

    def _offer(self, client: Client) -> Boot | None:
        """Return the menu of the entries that suit a client, None when none does."""
        found = [(entry, by_rule(entry.rules.choose(client), client, self._server)) for entry in self._menu]
        suitable = [(entry, boot) for entry, boot in found if boot or entry.type == menu.LOCAL]
        if not any(boot for _, boot in suitable):
            return None
        shown = [entry for entry, _ in suitable]
        first = suitable[0][1] or Boot(self._server, "", f"[menu {shown[0].text.decode('ascii')}] local")
        return replace(first, menu=menu.encode(shown, self._own, self._prompt, self._timeout))
