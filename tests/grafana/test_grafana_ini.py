"""The reader of ``grafana.ini`` that tests judge with, held against rows worked out by hand (DECISIONS 41)."""

from __future__ import annotations

import pytest

from tests.grafana.grafana_consumer import AuthProxy, Grafana
from tests.grafana.grafana_ini import Unread, consumer, read_ini

# what is written behind key =, what Grafana reads; None: something else than one may think
VALUES = [
    ("x", "x"),
    ("a b  ", "a b"),
    ("a ; b", "a"),
    ("a#b", "a"),
    ("`a;b#c`", "a;b#c"),
    ('"""a`b"""', "a`b"),
    ('"a"', "a"),
    ("'a b'", "a b"),
    ('a"b"', 'a"b"'),
    ('{"iss":"https://g"}', '{"iss":"https://g"}'),
    ("a=b", "a=b"),
    ("a:b", "a:b"),
    ("", ""),
    ("$x %s", "$x %s"),
    ("${HOME}", None),
    ("`$__file{/x}`", None),
    ("%(other)s", None),
    ("a\\", None),
    ("`a", None),
]


@pytest.mark.parametrize(("written", "value"), VALUES, ids=[str(place) for place in range(len(VALUES))])
def test_values(written: str, value: str | None) -> None:
    text = f"# c\n; c\nabove = 1\n[s]\n  key = {written}\n"
    if value is None:
        with pytest.raises(Unread):
            read_ini(text)
    else:
        assert read_ini(text) == {"s": {"key": value}}


PROXY = """
[auth.ldap]
enabled = false
[auth.proxy]
enabled = true
header_name = X-WEBAUTH-USER
header_property = username
auto_sign_up = true
sync_ttl = 5
whitelist = 127.0.0.1/32
headers = Name:X-WEBAUTH-NAME Email:X-WEBAUTH-EMAIL Role:X-WEBAUTH-ROLE
headers_encoded = true
enable_login_token = false
"""
# what is changed, into what: settings by which people would not get in, or not as they should
WRONG = [
    ("enabled = false", "enabled = true"),
    ("enabled = true", "enabled = false"),
    ("127.0.0.1/32", "192.0.2.1/32"),
    ("= username", "= email"),
    ("sync_ttl", "syncttl"),
    ("token = false", "token = true"),
    ("[auth.proxy]", "[auth.proxies]"),
    ("sync_ttl = 5", "sync_ttl = 5\nsink = 1"),
]


@pytest.mark.parametrize(("old", "new"), WRONG, ids=[str(place) for place in range(len(WRONG))])
def test_settings_that_do_not_work(old: str, new: str) -> None:
    """4."""
    assert isinstance(consumer(read_ini(PROXY), Grafana(), lambda path: {}), AuthProxy)
    assert old in PROXY
    with pytest.raises((Unread, KeyError)):
        consumer(read_ini(PROXY.replace(old, new, 1)), Grafana(), lambda path: {})
