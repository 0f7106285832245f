"""Starting the client loads what it needs and no more: it is often run for one small file."""

from __future__ import annotations

import subprocess
import sys

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
