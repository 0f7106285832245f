r"""How long a regular expression may take, told from its parts before it is used.

Python's re goes back and tries again, so that the time can grow with the length n of the name as n^2,
n^3 or even 2^n. The rule: an expression that strangers' names are tried on takes at most n^3 steps, and
where it takes n^3 the names are short. A part counts when it can end at several places at which what
follows it could begin: '.*' in front of a '/' does, '[^/]*' in front of a '/' does not. A repeat of such a
part is exponential.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from re import _constants as c  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

LONGEST = 512  # characters of a name: RFC 2347 allows so many in a whole request
CUBIC_LONGEST = 100  # of a name that n^3 steps are taken for: 170,000, as many as n^2 takes for the longest
MAX_DEGREE = 3
MANY = 16  # a repeat with so many more at most than at least counts as one without an end
MAX_CHOICES = 1024  # of all short optional parts together

ALL = (1 << 257) - 1  # sets of characters are bits: 0..255, and one bit for all above
Item = tuple[Any, Any]
REPEATS = (c.MAX_REPEAT, c.MIN_REPEAT)
ONE = {c.LITERAL, c.NOT_LITERAL, c.ANY, c.IN}  # what matches one character

_CATEGORIES = {
    c.CATEGORY_DIGIT: r"\d", c.CATEGORY_NOT_DIGIT: r"\D", c.CATEGORY_SPACE: r"\s",
    c.CATEGORY_NOT_SPACE: r"\S", c.CATEGORY_WORD: r"\w", c.CATEGORY_NOT_WORD: r"\W",
}  # fmt: skip


def longest(expression: str, flags: int = 0) -> int:
    """Return how long a name, in characters, the expression may be tried on; ValueError says why on none.

    The expression is one that re.compile() takes with these flags.
    """
    tree = _parser.parse(expression, flags)
    study = _Study(ignore_case=bool(tree.state.flags & re.IGNORECASE))
    items = list(tree)
    degree = study.degree(items, ALL)
    if not (items and items[0] in ((c.AT, c.AT_BEGINNING), (c.AT, c.AT_BEGINNING_STRING))):
        degree += 1  # it is tried at each place in the name
    if degree > MAX_DEGREE:
        raise ValueError(
            f"may take a very long time, n^{degree} steps for a name of n characters: begin it with ^, write "
            "[^/]* in place of .*, or use fewer of them"
        )
    if study.choices > MAX_CHOICES:
        raise ValueError("may take a very long time: it has too many optional parts, one beside the other")
    return CUBIC_LONGEST if degree == MAX_DEGREE else LONGEST


class _Study:
    """Adds up what the parts of one expression may cost."""

    def __init__(self, *, ignore_case: bool) -> None:
        self._ignore_case = ignore_case
        self.choices = 1  # of short optional parts, multiplied

    def degree(self, items: Sequence[Item], follow: int) -> int:
        """Return the power of n that a sequence may take; follow: what may begin behind it."""
        degree = 0
        for at in range(len(items) - 1, -1, -1):
            behind = self._first_of(items[at + 1 :], follow)
            degree = self._of_item(items[at], behind, degree)
        return degree

    def _of_item(self, item: Item, follow: int, rest: int) -> int:
        """Return the power that an item and what is behind it take; rest: what that takes alone."""
        kind, value = item
        if kind in REPEATS:
            return self._of_repeat(item, follow, rest)
        if kind is c.SUBPATTERN:
            return self._through(list(value[3]), follow, rest)
        if kind is c.BRANCH:
            return max(self._through(list(branch), follow, rest) for branch in value[1])
        if kind is c.GROUPREF_EXISTS:
            return max(self._through(list(branch or ()), follow, rest) for branch in value[1:])
        if kind in (c.ASSERT, c.ASSERT_NOT):
            return max(self.degree(list(value[1]), ALL), rest)
        if kind is c.ATOMIC_GROUP:
            return max(self.degree(list(value), ALL), rest)
        if kind is c.POSSESSIVE_REPEAT:
            return max(1, self.degree(list(value[2]), ALL), rest)
        return rest

    def _through(self, items: Sequence[Item], follow: int, rest: int) -> int:
        """Return the power of a group, whose parts multiply with what is behind it."""
        for at in range(len(items) - 1, -1, -1):
            rest = self._of_item(items[at], self._first_of(items[at + 1 :], follow), rest)
        return rest

    def _of_repeat(self, item: Item, follow: int, rest: int) -> int:
        least, most, body = item[1]
        items = list(body)
        begin = self._first_of(items, 0)
        if most > 1 and not self._is_one(items):
            self._check_body(items, begin)
        several_ends = most > least and bool(begin & follow)
        if most - least < MANY:
            if several_ends:
                self.choices = min(self.choices * (most - least + 1), MAX_CHOICES + 1)
            return self._through(items, begin | follow if most > 1 else follow, rest)
        rest = self._through(items, follow, rest)  # of the last time round
        return 1 + rest if several_ends else max(1, rest)

    def _check_body(self, items: Sequence[Item], begin: int) -> None:
        """Raise ValueError if what is repeated can match the same text in several ways."""
        problem = self._ambiguous(items, begin)
        if problem:
            raise ValueError(
                f"may take for ever: what is repeated has {problem}, so that the same text can be divided in "
                "many ways; write [^/]* in place of .*, or end what is repeated with what it does not contain"
            )
        if self._nullable(items):
            raise ValueError("may take for ever: what is repeated can be empty")

    def _ambiguous(self, items: Sequence[Item], follow: int) -> str:
        """Return what in a sequence can match in several ways before what follows, '' when nothing can."""
        for at, (kind, value) in enumerate(items):
            behind = self._first_of(items[at + 1 :], follow)
            problem = ""
            if kind in REPEATS:
                least, most, body = value
                begin = self._first_of(list(body), 0)
                if most > least and begin & behind:
                    return f"{_written([items[at]])} in it"
                problem = self._ambiguous(list(body), begin | behind)
            elif kind is c.SUBPATTERN:
                problem = self._ambiguous(list(value[3]), behind)
            elif kind is c.BRANCH:
                problem = self._alike(value[1], behind)
            elif kind in (c.GROUPREF, c.GROUPREF_EXISTS):
                problem = "a reference to a group in it"
            if problem:
                return problem
        return ""

    def _alike(self, branches: Sequence[Any], behind: int) -> str:
        """Return what is the matter if two of the alternatives may match the same text."""
        texts = [list(branch) for branch in branches]
        if all(kind is c.LITERAL for text in texts for kind, _ in text):
            words = sorted([value for _, value in text] for text in texts)
            alike = any(following[: len(word)] == word for word, following in pairwise(words))
        else:
            seen, alike = 0, False
            for text in texts:
                begin = self._first_of(text, behind)
                alike = alike or bool(seen & begin)
                seen |= begin
        if alike:
            return "alternatives in it that begin alike"
        return next(filter(None, (self._ambiguous(text, behind) for text in texts)), "")

    # What may begin ----------------------------------------------------------------------------

    def _is_one(self, items: Sequence[Item]) -> bool:
        """Return whether a sequence is exactly one character, in a group or not."""
        if len(items) == 1 and items[0][0] is c.SUBPATTERN:
            return self._is_one(list(items[0][1][3]))
        return len(items) == 1 and items[0][0] in ONE

    def _nullable(self, items: Sequence[Item]) -> bool:
        return all(self._first(item)[1] for item in items)

    def _first_of(self, items: Sequence[Item], follow: int) -> int:
        """Return the set of characters that a sequence, or what follows it, may begin with."""
        mask = 0
        for item in items:
            begin, nullable = self._first(item)
            mask |= begin
            if not nullable:
                return mask
        return mask | follow

    def _first(self, item: Item) -> tuple[int, bool]:
        """Return what an item may begin with, and whether it may be empty."""
        kind, value = item
        if kind in ONE:
            return self._set(kind, value), False
        if kind in REPEATS or kind is c.POSSESSIVE_REPEAT:
            body = list(value[2])
            return self._first_of(body, 0), value[0] == 0 or self._nullable(body)
        if kind in (c.SUBPATTERN, c.ATOMIC_GROUP):
            body = list(value[3] if kind is c.SUBPATTERN else value)
            return self._first_of(body, 0), self._nullable(body)
        if kind is c.BRANCH:
            bodies = [list(branch) for branch in value[1]]
            mask = 0
            for body in bodies:
                mask |= self._first_of(body, 0)
            return mask, any(map(self._nullable, bodies))
        if kind in (c.AT, c.ASSERT, c.ASSERT_NOT):
            return 0, True
        return ALL, True

    def _set(self, kind: Any, value: Any) -> int:
        """Return the characters that an item of one character matches, as bits."""
        if kind is c.LITERAL:
            return self._bit(value)
        if kind is c.NOT_LITERAL:
            return ALL ^ (self._bit(value) if value < 256 else 0)
        if kind is c.ANY:
            return ALL
        mask = 0
        for what, inner in value:
            if what is c.LITERAL:
                mask |= self._bit(inner)
            elif what is c.RANGE:
                for code in range(inner[0], min(inner[1], 256) + 1):
                    mask |= self._bit(code)
                mask |= 1 << 256 if inner[1] > 255 else 0
            elif what is c.CATEGORY:
                mask |= _category(inner)
        if value and value[0][0] is c.NEGATE:
            return ALL ^ mask | 1 << 256
        return mask

    def _bit(self, code: int) -> int:
        if code > 255:
            return 1 << 256
        mask = 1 << code
        if self._ignore_case:
            for other in (chr(code).lower(), chr(code).upper()):
                mask |= 1 << min(ord(other[0]), 256)
        return mask


def _category(which: Any) -> int:
    expression = re.compile(_CATEGORIES[which])
    return 1 << 256 | sum(1 << code for code in range(256) if expression.match(chr(code)))


def _written(items: Sequence[Item]) -> str:
    """Return the items as they may have been written."""
    text = ""
    for kind, value in items:
        if kind is c.LITERAL:
            text += re.escape(chr(value))
        elif kind is c.NOT_LITERAL:
            text += f"[^{chr(value)}]"
        elif kind is c.ANY:
            text += "."
        elif kind in REPEATS:
            least, most, body = value
            times = {(0, c.MAXREPEAT): "*", (1, c.MAXREPEAT): "+", (0, 1): "?"}.get((least, most))
            text += _written(list(body)) + (times or f"{{{least},{'' if most is c.MAXREPEAT else most}}}")
        elif kind is c.SUBPATTERN:
            text += f"({_written(list(value[3]))})"
        elif kind is c.IN:
            text += "[...]"
        else:
            text += "..."
    return text
