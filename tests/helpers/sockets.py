"""Sockets that a process and its children have open to other machines, from Linux's /proc: native code's too."""

from __future__ import annotations

import ipaddress
import os
import re
import struct
from pathlib import Path

TABLES = ("tcp", "tcp6", "udp", "udp6")


def outside(process: int) -> set[str]:
    """The addresses outside this machine, and of name servers anywhere, that a process is connected to now."""
    found = set()
    for pid in [process, *_children(process)]:
        sockets = _sockets(pid)
        for table in TABLES:
            for local_and_remote, inode in _rows(pid, table):
                if inode in sockets and (address := _remote(local_and_remote)):
                    found.add(address)
    return found


def _rows(pid: int, table: str) -> list[tuple[str, str]]:
    try:
        lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    except OSError:
        return []
    return [(columns[2], columns[9]) for columns in map(str.split, lines)]


def _remote(text: str) -> str:
    """`address port` of a socket's other end; empty where it has none or it is on this machine."""
    raw, port = bytes.fromhex(text.partition(":")[0]), int(text.partition(":")[2], 16)
    words = struct.unpack(f"<{len(raw) // 4}I", raw)
    address = ipaddress.ip_address(struct.pack(f">{len(words)}I", *words))
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_unspecified or (address.is_loopback and port != 53):
        return ""
    return f"{address} {port}"


def _sockets(pid: int) -> set[str]:
    inodes = set()
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{name}"))
            except OSError:  # closed meanwhile
                continue
            if match:
                inodes.add(match[1])
    except OSError:  # the process ended
        return set()
    return inodes


def _children(pid: int) -> list[int]:
    try:
        own = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return []
    return own + [child for parent in own for child in _children(parent)]
