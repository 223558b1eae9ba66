"""Which names the server answers to, and which pages may change something."""

from __future__ import annotations

import pytest

from app.web.hosts import Hosts, parse_host, parse_origin
from core.errors import UserError


def serves(hosts: Hosts, host: str) -> bool:
    address = parse_host(host)
    return address is not None and hosts.serve(address)


def admits(hosts: Hosts, origin: str, host: str) -> bool:
    page, address = parse_origin(origin), parse_host(host)
    return page is not None and address is not None and hosts.serve(address) and hosts.admit(page, address)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:9", "localhost.", "127.0.0.1:8501", "127.1.2.3", "[::1]:8501"]
)
def test_loopback_is_served_on_any_port(host: str) -> None:
    assert serves(Hosts(), host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.test", "evil.test:8501", "localhost.evil.test", "127.0.0.1.evil.test", "0.0.0.0:8501", "192.168.1.5",
        "[::]", "", ".", ":8501", "localhost:", "localhost:0", "localhost:99999", "localhost:8501x", "user@localhost",
        "a b", "localhost/", "localhost#", "[::1", "[evil.test]", "lócalhost", "localhost\n", "x" * 300,
    ],
)  # fmt: skip
def test_every_other_host_is_refused(host: str) -> None:
    assert not serves(Hosts(), host)


def test_the_operator_s_hosts_are_served_beside_loopback() -> None:
    hosts = Hosts.parse("a.example, https://B.example:8443,[2001:db8::1]")
    for host in ("a.example", "A.EXAMPLE:8501", "b.example", "[2001:DB8:0::1]:80", "localhost:8501"):
        assert serves(hosts, host), host
    for host in ("c.example", "x.a.example", "a.example.evil.test"):
        assert not serves(hosts, host), host


@pytest.mark.parametrize(
    "text", ["*", "*.example", "a.example/path", "ftp://a.example", "a b", "https://", "a.example:x"]
)
def test_a_host_that_is_none_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(UserError, match=r"ALLOWED_HOSTS holds .* which is no host; write names or origins"):
        Hosts.parse(f"b.example,{text}")


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:8501", "localhost:8501"),
        ("http://127.0.0.1:8501", "127.0.0.1:8501"),
        ("http://[::1]:8501", "[::1]:8501"),
        ("http://LOCALHOST:8501", "localhost.:8501"),
        ("http://localhost", "localhost:80"),
    ],
)
def test_the_server_s_own_page_is_admitted(origin: str, host: str) -> None:
    assert admits(Hosts(), origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:9999", "localhost:8501"),  # another program's page on this machine
        ("http://127.0.0.1:8501", "localhost:8501"),
        ("https://localhost:8501", "localhost:8501"),
        ("http://evil.test", "localhost:8501"),
        ("http://evil.test:8501", "evil.test:8501"),  # DNS rebinding
        ("http://localhost:8501.evil.test", "localhost:8501"),
        ("http://localhost:8501/", "localhost:8501"),
        ("http://localhost:8501@evil.test", "localhost:8501"),
        ("null", "localhost:8501"),
        ("file://", "localhost:8501"),
        ("", "localhost:8501"),
    ],
)
def test_every_other_page_is_refused(origin: str, host: str) -> None:
    assert not admits(Hosts(), origin, host)


def test_behind_a_proxy_that_hands_the_host_on() -> None:
    hosts = Hosts.parse("explorer.example")
    assert admits(hosts, "https://explorer.example", "explorer.example"), "TLS ends at the proxy"
    assert admits(hosts, "http://explorer.example:8501", "explorer.example:8501")
    assert not admits(hosts, "https://explorer.example", "localhost:8501")
    assert not admits(hosts, "http://explorer.example:9999", "explorer.example:8501"), "another program on that machine"
    assert not admits(hosts, "https://evil.test", "explorer.example")


def test_behind_a_proxy_that_replaces_the_host() -> None:
    hosts = Hosts.parse("https://explorer.example,https://two.example:8443")
    assert admits(hosts, "https://explorer.example", "127.0.0.1:8501")
    assert admits(hosts, "https://two.example:8443", "127.0.0.1:8501")
    for origin in (
        "http://explorer.example",
        "https://explorer.example:8443",
        "https://two.example",
        "https://evil.test",
    ):
        assert not admits(hosts, origin, "127.0.0.1:8501"), origin
    assert not admits(hosts, "http://explorer.example:8501", "explorer.example:8501"), "the operator named https"


def test_a_server_with_its_own_certificate_has_pages_of_https() -> None:
    hosts = Hosts.parse("", "https")
    assert admits(hosts, "https://localhost:8501", "localhost:8501")
    assert not admits(hosts, "http://localhost:8501", "localhost:8501")
