"""The schema: units, addresses, defaults, and checks across keys."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.load import ConfigurationError, load
from gateway.config.schema import QUICKSTART_HASH, Configuration, Server, TcpAddress, UnixAddress
from gateway.config.schema.address import parse_address
from gateway.config.schema.units import parse_duration, parse_interval, parse_size

DURATIONS: list[tuple[object, float]] = [
    (0, 0),
    (90, 90),
    (1.5, 1.5),
    ("90", 90),
    ("90s", 90),
    ("5m", 300),
    ("5 minutes", 300),
    ("1h30m", 5400),
    ("1 hour 30 minutes", 5400),
    ("30 days", 2592000),
    ("0.5h", 1800),
    ("250ms", 0.25),
    ("1 Day", 86400),
    ("1w", 604800),
]
INTERVALS: list[tuple[object, float]] = [("always", 0), ("never", math.inf), (" Never ", math.inf), ("5m", 300), (7, 7)]
NO_DURATIONS = ["", " ", "s", "5 x", "-5", "5m-", "1h30", "٣s", "1e3", "inf", "nan", True, None, [], -1, 1e300, 10**400]
SIZES: list[tuple[object, int]] = [(5, 5), ("64 KiB", 65536), ("1MiB", 1048576), ("2k", 2048), ("3 KB", 3000)]
NO_SIZES = ["", "KiB", "-1", -1, "1.5 MiB", "1 TiB", True, None, 1.5]


@pytest.mark.parametrize(("text", "seconds"), DURATIONS)
def test_duration(text: object, seconds: float) -> None:
    """configuration.md 1.1."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", NO_DURATIONS, ids=lambda text: str(text)[:20])
def test_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "seconds"), INTERVALS)
def test_interval(text: object, seconds: float) -> None:
    """configuration.md 1.5: a duration, or always or never."""
    assert parse_interval(text) == seconds


@pytest.mark.parametrize("text", [*NO_DURATIONS, "sometimes"], ids=lambda text: str(text)[:20])
def test_no_interval(text: object) -> None:
    with pytest.raises(ValueError, match="or always, or never"):
        parse_interval(text)


@given(st.text(max_size=30))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        assert parse_duration(text) >= 0
    except ValueError as error:
        assert "expected a duration" in str(error)


