"""Regular expressions that strangers' names are tried on: which are taken, and how long they may take."""

from __future__ import annotations

import re
import signal
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ptftpd.patterns import LONGEST, SHORTEST, longest

GOOD = [
    "", ".", "$", "^", "^/", "^/?tftpboot/", r"^/tftpboot/", r"\.key$", r"^/?private/", r"^(.*)[.]cfg$",
    r"^pxelinux\.cfg/(.*)$", r"^(.*)/(.*)\.cfg$", r"(.*)\.cfg", r"/([^/]+)\.cfg$", r"^[^/]+$",
    r"^(?:[^/]+/)*([^/]+)\.cfg$", r"^((?:[^/]+/)*)([^/]+)-(\d+)\.cfg$", r"^(?:/([^/]+))*x$",
    r"^(?!allowed/)", r"^(?!.*\.efi$)", r"^(?:(?!x).)*y$", r"(?i)^boot/", r"^(SEP|SIP|CTLS)([0-9A-F]{12})",
    r"^SEP([0-9A-F]{12})\.cnf\.xml$", r"([0-9a-f]{2}[:-]?){5}[0-9a-f]{2}", r"^\d{1,3}(\.\d{1,3}){3}/",
    r"^(?:foo|bar|baz)+/", r"^(.*)/(.*)/(.*)\.cfg$", r"^\w+/\d+-(.*)$", r"^([^/]*)/([^/]*)/([^/]*)/(.*)$",
    r"^(?P<dir>[^/]*)/(?P=dir)\.cfg$", r"a{2,5}", r"^(a|b)*c", r"^(?>.*)x", r"^(?:x*+y)+z", r"ü+",
    r"^(x?)(y?)z", r"[\w.-]+\.(?:efi|0|kpxe)$", r"^/*(.*)$",
    r"^(.*)/?(.*)$", r"^/?(?:tftpboot/)?(.*)$", r"^/?(?:boot|efi|EFI)/(?:x64/)?([^/]+)$",
    r"(?i)\.(?:cfg|CFG)$",
    r"^C:\\", r"^([A-Za-z]):", r"^[^/]", r"^/(.*)$", r"\\", r"^grub2?/(i386|x86_64)-efi/",
    r"(?i)^wdsnbp\.com$",
    r"^/?pxelinux\.cfg/01-([0-9a-f]{2}-){5}[0-9a-f]{2}$", r"(?i)\\boot\\bcd$", r"^(?i:boot)/(.*)$",
    r"^(.*)/?grub\.cfg-(?:01-)?([0-9A-Fa-f:-]+)$", r"^(SEP|SIP|CNF|SPA|RINGLIST|XMLDefault)[^/]*$",
    r"^((?:[^/]*/)*)([^/.]+)(?:\.efi)?(?:\.signed)?$", r"^/?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
    r"\\+", "[\udc80-\udcff]+$", r"(?x) ^ boot / ( .* ) $",
]  # fmt: skip
BAD = [
    r"^(.*/)*([^/]+)\.cnf$", r"^(a+)+$", r"^(a*)*$", r"^(a|a)*$", r"^(a|ab|b)*$", r"^(\w+\s?)*$", r"^(.*)*x",
    r"(?:a?)+b", r"^(?:.+,)+$", r"^(.*?,){11}P", r"(x+x+)+y", r"^(?:[a-z]+[0-9a-z]*/)*$", r"((a{1,3})*)*b",
    r"^(?:(?:ab)*)*c", r"^(.*)/(.*)/(.*)/(.*)\.cfg$", r"(.*)/(.*)/(.*)\.cfg$", r"(.*?)/(.*?)/(.*?)\.c",
    r"^(?:.*|x)+$", r"(?i)^(?:[a-z]*A)*$", r"^([^x]*y)*$", r"^(.)(?:\1*\1)*$", "a?" * 30 + "a" * 30,
    r"^((?:a|b)*)*$", r"(?:(.)|(..))*x",
    r"(?i)^(ab|AB)*c$", r"^(?i:(ab|AB))*c$", r"(?i)^(efi|EFI)+/x$", "(?i)^(?:\u017fb|sb)*c$",
    "^.*.*.*" + "a?" * 10 + "x", r"^.*.*.{0,15}.{0,15}.{0,3}!",
    r"^(?:(?=(?:(?=(?:(?=a*x)a)*x)a)*x)a)*$", "^" + "(?:a|aa)" * 20 + "b", r"(?m)^.*.*.*x",
]  # fmt: skip


