"""Security headers of every answer: a Content-Security-Policy without any outside origin, and its companions."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from pathlib import Path

import streamlit as st

# Streamlit's page is a bundle of scripts of its own origin, which compiles WebAssembly for 64-bit integers. Components
# are imported from blobs that the page makes; Streamlit, Plotly and `st.html` write styles into the page.
_POLICY = {
    "default-src": "'none'",
    "script-src": "'self' blob: 'wasm-unsafe-eval'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "connect-src": "'self'",
    "worker-src": "'self' blob:",
    "manifest-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def policy(page: str) -> str:
    """The Content-Security-Policy of a page; its inline scripts are allowed by their hashes (CSP Level 3, 8.4)."""
    hashes = [hashlib.sha256(script.encode()).digest() for script in _INLINE_SCRIPT.findall(page)]
    allowed = "".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in hashes)
    directives = _POLICY | {"script-src": _POLICY["script-src"] + allowed}
    return "; ".join(f"{name} {value}" for name, value in directives.items())


@lru_cache(maxsize=1)
def security_headers() -> dict[str, str]:
    """Headers for every answer."""
    page = Path(st.__file__).parent / "static" / "index.html"
    return {
        "content-security-policy": policy(page.read_text(encoding="utf-8")),
        "x-frame-options": "DENY",  # for browsers that know no frame-ancestors
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
    }
