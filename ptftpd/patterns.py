r"""How long a regular expression may take, told from its parts before it is used.

Python's re goes back and tries again, so that the time can grow with the length n of the name as n^2,
n^3 or even 2^n. The rule: no name takes an expression more than MAX_STEPS steps, of the whole of it: the
places at which its long parts can end, n^d / d! for d of them, times the ends of each short optional part,
times the alternatives that may match at one place. A part counts when it can end at several places at which
what follows it could begin: '.*' in front of a '/' does, '[^/]*' in front of a '/' does not. Longer names
are not tried on an expression that would take more for them; one that takes more for names of SHORTEST
characters is refused, and so is a repeat of what can match the same text in several ways, which is
exponential. Where the case of letters may be ignored, letters are alike in both cases. What cannot be told
counts as the worse.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from re import _constants as c  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

LONGEST = 512  # characters of a name: RFC 2347 allows so many in a whole request
SHORTEST = 100  # characters of a name that every expression takes: few are longer
MAX_STEPS = 200_000  # for one name: 2 to 100 ms. n^2 / 2 for the longest name is 131,072
MANY = 16  # a repeat with so many more at most than at least counts as one without an end

ALL = (1 << 257) - 1  # sets of characters are bits: 0..255, and one bit for all above
RELATED = "iIkKsS\xb5\xc5\xe5\xdf\xff"  # letters that are others above 255 in the other case
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
    study = _Study(fold=bool(tree.state.flags & re.IGNORECASE) or _may_set("i", expression))
    items = list(tree)
    degree = study.degree(items, ALL)
    first = items[0] if items else None
    lines = bool(tree.state.flags & re.MULTILINE) or _may_set("m", expression)  # ^ is then in many places
    if lines or first not in ((c.AT, c.AT_BEGINNING), (c.AT, c.AT_BEGINNING_STRING)):
        degree += 1  # it is tried at each place in the name
    most = MAX_STEPS * math.factorial(degree) // study.choices  # n^degree at most
    length = LONGEST
    while length >= SHORTEST and length**degree > most:
        length -= 1
    if length >= SHORTEST:
        return length
    if degree > 2:
        raise ValueError(
            f"may take a very long time, n^{degree} steps for a name of n characters: begin it with ^, write "
            "[^/]* in place of .*, or use fewer of them"
        )
    raise ValueError(
        "may take a very long time: it has too many optional parts or alternatives beside others"
    )


def _may_set(flag: str, expression: str) -> bool:
    """Return whether an expression may set a flag somewhere: (?i), or (?i:...) for a part of it."""
    return bool(re.search(rf"\(\?[a-zA-Z]*{flag}", expression))


class _Study:
    """Adds up what the parts of one expression may cost."""

    def __init__(self, *, fold: bool) -> None:
        """fold: whether letters may match in either case."""
        self._fold = fold
        self.choices = 1  # of short optional parts and alternatives, multiplied

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
            if self._alike(value[1], follow):
                self.choices *= len(value[1])
            return max(self._through(list(branch), follow, rest) for branch in value[1])
        if kind is c.GROUPREF:
            return max(1, rest)  # it is as long as its group
        if kind is c.GROUPREF_EXISTS:
            return max(self._through(list(branch or ()), follow, rest) for branch in value[1:])
        if kind in (c.ASSERT, c.ASSERT_NOT):
            return max(self.degree(list(value[1]), ALL), rest)
        if kind is c.ATOMIC_GROUP:
            return max(self.degree(list(value), ALL), rest)
        if kind is c.POSSESSIVE_REPEAT:
            return max(1 + self.degree(list(value[2]), ALL), rest)
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
        # What is looked at ahead, and given up, in each round: rounds times what that takes.
        ahead = self._ahead(items)
        if most - least < MANY and most < MANY * 2:
            if several_ends:
                self.choices *= most - least + 1
            if ahead >= 0:
                self.choices *= max(1, most)
            return self._through(items, begin | follow if most > 1 else follow, rest)
        rest = self._through(items, follow, rest)  # of the last time round
        return max(1 + rest if several_ends else max(1, rest), 1 + ahead)

    def _ahead(self, items: Sequence[Item]) -> int:
        """Return the highest power that what is looked at ahead in a sequence takes, -1 if there is none."""
        degree = -1
        for kind, value in items:
            if kind in (c.ASSERT, c.ASSERT_NOT):
                degree = max(degree, _Study(fold=self._fold).degree(list(value[1]), ALL))
            elif kind in (c.ATOMIC_GROUP, c.POSSESSIVE_REPEAT):
                inner = list(value if kind is c.ATOMIC_GROUP else value[2])
                degree = max(degree, 1 + _Study(fold=self._fold).degree(inner, ALL))
            elif kind in REPEATS:
                within = self._ahead(list(value[2]))
                degree = max(degree, within + 1 if within >= 0 else -1)
            elif kind is c.SUBPATTERN:
                degree = max(degree, self._ahead(list(value[3])))
            elif kind in (c.BRANCH, c.GROUPREF_EXISTS):
                branches = value[1] if kind is c.BRANCH else value[1:]
                degree = max(degree, *(self._ahead(list(branch or ())) for branch in branches))
        return degree

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
        ascii_only = all(kind is c.LITERAL and value < 128 for text in texts for kind, value in text)
        if ascii_only or (not self._fold and all(kind is c.LITERAL for text in texts for kind, _ in text)):
            words = sorted([self._letter(value) for _, value in text] for text in texts)
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
            return ALL ^ (1 << value if value < 256 else 0)
        if kind is c.ANY:
            return ALL
        negate = bool(value) and value[0][0] is c.NEGATE
        mask = 0
        for what, inner in value:
            if what is c.LITERAL:
                mask |= self._bit(inner, exact=negate)
            elif what is c.RANGE:
                for code in range(inner[0], min(inner[1], 256) + 1):
                    mask |= self._bit(code, exact=negate)
                mask |= self._bit(256, exact=negate) if inner[1] > 255 else 0
            elif what is c.CATEGORY:
                mask |= _category(inner)
        return ALL ^ mask | 1 << 256 if negate else mask

    def _bit(self, code: int, *, exact: bool = False) -> int:
        """Return a character as a bit, and all that it may match; exact: only itself."""
        mask = 1 << min(code, 256)
        if self._fold and not exact:
            if code > 255 or chr(code) in RELATED:
                mask = 1 << 256 | sum(1 << ord(letter) for letter in RELATED)
            for other in (chr(code).lower(), chr(code).upper()):
                mask |= 1 << min(ord(other[0]), 256)
        return mask

    def _letter(self, code: int) -> int:
        return ord(chr(code).lower()) if self._fold and code < 128 else code


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