@pytest.mark.parametrize("expression", GOOD)
def test_ordinary_expressions_are_taken(expression: str) -> None:
    re.compile(expression)
    assert SHORTEST <= longest(expression) <= LONGEST


@pytest.mark.parametrize("expression", BAD)
def test_what_may_stall_everybody_is_refused(expression: str) -> None:
    re.compile(expression)
    with pytest.raises(ValueError, match=r"^may take"):
        longest(expression)


def test_the_sentence_names_the_part() -> None:
    """The expression that took more than six seconds for 40 slashes."""
    with pytest.raises(ValueError, match=r"what is repeated has \.\* in it.*write \[\^/\]\* in place of"):
        longest(r"^(.*/)*([^/]+)\.cnf$")


def nasty(expression: str, length: int) -> list[str]:
    """Return names of a length that make an expression go back: its own characters again and again."""
    characters = set(re.sub(r"[^\w/.:,-]", "", expression)) | {"/", "a", "x", "0", ".", "\udcff", "-"}
    names = [character * length for character in sorted(characters)]
    pairs = [(first + second) * (length // 2) for first in "ax/0" for second in "/.-0b"]
    return [name + end for name in (*names, *pairs) for end in ("", "!", "\n")]


def slowest(expression: str) -> float:
    """Return the seconds that the nastiest name takes of those it is tried on."""
    compiled, length, worst = re.compile(expression), longest(expression) - 1, 0.0
    for name in nasty(expression, length):
        began = time.perf_counter()
        compiled.search(name)
        worst = max(worst, time.perf_counter() - began)
    return worst


def test_what_is_taken_is_bounded() -> None:
    """The time of the worst name is within a few times that of the plainest quadratic expression."""
    compiled, began = re.compile(r"(.*)\.cfg$"), time.perf_counter()
    for _ in range(10):
        compiled.search("/" * LONGEST)
    unit = (time.perf_counter() - began) / 10
    slow = {expression: slowest(expression) / unit for expression in GOOD}
    assert {expression: ratio for expression, ratio in slow.items() if ratio > 30} == {}


ATOMS = st.sampled_from(["a", "b", "ab", "A", ".", "[ab]", "[^/]", "/", r"\w", r"\d", "aa", "x", "(?i:a)"])
TIMES = st.sampled_from(["*", "+", "?", "*?", "+?", "{0,3}", "{2,}", "{1,15}", "{0,20}", "{20}"])
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("(?:{}){}".format, inner, TIMES),
        st.builds("({}|{})".format, inner, inner),
        st.builds("(?{}{})".format, st.sampled_from(["=", "!", "i:"]), inner),
    ),
    max_leaves=10,
)
TEXTS = ["a", "ab", "aB", "/", "a/", "0", "x", "aab", "AB"]
LATE = 1.0  # seconds: MAX_STEPS take 100 ms at most, and other programs run beside it


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(["", "^", "(?i)^", "(?i)"]),
    st.lists(EXPRESSIONS, min_size=1, max_size=4).map("".join),
    st.sampled_from(["", "$", "!", "c$"]),
)
def test_whatever_is_taken_is_bounded(begin: str, middle: str, end: str) -> None:
    """No name made to stress it takes an expression long, whatever it is put together of."""
    expression = begin + middle + end
    try:
        length, compiled = longest(expression), re.compile(expression)
    except ValueError:
        assume(False)
    signal.signal(signal.SIGALRM, _late)
    for text in TEXTS:
        name = (text * length)[: length - 1]
        signal.setitimer(signal.ITIMER_REAL, LATE)
        try:
            compiled.search(name)
            compiled.search(f"{name}!")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


def _late(number: int, frame: object) -> None:
    raise AssertionError("it takes too long")
