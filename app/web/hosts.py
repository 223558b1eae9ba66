"""Host names and origins that the server answers to: loopback, and the names in the operator's `ALLOWED_HOSTS`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from core.errors import UserError

VARIABLE = "ALLOWED_HOSTS"
DEFAULT_PORTS = {"http": 80, "https": 443}
LONGEST = 255  # characters of a host name, by DNS

_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?", re.IGNORECASE)


@dataclass(frozen=True)
class Address:
    """A host with the scheme and the port where they are written: of a Host header, an origin or an allowed host."""

    host: str
    port: int | None = None
    scheme: str | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether the host is `localhost` or an address of this machine's loopback, which no DNS answer can rebind."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    def port_for(self, scheme: str) -> int:
        """The port, or the default one of `scheme`."""
        return DEFAULT_PORTS[scheme] if self.port is None else self.port


def parse_host(text: str) -> Address | None:
    """Parse a Host header, `name`, `name:port` or `[address]:port`; None where it is none."""
    match = _AUTHORITY.fullmatch(text) if len(text) <= LONGEST + 6 else None
    if match is None:
        return None
    host, port = match["host"].lower(), None if match["port"] is None else int(match["port"])
    if port is not None and not 0 < port < 65536:
        return None
    if host.startswith("["):
        try:
            return Address(f"[{ipaddress.IPv6Address(host[1:-1]).compressed}]", port)
        except ValueError:
            return None
    host = host.removesuffix(".")
    return Address(host, port) if host else None


def parse_origin(text: str) -> Address | None:
    """Parse an Origin header, `scheme://host[:port]`; None for `null` and whatever is no web page's origin."""
    scheme, separator, rest = text.partition("://")
    address = parse_host(rest)
    if not separator or scheme.lower() not in DEFAULT_PORTS or address is None:
        return None
    return Address(address.host, address.port, scheme.lower())


@dataclass(frozen=True)
class Hosts:
    """The hosts that the server answers to, beside loopback.

    Attributes
    ----------
    allowed
        The operator's hosts. One with a scheme is the server's full origin as browsers see it, such as
        `https://explorer.example`; it holds even where a proxy replaces the Host header.
    scheme
        What the server itself speaks, `http` or `https`.
    """

    allowed: tuple[Address, ...] = ()
    scheme: str = "http"

    @classmethod
    def parse(cls, text: str, scheme: str = "http") -> Hosts:
        """Parse `ALLOWED_HOSTS`: hosts or origins with commas between. Raises UserError for anything else."""
        allowed = []
        for entry in filter(None, (part.strip() for part in text.split(","))):
            address = parse_origin(entry) if "://" in entry else parse_host(entry)
            if address is None:
                raise UserError(
                    f"{VARIABLE} holds {entry!r}, which is no host; write names or origins with commas between, "
                    f"such as {VARIABLE}=explorer.example,https://sizes.example:8443"
                )
            allowed.append(address)
        return cls(tuple(allowed), scheme)

    def serve(self, host: Address) -> bool:
        """Whether requests to this host are answered, on any port."""
        return host.is_loopback or any(entry.host == host.host for entry in self.allowed)

    def admit(self, origin: Address, host: Address) -> bool:
        """Whether a page of `origin` may open a websocket and change something at `host`.

        It must be a page of this server: scheme, host and port are those that the browser sees. `X-Forwarded-*`
        headers are never consulted.
        """
        scheme = origin.scheme or self.scheme
        entries = [entry for entry in self.allowed if entry.host == origin.host and entry.scheme in (None, scheme)]
        if origin.host == host.host and origin.port_for(scheme) == host.port_for(scheme):
            return bool(entries) or (origin.is_loopback and scheme == self.scheme)
        return any(entry.scheme and entry.port_for(scheme) == origin.port_for(scheme) for entry in entries)
