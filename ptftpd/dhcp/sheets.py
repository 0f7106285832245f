"""The options that each client is told.

What is set for one host wins over what is set for its classes, a narrower class over a wider one, a class
over the network, and the network over [dhcp]: option in [host NAME], [class NAME], [subnet NAME], [dhcp].
"""

from __future__ import annotations

from collections.abc import Iterable

from ptftpd.dhcp import pxe
from ptftpd.dhcp.boot import Rule, Rules
from ptftpd.dhcp.registry import Option
from ptftpd.dhcp.rules import class_rules, host_rules
from ptftpd.dhcp.sheet import Sheet, told, with_default_route
from ptftpd.settings import Settings

MAX_MIXTURES = 256  # sets of rules that match together: more than a site's classes make, 1 MB of options


class Sheets:
    """Knows what each client is told."""

    def __init__(self, settings: Settings) -> None:
        """Takes [class NAME] and [host NAME]; what a network tells is given to each question."""
        self._set: dict[str, Sheet] = {}
        rules: list[Rule] = []
        for name, group in settings.classes.items():
            rules += self._add(group.option, class_rules(f"[class {name}]", group))
        for name, host in settings.hosts.items():
            rules += self._add(host.option, host_rules(f"[host {name}]", host))
        self._rules = Rules(rules)
        self._mixtures: dict[tuple[int, tuple[str, ...]], Sheet] = {}

    def sheet(self, network: Sheet, client: pxe.Client) -> Sheet:
        """Return what a client is told on a network; neither is changed by that."""
        if not self._set:
            return network
        matching = tuple(rule.origin for rule in self._rules.matching(client))
        mixture = self._mixtures.get((id(network), matching))
        if mixture is None:
            if len(self._mixtures) >= MAX_MIXTURES:
                self._mixtures.clear()
            mixture = dict(network)
            for origin in reversed(matching):
                mixture |= self._set[origin]
            mixture = with_default_route(mixture)
            self._mixtures[id(network), matching] = mixture
        return mixture

    def _add(self, chosen: Iterable[Option], rules: list[Rule]) -> list[Rule]:
        """Take the options of one section, which these rules choose; return the rules if there are any."""
        sheet = told(f"{rules[0].origin} option", chosen) if rules else {}
        if not sheet:
            return []
        self._set[rules[0].origin] = sheet
        return rules
