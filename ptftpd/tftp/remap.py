"""The [remap] rules: they rewrite the names that clients ask for, or refuse them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ptftpd.errors import ConfigError, Faults, FileError
from ptftpd.patterns import LONGEST, longest
from ptftpd.settings import Remap
from ptftpd.tftp.names import Facts, relative

ANY_NAME = (
    "\0/\0.\0"  # a name that nobody has: an expression that matches it means names by what they are not
)


@dataclass(frozen=True)
class _Rule:
    """One rule, ready for use."""

    name: str
    remap: Remap
    expressions: tuple[re.Pattern[str], ...]  # the second one, if there are two, ignores case
    longest: int  # characters of a name that they may be tried on
    catch_all: bool

    def search(self, name: str) -> re.Match[str] | None:
        """Return where the rule matches a name."""
        if len(name) > self.longest:
            reason = (
                f"the name is longer than {self.longest} characters, which is all that rule {self.name} reads"
            )
            raise FileError(FileError.DENIED, reason)
        return next(filter(None, (expression.search(name) for expression in self.expressions)), None)


class Rules:
    """The [remap] rules, in order.

    What a rule refuses under one spelling is refused under all: they are tried on the name as it came, on its
    canonical form, on what a quirk makes of it, and on the real path of the file that was found.
    """

    def __init__(
        self,
        remaps: Iterable[tuple[str, Remap]],
        sources: Mapping[tuple[str, str], str] | None = None,
        *,
        ignore_case: bool = False,
    ) -> None:
        """remaps: (name of the rule, its settings). sources: where each was written.

        ignore_case: files are found by names that differ in case, so what refuses has to do so too.
        ConfigError when a replacement names a group that the expression does not have.
        """
        self._sources = sources or {}
        self._rules: list[_Rule] = []
        faults = Faults()
        for name, remap in remaps:
            with faults.noted():
                self._rules.append(self._rule(name, remap, ignore_case=ignore_case))
        faults.check()
        self._refusing = any(rule.remap.refuse for rule in self._rules)

    def apply(self, name: str, facts: Facts, *, writing: bool) -> tuple[str, list[str]]:
        """Return the rewritten name and the rules that changed it; FileError when one refuses it."""
        rewritten = self._chain(name, facts, writing=writing)
        try:
            path = relative(name)
        except FileError:
            return rewritten  # it is refused for that, unless a rule made something else of it
        self.check(path, facts, writing=writing, slash=name.startswith(("/", "\\")))
        return rewritten

    def check(self, path: str, facts: Facts, *, writing: bool, slash: bool | None = None) -> None:
        """Raise FileError when a rule refuses a canonical path, with or without a slash in front.

        slash: whether the name came with one. A rule that means names by what they are not ('all but boot/')
        would refuse one of the two spellings of any name, so it is tried on that which the client used; on
        neither (None) if the path is not the client's own, but what the name led to.
        """
        if not self._refusing:
            return
        for spelling, own in ((path, slash is False), (f"/{path}", slash is True)):
            self._chain(spelling, facts, writing=writing, catch_all=own)

    def _chain(
        self, name: str, facts: Facts, *, writing: bool, catch_all: bool = True
    ) -> tuple[str, list[str]]:
        """Return what the rules make of a name, in order; catch_all: whether such ones may refuse it."""
        used: list[str] = []
        for rule in self._rules:
            remap = rule.remap
            if remap.request == ("read" if writing else "write") or (rule.catch_all and not catch_all):
                continue
            match = rule.search(name)
            if match is None:
                continue
            if remap.refuse:
                raise FileError(FileError.DENIED, f"{remap.refuse} (rule {rule.name})")
            replacement = facts.fill(remap.replace, escape=True)
            if replacement is None:
                continue  # the rule is for clients of whom more is known
            name = name[: match.start()] + match.expand(replacement) + name[match.end() :]
            if len(name) > LONGEST:
                reason = f"rule {rule.name} makes the name longer than {LONGEST} characters"
                raise FileError(FileError.DENIED, reason)
            used.append(rule.name)
            if remap.last:
                break
        return name, used

    def _rule(self, name: str, remap: Remap, *, ignore_case: bool) -> _Rule:
        refuses_any_case = ignore_case and bool(remap.refuse)
        flags = (0, re.IGNORECASE) if refuses_any_case else (0,)
        try:
            expressions = tuple(re.compile(remap.match, flag) for flag in flags)
            characters = min(longest(remap.match, flag) for flag in flags)
        except ValueError as error:
            raise self._misfit(name, "match", remap.match, str(error)) from None
        try:
            expressions[0].sub(remap.replace, "")  # reads the replacement whether or not it is used
        except (re.error, IndexError) as error:
            reason = f"must fit match = {remap.match}: {error}"
            raise self._misfit(name, "replace", remap.replace, reason) from None
        catch_all = bool(remap.refuse) and any(each.search(ANY_NAME) for each in expressions)
        return _Rule(name, remap, expressions, characters, catch_all)

    def _misfit(self, rule: str, key: str, value: str, reason: str) -> ConfigError:
        section = f"remap {rule}"
        source = self._sources.get((section, key), "")
        return ConfigError(reason, source=source, setting=f"[{section}] {key} = {value}")
