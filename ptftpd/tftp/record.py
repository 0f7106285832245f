"""The record of a transfer: what was sent to whom, how fast, and what went wrong."""

from __future__ import annotations

from ptftpd.log import INFO, WARNING, Log, amount
from ptftpd.texts import cut
from ptftpd.tftp import options, wire
from ptftpd.tftp.outcome import OK, Failure, Outcome
from ptftpd.tftp.receiver import Receiver
from ptftpd.tftp.request import Request
from ptftpd.tftp.sender import Sender

CLOSED = Failure(wire.UNDEFINED, "it closed its port")  # as ICMP says


def record(
    log: Log,
    request: Request,
    machine: Sender | Receiver,
    terms: options.Terms,
    path: str,
    outcome: Outcome,
    seconds: float,
) -> None:
    """Write the one record of a transfer that took so many seconds."""
    octets, name, client = machine.octets, request.name, request.peer[0]
    facts = {
        "TFTP_CLIENT": client, "TFTP_FILE": name, "TFTP_PATH": path, "TFTP_BYTES": octets,
        "TFTP_SECONDS": f"{seconds:.3f}", "TFTP_RATE": int(octets / seconds), "TFTP_BLOCKS": machine.blocks,
        "TFTP_RESENT": machine.resent, "TFTP_MODE": request.mode,
        "TFTP_OPTIONS": " ".join(f"{option}={value}" for option, value in terms.granted),
        "TFTP_QUIRKS": ", ".join(request.quirks),
    }  # fmt: skip
    remarks = [f"{machine.resent} resent"] if machine.resent else []
    extra = "".join(f", {remark}" for remark in (*remarks, *request.quirks))
    way = f"{cut(name)} from {client}" if request.writing else f"{cut(name)} to {client}"
    if isinstance(outcome, Failure):
        hung_up = outcome.from_peer or outcome is CLOSED
        if hung_up and options.TSIZE in request.asked and not (machine.blocks or request.writing):
            # Firmware asks for tsize, hangs up, and asks again. Each says something else then: EDK2 ERROR 8,
            # a Raspberry Pi "Early terminate", iPXE "TFTP Aborted", PXELINUX "No error, file close".
            log.debug(f"{client} only asked for the size of {name}")
            return
        said = "the client said: " if outcome.from_peer else ""
        reason = f"{said}{cut(outcome.reason) or f'error {outcome.code}'}"
        # A client that closes a file in the middle says so by code 0: what it wanted, it has.
        stopped = outcome.from_peer and outcome.code == wire.UNDEFINED
        log.record(
            INFO if stopped else WARNING,
            "receive-failed" if request.writing else "send-failed",
            f"{way} {'stopped' if stopped else 'failed'} after {amount(octets)}{extra}: {reason}",
            **facts, TFTP_ERROR=outcome.code,
        )  # fmt: skip
    elif outcome is OK:
        rate = f" ({amount(octets / seconds)}/s)" if octets >= 100_000 else ""
        verb = "received" if request.writing else "sent"
        log.info(verb, f"{verb} {way}: {amount(octets)} in {seconds:.1f} s{rate}{extra}", **facts)
