"""Sizes, durations and foreign texts as people read them."""

from __future__ import annotations


def kilobytes(size: float) -> str:
    """Bytes as people read them: `78 kB`, `1.20 MB` (1 kB is 1,000 bytes)."""
    if size < 1e4:
        return f"{size / 1e3:.1f} kB"
    return f"{size / 1e3:,.0f} kB" if size < 1e6 else f"{size / 1e6:,.2f} MB"


def milliseconds(ms: float) -> str:
    """A duration: `0.03 ms`."""
    return f"{ms:.2g} ms" if ms < 99.5 else f"{ms:,.0f} ms"


def printable(text: str) -> str:
    """Text as one line without control characters: names and labels may come from anybody's run.json."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
