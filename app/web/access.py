"""The read-only switch, and the log: one line for each change of the store and each download."""

from __future__ import annotations

import logging
import os
import sys
import time

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.errors import UserError
from core.sweep.report import printable

VARIABLE = "READ_ONLY"
OFF = ("", "0", "no", "false", "off")
SENTENCE = "this server is read-only: runs can be looked at, compared and downloaded, and nothing can be changed"
LONGEST = 300  # characters of a line

LOG = logging.getLogger("explorer")


def read_only() -> bool:
    """Whether the operator allows looking, comparing and downloading only; any value but an `OFF` one does."""
    return os.environ.get(VARIABLE, "").strip().lower() not in OFF


def check_changeable() -> None:
    """Raise UserError where the server is read-only."""
    if read_only():
        raise UserError(SENTENCE)


def log_change(what: str) -> None:
    """Log a change of the store with the session that made it."""
    _log("change", what, visitor())


def log_download(what: str, who: str) -> None:
    """Log a file that was handed over, with its session or the client's address."""
    _log("download", what, who)


def visitor() -> str:
    """The current script run's session, shortened as its full id lets a client resume it, and the client's address."""
    context = get_script_run_ctx(suppress_warning=True)
    if context is None:
        return "no session"
    return f"session {context.session_id[:8]}, {st.context.ip_address or 'this machine'}"


def start_log() -> None:
    """Write the log's lines to standard error, each with its time in UTC."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)sZ %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    LOG.handlers[:] = [handler]
    LOG.setLevel(logging.INFO)
    LOG.propagate = False


def _log(kind: str, what: str, who: str) -> None:
    LOG.info("%s: %s [%s]", kind, printable(what)[:LONGEST], printable(who)[:LONGEST])
