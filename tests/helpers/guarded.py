"""Run Streamlit's command in this process and note what leaves the machine or is written outside some folders.

    python tests/helpers/guarded.py REPORT FOLDER run app/server.py ...

REPORT has the process's number, then a line for each outside connection, looked-up name, started process, and file
written outside FOLDER. The notes come from Python's audit hooks, which no library can switch off; native code is
watched by `sockets.py`.
"""

from __future__ import annotations

import ipaddress
import os
import runpy
import sys
from pathlib import Path
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
STARTS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.fork", "os.forkpty")
MADE = {"os.mkdir": 0, "os.rename": 1, "os.link": 1, "os.symlink": 1}  # the argument that names what is made
OURS = ("__pycache__",)  # Python's own cache of compiled modules
HARMLESS = ("/dev/null", "/dev/tty")


def is_loopback(host: object) -> bool:
    """Whether a host is this machine; a name other than localhost would be looked up elsewhere."""
    if host in (None, "", "localhost", b"localhost"):
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host)).is_loopback
    except ValueError:
        return False


def noted(event: str, arguments: tuple[Any, ...], folder: Path) -> str:
    """A line on an event that leaves the machine or the folder; empty for every other."""
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        return f"{event} {address}" if isinstance(address, tuple) and not is_loopback(address[0]) else ""
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        return "" if is_loopback(arguments[0]) else f"{event} {arguments[0]}"
    if event in STARTS:
        return f"{event} {arguments[:2]}"
    if event == "open":
        path, _, flags = arguments
        return f"{event} {path!r}" if isinstance(flags, int) and flags & WRITES and _outside(path, folder) else ""
    if event in MADE:
        path = arguments[MADE[event]]
        return f"{event} {path!r}" if _outside(path, folder) else ""
    return ""


def _outside(path: object, folder: Path) -> bool:
    if not isinstance(path, str | bytes | os.PathLike):  # a descriptor, which was opened before
        return False
    text = os.path.realpath(os.fsdecode(path))
    return not (text in HARMLESS or Path(text).is_relative_to(folder) or any(part in OURS for part in Path(text).parts))


def main() -> None:
    report, folder = Path(sys.argv[1]), Path(sys.argv[2]).resolve()
    out = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(out, f"process {os.getpid()}\n".encode())

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if line := noted(event, arguments, folder):
            os.write(out, f"{line}\n".encode())

    sys.addaudithook(hook)
    sys.argv = ["streamlit", *sys.argv[3:]]
    sys.path[0] = os.getcwd()
    runpy.run_module("streamlit", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
