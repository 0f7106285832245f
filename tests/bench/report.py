"""What `make bench` found, as tables for a terminal and as a chart that the README shows.

python3 -m tests.bench.report [DIR]        bench.svg from the data in DIR, build/bench by default
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

WIDTH, LABEL, BAR, GAP = 900, 260, 15, 14  # pixels: of all, for a row's name, of one bar, between two rows
COLOURS = {
    "ptftpd": "#1f6feb", "tftpd-hpa": "#8c8c8c", "atftpd": "#b0a070", "dnsmasq": "#c97c5d",
    "pdhcpd": "#1f6feb", "kea-dhcp4": "#8c8c8c",
}  # fmt: skip
Data = Sequence[Mapping[str, Any]]


def machine() -> str:
    """Return what was measured on: the date, the kernel and the processor cores."""
    day = time.strftime("%Y-%m-%d")
    kernel = platform.release().partition("-")[0]
    return f"{day}, Linux {kernel}, {os.cpu_count()} cores, Python {platform.python_version()}"


def tables(data: Data, names: Sequence[str]) -> str:
    """Return the rates with their ratios, and what they cost."""
    lines = [f"{'MB/s, median':<34}" + "".join(f"{name:>11}" for name in names) + "  / best peer"]
    for row in data:
        middle, low, high = row["ratio"], row["ratio_low"], row["ratio_high"]
        remarks = [] if middle >= row["goal"] else [f"below {row['goal']:g}"]
        if "of_ceiling" in row:
            of_ceiling, goal = row["of_ceiling"][0], row["ceiling_goal"]
            below = "" if of_ceiling >= goal else f", below {goal:g}"
            remarks.append(f"{of_ceiling:.2f} of the ceiling{below}")
        if "two_workers" in row:
            remarks.append(f"{row['two_workers'][0]:.2f} with two workers")
        if row["failed"]:
            remarks.append(f"failed: {row['failed']}")
        lines.append(f"{row['row']:<34}{_cells(row['rates'], names, '.1f')}  {middle:.2f} "
                     f"({low:.2f}-{high:.2f})  {', '.join(remarks)}".rstrip())  # fmt: skip
    for key, title, scale, form in (
        ("first_p99", "99 % have a block after, ms", 1e3, ".1f"),
        ("slowest", "slowest client / median one", 1, ".2f"),
        ("cpu", "CPU seconds a gigabyte", 1, ".2f"),
        ("memory", "peak memory above idle, MB", 1e-6, ".1f"),
    ):
        lines += ["", f"{title:<34}" + "".join(f"{name:>11}" for name in names)]
        for row in data:
            values = {name: value * scale for name, value in row[key].items()}
            lines.append(f"{row['row']:<34}{_cells(values, names, form)}")
    return "\n".join(lines)


def start_table(
    medians: Mapping[str, Mapping[str, float]], goals: Mapping[str, float], names: Sequence[str]
) -> str:
    """Return how soon the servers are ready and what they take then, with the goals of ours."""
    lines = [f"{'median':<34}" + "".join(f"{name:>11}" for name in names) + "  goal"]
    for row, values in medians.items():
        goal = f"  at most {goals[row]:.0f}" if row in goals else ""
        lines.append(f"{row:<34}{_cells(values, names, '.1f')}{goal}")
    return "\n".join(lines)


def _cells(values: Mapping[str, float], names: Iterable[str], form: str) -> str:
    return "".join(f"{values[name]:>11{form}}" if name in values else f"{'-':>11}" for name in names)


def chart(groups: Sequence[tuple[str, Mapping[str, float], str]], title: str, foot: str) -> str:
    """Return an SVG image of bars: for each group its name, the value of each server, and the unit.

    Each group has its own scale: the longest bar is the fastest server's.
    """
    parts = [f'<text x="10" y="22" class="title">{escape(title)}</text>']
    y = 40
    for name, values, unit in groups:
        parts.append(f'<text x="{LABEL - 10}" y="{y + BAR - 3}" text-anchor="end">{escape(name)}</text>')
        longest = max(values.values()) or 1.0
        for server, value in values.items():
            length = value / longest * (WIDTH - LABEL - 190)
            weight = ' class="ours"' if server in ("ptftpd", "pdhcpd") else ""
            parts.append(
                f'<rect x="{LABEL}" y="{y}" width="{max(length, 1):.1f}" height="{BAR - 2}" '
                f'fill="{COLOURS[server]}"/><text x="{LABEL + length + 6:.1f}" y="{y + BAR - 4}"{weight}>'
                f"{value:,.0f} {unit} {escape(server)}</text>"
            )
            y += BAR
        y += GAP
    parts.append(f'<text x="10" y="{y + 8}" class="foot">{escape(foot)}</text>')
    style = (
        "text{font:12px sans-serif;fill:#333}.title{font-size:16px}.ours{font-weight:bold}.foot{fill:#777}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 20}" '
        f'viewBox="0 0 {WIDTH} {y + 20}">\n<style>{style}</style>\n'
        f'<rect width="{WIDTH}" height="{y + 20}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def groups_of(
    tftp: Mapping[str, Any], dhcp: Mapping[str, Any] | None, start: Mapping[str, Any] | None
) -> list[tuple[str, dict[str, float], str]]:
    """Return what the chart shows of the data."""
    groups = []
    for row in tftp["rows"]:
        rates = {name: rate for name, rate in row["rates"].items() if name in COLOURS and rate}
        groups.append((row["row"], rates, "MB/s"))
    if dhcp:
        held = {name: sorted(each["held"])[len(each["held"]) // 2] for name, each in dhcp.items()}
        groups.append(("DHCP, highest rate held", held, "exchanges/s"))
    if start:
        for row, servers in start["rows"].items():
            name, _, unit = row.rpartition(", ")
            aim = f"goal {start['goals'][row]:.0f}" if row in start["goals"] else "less is better"
            values = {server: statistics.median(each) for server, each in servers.items()}
            groups.append((f"{name}, {aim}", values, unit))
    return groups


def main() -> int:
    """Draw the chart."""
    parser = argparse.ArgumentParser(description="Draw the chart of what was measured.")
    parser.add_argument("directory", nargs="?", type=Path, default=Path("build/bench"))
    directory = parser.parse_args().directory
    tftp = json.loads((directory / "tftp.json").read_text())
    others = [directory / f"{name}.json" for name in ("dhcp", "start")]
    groups = groups_of(tftp, *(json.loads(path.read_text()) if path.exists() else None for path in others))
    foot = f"Medians of {tftp['rounds']} interleaved rounds, {tftp['machine']}; make bench"
    (directory / "bench.svg").write_text(chart(groups, "Octets a second, servers side by side", foot))
    print(f"{directory / 'bench.svg'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
