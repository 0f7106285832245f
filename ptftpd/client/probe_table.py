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
        speed = f"{amount(_rate(rate))}/s"
        remark = rate.failed or (f"{rate.resent} resent" if rate.resent else "")
        lines.append(f"{rate.blksize:>8}{rate.windowsize:>12}{speed:>14}  {remark}".rstrip())
    best = largest(report)
    quickest = fastest(report)
    if best and quickest:
        lines += ["", f"fastest: blksize {quickest[0]}, windowsize {quickest[1]}"]
        lines += [f"largest that work: blksize {best[0]}, windowsize {best[1]}"]
        if best[0] > report.carried:
            lines[-1] += f" (the route carries blocks up to {report.carried} in one piece)"
    return lines


def largest(report: Report) -> tuple[int, int] | None:
    """Return the largest (blksize, windowsize) that nothing broke off by; None when there is none."""
    good = [rate for rate in report.rates if not rate.failed]
    if not good:
        return None
    return max(rate.blksize for rate in good), max(rate.windowsize for rate in good)


def fastest(report: Report) -> tuple[int, int] | None:
    """Return the (blksize, windowsize) that nothing is faster than; None when there is none."""
    good = [rate for rate in report.rates if not rate.failed]
    if not good:
        return None
    rate = max(good, key=_rate)
    return rate.blksize, rate.windowsize


def facts(report: Report) -> dict[str, object]:
    """Return what was found for JSON."""
    best, quickest = largest(report), fastest(report)
    return {
        "round_trip": report.round_trip,
        "carried": report.carried,
        "options": {answer.name: answer.granted or None for answer in report.answers},
        "rates": [{**dataclasses.asdict(rate), "rate": _rate(rate)} for rate in report.rates],
        "fastest": _sizes(quickest),
        "largest": _sizes(best),
    }


def _sizes(sizes: tuple[int, int] | None) -> dict[str, int] | None:
    return dict(zip((options.BLKSIZE, options.WINDOWSIZE), sizes, strict=True)) if sizes else None


def _rate(rate: Rate) -> int:
    return int(rate.octets / max(rate.seconds, 1e-6))
