"""Boots a BIOS and a UEFI machine over the network from pxed and tells how it went: python3 -m tests.demo

What it tells are the server's own records and the guests' serial consoles. Exit status 0: both guests printed
on their consoles the token that only the files sent to them contain. Else 1, or 128 and the signal's number.
"""

from __future__ import annotations

import re
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import NoReturn, TypeVar

from tests.boot import files, machines
from tests.boot.machines import BIOS, UEFI, BootNetwork, Firmware
from tests.lab import LabError, Process, program

SLOW = 10.0  # seconds between two lines about one step where there is no terminal
PATIENCE = 120.0  # seconds for any one step, on the slowest of machines
DOWNLOAD = 600.0  # seconds for the kernel's package
TAIL = 15  # lines of each log shown when a step did not happen
SPINNER = "|/-\\"

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[^\x20-\x7e]")  # what a console says to a terminal only
Found = TypeVar("Found")


class Teller:
    """Prints the story; on a terminal its last line shows which step is going on, and for how long."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()

    def say(self, text: str = "") -> None:
        """Print a line for good."""
        print(self._over(text), flush=True)

    def heading(self, text: str) -> None:
        """Print a line that stands out."""
        self.say()
        self.say(f"\033[1m{text}\033[0m" if self._terminal else text)

    def record(self, what: str, text: str) -> None:
        """Print a line of one machine's story."""
        self.say(f"   {what:<10} {text}")

    def wait(self, step: str, look: Callable[[], Found | None], timeout: float = PATIENCE) -> Found:
        """Return what look() gives once it is true; LabError naming the step after timeout seconds."""
        start = time.monotonic()
        due = SLOW
        while not (found := look()):
            elapsed = time.monotonic() - start
            if elapsed > timeout:
                raise LabError(f"This did not happen within {timeout:g} s: {step}.")
            if self._terminal:
                line = f"   {SPINNER[int(elapsed * 8) % 4]} {elapsed:3.0f} s  {step}"
                print(self._over(line[: shutil.get_terminal_size().columns - 1]), end="", flush=True)
            elif elapsed > due:
                self.record("...", f"{step}: {elapsed:.0f} s so far")
                due += SLOW
            time.sleep(0.1)
        print(self._over(""), end="", flush=True)
        return found

    def _over(self, text: str) -> str:
        """Return text so that it is written over a terminal's progress line."""
        return f"\r\033[K{text}" if self._terminal else text


class Narrator:
    """Turns the server's records, as they come, into the story's lines."""

    def __init__(self, server: Process, teller: Teller) -> None:
        self.server, self._teller = server, teller
        self._told = 0  # characters of the server's log
        self._absent: list[str] = []  # names asked for in vain, since the last other record
        self.sent = 0

    def go_on(self) -> None:
        """Tell the records that are new since the last call."""
        new = self.server.text()[self._told :]
        new = new[: new.rfind("\n") + 1]
        self._told += len(new)
        for line in new.splitlines():
            self._tell(line.partition(": ")[2])

    def _tell(self, record: str) -> None:
        if absent := re.fullmatch(r"refused \S+ to read (.*): no such file", record):
            self._absent.append(absent[1])
            return
        if self._absent:
            names = f"{len(self._absent)} other names, such as {self._absent[0]}"
            self._teller.record("not there", self._absent[0] if len(self._absent) == 1 else names)
            self._absent.clear()
        if asked := re.fullmatch(r"DHCPDISCOVER from (\S+) via \S+ \((.*?)(?:, GUID \S+)?\)", record):
            self._teller.record("asked", f"{asked[1]} ({asked[2]}) for an address")
        elif answer := re.fullmatch(r"DHCPACK on (\S+) to \S+ via \S+, (boot file .*)", record):
            self._teller.record("answered", f"address {answer[1]}, {answer[2]}")
        elif sent := re.fullmatch(r"sent (\S+) to \S+: (.*)", record):
            self._teller.record("sent", f"{sent[1]:<22} {sent[2]}")
            self.sent += 1
        elif not record.startswith(("DHCPOFFER", "DHCPREQUEST")):
            self._teller.record("server", record)


