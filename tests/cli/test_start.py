"""Starting the client loads what it needs and no more: it is often run for one small file."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.lab import CHECKOUT

SERVERS_ONLY = {"systemd", "daemon", "netifaces", "configparser", "sqlite3", "logging"}
LATER = {"tqdm", "readline", "json", "hashlib", "tempfile", "shutil", "ptftpd.client.probe", "ptftpd.config"}


def test_what_is_loaded() -> None:
    """Not what the servers work with, nor what few transfers want."""
    script = "import sys, ptftpd.programs.tftp as tftp\ntftp.main(['-c', 'quit'])\nprint(*sys.modules)"
    command = [sys.executable, "-S", "-c", script]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert {"ptftpd.client.transfer", "argparse"} <= set(done.stdout.split())
    assert (SERVERS_ONLY | LATER) & set(done.stdout.split()) == set()


def test_ctrl_c_while_it_loads(tmp_path: Path) -> None:
    """It ends by the signal, as shells want it, and says nothing: no traceback."""
    (tmp_path / "argparse.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    command = [sys.executable, "-m", "ptftpd.programs.tftp", "--version"]
    environment = {"PYTHONPATH": f"{tmp_path}:{CHECKOUT}"}  # whose argparse comes before Python's own
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")
