"""On which line each setting is said to be: configparser does not tell, so it is counted while it reads.

That rests on when configparser asks for a line and for a key. It reads differently from Python 3.13 on, which
Debian 13 has, so that this runs on both.
"""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ptftpd import config
from ptftpd.errors import ConfigError
from tests.base.setting_texts import EVERYTHING

# Settings that there are not: each is told with its line.
KEYS = ("alpha", "Beta", "gamma x", "delta", "epsilon")
PADDING = st.sampled_from(["", "   ", "# comment", "; comment", "  # indented comment", "\t"])
CONTINUED = st.sampled_from(["  more", "\tmore = still", "    # a comment within", "  [no section]"])


@st.composite
def files(draw: st.DrawFn) -> tuple[list[str], dict[str, int]]:
    """Return the lines of a file, and on which of them each key is."""
    lines: list[str] = []
    places: dict[str, int] = {}
    for section, keys in (("tftp", KEYS[:3]), ("host some name", KEYS[3:])):
        lines += draw(st.lists(PADDING, max_size=2))
        lines.append(f"[{section}]{draw(st.sampled_from(['', '  # x']))}")
        for key in keys:
            lines += draw(st.lists(PADDING, max_size=2))
            lines.append(f"{key} = {draw(st.sampled_from(['', 'value', 'a # b', 'a = b']))}")
            places[key.lower()] = len(lines)
            lines += draw(st.lists(CONTINUED, max_size=2))
    return lines, places


@given(written=files(), end=st.sampled_from(["\n", "\r\n"]))
def test_every_line(tmp_path_factory: object, written: tuple[list[str], dict[str, int]], end: str) -> None:
    """Whatever stands between the settings, and however a value goes on."""
    lines, places = written
    path = Path(tmp_path_factory.mktemp("ini") / "conf")  # type: ignore[attr-defined]
    path.write_text(end.join(lines), newline="")
    told: dict[str, int] = {}
    try:
        config.load(EVERYTHING, ["-c", str(path)])
    except ConfigError as error:
        for line in str(error).splitlines():
            place, setting = line.removeprefix(f"{path}:").split(": ")[:2]
            told[setting.partition("] ")[2]] = int(place)
    assert told == places