@pytest.mark.parametrize(("text", "size"), SIZES)
def test_size(text: object, size: int) -> None:
    """configuration.md 1.1."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", NO_SIZES)
def test_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        parse_size(text)


ADDRESSES = [
    ("127.0.0.1:8008", TcpAddress("127.0.0.1", 8008), True),
    ("localhost:0", TcpAddress("localhost", 0), True),
    ("[::1]:8008", TcpAddress("::1", 8008), True),
    ("https://[::1]:8008", TcpAddress("::1", 8008, tls=True), True),
    ("https://auth.example.com:443", TcpAddress("auth.example.com", 443, tls=True), False),
    ("[::]:8008", TcpAddress("::", 8008), False),
    (":8008", TcpAddress("", 8008), False),
    ("0.0.0.0:80", TcpAddress("0.0.0.0", 80), False),
    ("127.0.0.53:1", TcpAddress("127.0.0.53", 1), True),
    ("[::ffff:127.0.0.1]:1", TcpAddress("::ffff:127.0.0.1", 1), False),
    ("auth.example.com:443", TcpAddress("auth.example.com", 443), False),
    ("unix:/run/x.sock", UnixAddress(Path("/run/x.sock")), True),
]
NO_ADDRESSES = ["", "h", "8008", "h:", "h:65536", "::1:8008", "[h]:1", "[::1]", "http://h:1", "h:1/x", "a b:1", "unix:"]
NO_ADDRESSES += ["unix:/" + "x" * 107, "h:1\n", "h:-1", "h:1:2", "[127.0.0.1]:1"]


@pytest.mark.parametrize(("text", "address", "loopback"), ADDRESSES)
def test_address(text: str, address: object, loopback: bool) -> None:
    """configuration.md 1.2, listen."""
    parsed = parse_address(text)
    assert (parsed, parsed.loopback, str(parsed)) == (address, loopback, text)


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_address(text)


PUBLIC = [
    ({}, "http://127.0.0.1:8008"),
    ({"listen": ["unix:/x", "[::1]:80", "127.0.0.1:90"]}, "http://[::1]"),
    ({"listen": ["0.0.0.0:80"]}, "http://localhost"),
    ({"listen": ["unix:/x"]}, "http://localhost"),
    ({"public_url": "https://auth.example.com/"}, "https://auth.example.com"),
    ({"public_url": "https://auth.example.com/gw/"}, "https://auth.example.com/gw"),
]


@pytest.mark.parametrize(("tree", "url"), PUBLIC)
def test_public_url(tree: dict[str, Any], url: str) -> None:
    """configuration.md 1.2: address of the first TCP listener."""
    assert Configuration.model_validate(tree).public_url == url


COOKIES = [
    ({}, False),
    ({"public_url": "https://a"}, True),
    ({"public_url": "https://a", "clearml": {"cookie": {"secure": False}}}, False),
    ({"clearml": {"cookie": {"secure": True}}}, True),
]


@pytest.mark.parametrize(("tree", "secure"), COOKIES)
def test_secure_cookies(tree: dict[str, Any], secure: bool) -> None:
    """configuration.md 1.6: when public_url is https."""
    assert Configuration.model_validate(tree).secure_cookies is secure


def test_web_origins() -> None:
    """configuration.md 1.6: origin of public_url."""
    own = "https://a.example.com:8443"
    assert Configuration(public_url=f"{own}/gw").web_origins == (own,)
    other = "https://app.example.com"
    added = Configuration.model_validate({"public_url": f"{own}/gw", "clearml": {"origins": [other, own]}})
    assert added.web_origins == (own, other)


ENDPOINTS = [
    ({"host": "a"}, [("a", 389, "none")]),
    ({"host": "a b", "port": 390}, [("a", 390, "none"), ("b", 390, "none")]),
    ({"host": "a:391 b", "port": 390}, [("a", 391, "none"), ("b", 390, "none")]),
    ({"host": "[::1]:391 ::2 [::3]"}, [("::1", 391, "none"), ("::2", 389, "none"), ("::3", 389, "none")]),
    ({"host": "a", "use_ssl": True}, [("a", 636, "ldaps")]),
    ({"host": "a", "use_ssl": True, "start_tls": True}, [("a", 389, "starttls")]),
    ({"host": "a", "start_tls": True}, [("a", 389, "starttls")]),
    ({"urls": ["ldap://a", "ldaps://b:637/"]}, [("a", 389, "none"), ("b", 637, "ldaps")]),
    ({"urls": ["LDAPS://[::1]"]}, [("::1", 636, "ldaps")]),
    ({"urls": ["ldap://a", "ldaps://b"], "start_tls": True}, [("a", 389, "starttls"), ("b", 636, "ldaps")]),
]


@pytest.mark.parametrize(("keys", "endpoints"), ENDPOINTS, ids=lambda value: str(value)[:50])
def test_endpoints(keys: dict[str, Any], endpoints: list[tuple[str, int, str]]) -> None:
    """configuration.md 1.3, host and port, urls."""
    assert list(Server(name="a", **keys).endpoints) == endpoints


MODES = [
    ({}, "anonymous"),
    ({"bind_dn": "cn=a"}, "unauthenticated"),
    ({"bind_dn": "cn=%s"}, "single"),
    ({"bind_dn": "cn={0}"}, "single"),
    ({"bind_dn": "cn=%s", "bind_password": "x"}, "service"),
    ({"bind_dn": "cn=a", "bind_password": "x"}, "service"),
    ({"bind_dn": "cn=a", "bind_password": "x", "bind_mode": "anonymous"}, "anonymous"),
]


@pytest.mark.parametrize(("keys", "mode"), MODES)
def test_bind_mode(keys: dict[str, Any], mode: str) -> None:
    """grafana.md 2.2."""
    assert Server(name="a", host="h", **keys).mode == mode


GOOD = {"name": "a", "host": "h", "search_base_dns": ["dc=x"]}
FINDINGS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"host": ""}, ["host"]),
    ({"host": " "}, ["host"]),
    ({"host": "a/b"}, ["host"]),
    ({"host": "a:b"}, ["host"]),
    ({"urls": ["ldap://a"]}, ["urls"]),
    ({"host": "", "urls": ["ldap://a"], "port": 5}, ["urls"]),
    ({"host": "", "urls": ["ldap://a"], "use_ssl": True}, ["urls"]),
    ({"host": "", "urls": ["http://a"]}, ["urls"]),
    ({"host": "", "urls": ["ldap://a/dc=x"]}, ["urls"]),
    ({"host": "", "urls": ["ldap://"]}, ["urls"]),
    ({"host": "", "urls": ["ldap://[::1"]}, ["urls"]),
    ({"client_cert": "/a"}, ["client_cert"]),
    ({"client_key": "/a"}, ["client_key"]),
    ({"min_tls_version": "TLS1.3", "max_tls_version": "tls1.2"}, ["max_tls_version"]),
    ({"ssl_skip_verify": True}, ["ssl_skip_verify"]),
    ({"bind_mode": "service"}, ["bind_dn"]),
    ({"bind_mode": "single", "bind_dn": "cn=a"}, ["bind_dn"]),
    ({"bind_dn": "cn=a"}, ["bind_dn"]),
    ({"bind_dn": "cn=a", "bind_mode": "unauthenticated"}, []),
    ({"search_filter": ""}, ["search_filter"]),
    ({"search_base_dns": []}, ["search_base_dns"]),
    ({"group_mappings": [{"group_dn": "a", "grafana_admin": False}]}, []),
    ({"group_mappings": [{"group_dn": "a", "policies": ["p"]}]}, []),
    ({"group_mappings": [{"group_dn": "a", "admin": True}]}, []),
    ({"group_mappings": [{"group_dn": "a", "admin": False}]}, ["group_mappings.0"]),
]


@pytest.mark.parametrize(("keys", "places"), FINDINGS, ids=lambda value: str(value)[:50])
def test_findings_of_a_server(keys: dict[str, Any], places: list[str]) -> None:
    """Checks across the keys of one server."""
    found = Server(**(GOOD | keys)).all_findings()
    assert [".".join(map(str, finding.place)) for finding in found] == places


BAD_DIRECTORY_TEXTS = [
    ("search_filter", "(uid=%s"),
    ("search_filter", "(%s=x)"),
    ("group_search_filter", "(&(a=b)"),
    ("search_base_dns", "people"),
    ("group_search_base_dns", "ou=a,,dc=b"),
    ("bind_dn", "cn=%s,ou"),
]


@pytest.mark.parametrize(("key", "text"), BAD_DIRECTORY_TEXTS)
def test_filters_and_names_are_checked_at_load(key: str, text: str) -> None:
    """DECISIONS 24."""
    environment = {f"CLEARML__servers__a__{name}": str(value) for name, value in GOOD.items() if name == "host"}
    environment |= {"CLEARML__servers__a__search_base_dns": "dc=x", f"CLEARML__servers__a__{key}": text}
    with pytest.raises(ConfigurationError) as caught:
        load([], environment)
    errors = [problem for problem in caught.value.problems if problem.severity == "error"]
    assert [problem.path.removesuffix(".0") for problem in errors] == [f"servers.a.{key}"]


def test_a_filter_that_asks_for_nobody() -> None:
    environment = {
        "CLEARML__servers__a__host": "localhost",
        "CLEARML__servers__a__search_base_dns": "",
        "CLEARML__servers__a__search_filter": "(objectClass=person)",
    }
    with pytest.raises(ConfigurationError, match="search_base_dns: is needed"):
        load([], environment)
    warnings = load([], environment | {"CLEARML__servers__a__search_base_dns": "dc=x"}).warnings
    assert [warning.path for warning in warnings] == ["servers.a.search_filter"]


EXPOSED = [
    ("127.0.0.1:1", [], []),
    ("unix:/x", [], []),
    ("0.0.0.0:1", [], ["listen"]),
    ("0.0.0.0:1", ["10.0.0.0/8"], []),
    ("10.0.0.1:1", ["127.0.0.0/8"], ["listen"]),
]


@pytest.mark.parametrize(("listen", "proxies", "warned"), EXPOSED)
def test_clear_text_on_the_network(listen: str, proxies: list[str], warned: list[str]) -> None:
    """DECISIONS 27: loud warning without TLS or a trusted proxy."""
    environment = {"CLEARML__listen": listen} | ({"CLEARML__trusted_proxies": proxies[0]} if proxies else {})
    assert [warning.path for warning in load([], environment).warnings if warning.path] == warned


@pytest.mark.parametrize("name", ["ada", "Ada", "ADA"])
@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", ":1", "192.0.2.1:1", "example.com:1"])
def test_quickstart_user_stays_at_home(name: str, listen: str) -> None:
    """DECISIONS 27."""
    environment = {f"CLEARML__users__{name}__password_hash": QUICKSTART_HASH, "CLEARML__listen": listen}
    with pytest.raises(ConfigurationError, match="quickstart"):
        load([], environment)
    assert load([], environment | {"CLEARML__listen": "127.0.0.1:1,[::1]:1"}).warnings == ()


def test_two_services_of_one_key() -> None:
    names = {f"CLEARML__clearml__credentials__{name}__user_key": "k" for name in "ab"}
    secrets = {f"CLEARML__clearml__credentials__{name}__user_secret": "s" for name in "ab"}
    with pytest.raises(ConfigurationError, match=r"credentials\.b\.user_key: is the same as of a"):
        load([], names | secrets)


HASHES = [
    ("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQxMjM$aGFzaGhhc2hoYXNoaGFzaA", True),
    ("$2b$12$" + "a" * 53, True),
    ("$2y$10$" + "./A" * 17 + "xy", True),
    ("$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHQxMjM$aGFzaGhhc2hoYXNoaGFzaA", False),
    ("$2b$12$" + "a" * 52, False),
    ("$2b$99$" + "a" * 53, False),
    ("$6$salt$hash", False),
    ("hunter2", False),
]


@pytest.mark.parametrize(("text", "good"), HASHES)
def test_password_hash(text: str, good: bool) -> None:
    """configuration.md 1.4: argon2id, or bcrypt."""
    if good:
        load([], {"CLEARML__users__a__password_hash": text})
    else:
        with pytest.raises(ConfigurationError, match="expected an argon2id") as caught:
            load([], {"CLEARML__users__a__password_hash": text})
        assert text not in str(caught.value)
