"""What probing a server found, as a table and as JSON."""

from __future__ import annotations

import dataclasses

from ptftpd.client.probe import Rate, Report
from ptftpd.log import amount
from ptftpd.tftp import options


def table(report: Report) -> list[str]:
    """Return the lines that say what was found."""
    lines = [f"{'option':<12}{'asked':>8}  answer"]
    for answer in report.answers:
        said = answer.granted or (f"refused: {answer.refusal}" if answer.refusal else "left out")
        lines.append(f"{answer.name:<12}{answer.asked:>8}  {said}")
    lines += ["", f"{'blksize':>8}{'windowsize':>12}{'rate':>14}"]
    for rate in report.rates:
        speed = f"{amount(rate.octets / max(rate.seconds, 1e-6))}/s"
        lines.append(
            f"{rate.blksize:>8}{rate.windowsize:>12}{speed:>14}" + (f"  {rate.failed}" if rate.failed else "")
        )
    best = largest(report)
    if best:
        lines += ["", f"largest that work: blksize {best[0]}, windowsize {best[1]}"]
        if best[0] > report.carried:
            lines[-1] += f" (the route carries blocks up to {report.carried} in one piece)"
    return lines


def largest(report: Report) -> tuple[int, int] | None:
    """Return the largest (blksize, windowsize) that nothing broke off by; None when there is none."""
    good = [rate for rate in report.rates if not rate.failed]
    if not good:
        return None
    return max(rate.blksize for rate in good), max(rate.windowsize for rate in good)


def facts(report: Report) -> dict[str, object]:
    """Return what was found for JSON."""
    best = largest(report)
    return {
        "round_trip": report.round_trip,
        "carried": report.carried,
        "options": {answer.name: answer.granted or None for answer in report.answers},
        "rates": [{**dataclasses.asdict(rate), "rate": _rate(rate)} for rate in report.rates],
        "largest": dict(zip((options.BLKSIZE, options.WINDOWSIZE), best, strict=True)) if best else None,
    }


def _rate(rate: Rate) -> int:
    return int(rate.octets / max(rate.seconds, 1e-6))