def boot(network: BootNetwork, firmware: Firmware, narrator: Narrator, teller: Teller, token: str) -> float:
    """Boot one machine, tell it, return the seconds until its marker; LabError says what did not happen."""
    server, mac, loader = narrator.server, firmware.mac, firmware.loader
    start = time.monotonic()
    console = network.switch_on(firmware)

    def step(what: str, process: Process, pattern: str) -> re.Match[str]:
        def look() -> re.Match[str] | None:
            ended = not (console.running() and server.running())  # asked first: their last words count
            found = re.search(pattern, process.text(), re.MULTILINE)
            narrator.go_on()
            if ended and not found:
                raise LabError(f"This did not happen before the machine or pxed ended: {what}.")
            return found

        return teller.wait(what, look)

    step("its firmware starts and asks for an address", server, f"DHCPDISCOVER from {mac} ")
    answer = rf"DHCPACK on (\S+) to {mac} .*boot file {loader} "
    address = step(f"pxed answers with an address and the boot file {loader}", server, answer)[1]
    for name in (loader, "vmlinuz", "initrd.gz"):
        step(f"{name} is sent to it", server, f"sent /?{name} to {address}: ")
    marker = step(
        "Linux starts and prints the token on its console", console, rf"{files.MARKER} {token} .*\n"
    )
    elapsed = time.monotonic() - start
    teller.record("console", marker[0].strip())
    teller.wait("it switches itself off", lambda: not console.running())
    return elapsed


def tell(network: BootNetwork, teller: Teller) -> None:
    """Boot both machines; LabError says what did not happen."""
    token = secrets.token_hex(8)
    fill_root(network, teller, token)
    server = network.serve(*files.ARGUMENTS)
    narrator = Narrator(server, teller)
    teller.heading("A server and a machine, each in its own network namespace, on one cable")
    teller.record("started", " ".join(("pxed", *server.argv[len(program("pxed")) :])))
    server.wait_for("\n")
    narrator.go_on()
    times = []
    for number, firmware in enumerate((BIOS, UEFI), 1):
        teller.heading(f"Machine {number}, {firmware.name}: {firmware.description}")
        times.append(f"{firmware.name} in {boot(network, firmware, narrator, teller, token):.1f} s")
    teller.heading(f"Both machines booted Linux from pxed: {', '.join(times)}; {narrator.sent} files sent.")
    teller.say(f"Each printed on its own console {token}, which was made for this run.")


def show_logs(network: BootNetwork, teller: Teller) -> None:
    """Print how the server's log and the consoles end."""
    for log in sorted(network.directory.glob("logs/*.log")):
        if log.stem in {"pxed", BIOS.name, UEFI.name}:
            teller.heading(f"The last lines of {log}:")
            for line in log.read_text(errors="replace").splitlines()[-TAIL:]:
                teller.say(f"   {CONTROL.sub('', line)}")


def fill_root(network: BootNetwork, teller: Teller, token: str) -> None:
    """Fill the TFTP root, downloading the kernel where that was not done before."""
    with ThreadPoolExecutor(1) as worker:
        kernel = worker.submit(files.kernel)
        teller.wait("Debian's kernel package is downloaded, once", kernel.done, DOWNLOAD)
    kernel.result()
    files.add_linux(network.root, token)


def main() -> int:
    """Run the demonstration; return its exit status."""
    teller = Teller()
    if faults := machines.missing():
        teller.say("The demonstration cannot run here:")
        for fault in faults:
            teller.say(f"   {fault}")
        return 1
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    try:
        with BootNetwork() as network:
            try:
                tell(network, teller)
            except LabError as error:
                teller.heading(f"FAILED. {error}")
                show_logs(network, teller)
                raise
    except LabError:
        return 1
    except KeyboardInterrupt:
        teller.say("Interrupted; everything is removed.")
        return 128 + signal.SIGINT
    return 0


def leave(number: int, frame: FrameType | None) -> NoReturn:
    """Handle a signal: leave, removing everything on the way."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
