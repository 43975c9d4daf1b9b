"""A ``grafana.ini`` as Grafana reads it, and the consumer that it makes (grafana.md 4, 5).

Typed anew from how gopkg.in/ini.v1 reads with its defaults; it shares no code with the gateway. ``test_grafana_ini.py``
holds it against rows that were worked out by hand. What it does not know, it does not pass over.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from tests.grafana.grafana_consumer import AuthJwt, AuthProxy, Grafana

Ini = dict[str, dict[str, str]]
"""Sections, keys, values."""
PEER = ipaddress.ip_address("127.0.0.1")
"""From where the consumer's proxy connects."""


class Unread(ValueError):
    """A line, or a key, that would not do what its author meant."""


def read_ini(text: str) -> Ini:
    """All sections of a text. Raises Unread."""
    found: Ini = {}
    section: dict[str, str] = {}
    for line in map(str.strip, text.splitlines()):
        if not line or line[0] in "#;":
            continue
        if line[0] == "[":
            section = found.setdefault(line[1 : line.rindex("]")].strip(), {})
            continue
        key, delimiter, value = re.match(r"([^=:]*)([=:]?)(.*)", line).groups()  # type: ignore[union-attr]
        if not delimiter:
            raise Unread(f"no value: {line}")
        section[key.strip()] = _value(value.strip())
    return found


def _value(text: str) -> str:
    for quote in ("`", '"""'):
        if text.startswith(quote):
            inner, closed, _ = text[len(quote) :].rpartition(quote)
            if not closed:
                raise Unread(f"it goes on in the next line: {text}")
            return _expanded(inner)
    if text.endswith("\\"):
        raise Unread(f"it goes on in the next line: {text}")
    text = re.split("[#;]", text, maxsplit=1)[0].rstrip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    return _expanded(text)


def _expanded(text: str) -> str:
    if re.search(r"%\(\w+\)s|\$(__\w+)?\{[^}]+\}", text):
        raise Unread(f"this is replaced by something else: {text}")
    return text


class _Section:
    """Values that are taken one by one, so that one which nobody takes is seen."""

    def __init__(self, ini: Ini, name: str) -> None:
        self._values = dict(ini.get(name, {}))

    def text(self, key: str, default: str = "") -> str:
        return self._values.pop(key, default)

    def flag(self, key: str) -> bool:
        return {"true": True, "false": False}[self._values.pop(key, "false")]

    def seconds(self, key: str, unit: str) -> int:
        number, written = re.fullmatch(r"(\d+)([ms]?)", self._values.pop(key)).groups()  # type: ignore[union-attr]
        return int(number) * {"m": 60, "s": 1}[written or unit]

    def end(self) -> None:
        if self._values:
            raise Unread(f"unknown here: {', '.join(self._values)}")


def consumer(ini: Ini, grafana: Grafana, fetch: Callable[[str], Mapping[str, Any]]) -> AuthProxy | AuthJwt:
    """What a Grafana with these settings makes of requests; ``fetch`` gets the path of ``jwk_set_url``. Raises Unread."""
    users, ldap, server = (_Section(ini, name) for name in ("users", "auth.ldap", "server"))
    if ldap.text("enabled") != "false":
        raise Unread("Grafana would ask LDAP again")
    if users.flag("auto_assign_org"):
        grafana.auto_assign_org = int(users.text("auto_assign_org_id"))
    server.text("root_url")
    section = _Section(ini, "auth.proxy" if "auth.proxy" in ini else "auth.jwt")
    if not section.flag("enabled"):
        raise Unread("not enabled")
    section.flag("auto_sign_up")
    made = _auth_proxy(section, grafana) if "auth.proxy" in ini else _auth_jwt(section, grafana, fetch)
    for each in (users, ldap, server, section):
        each.end()
    if unknown := ini.keys() - {"users", "auth.ldap", "server", "auth.proxy", "auth.jwt"}:
        raise Unread(f"unknown sections: {unknown}")
    return made


def _auth_proxy(section: _Section, grafana: Grafana) -> AuthProxy:
    networks = [ipaddress.ip_network(text.strip()) for text in section.text("whitelist").split(",")]
    if not any(PEER in network for network in networks):
        raise Unread("the proxy is not let in")
    if section.text("header_property") != "username" or section.flag("enable_login_token"):
        raise Unread("the header is not the login of each request")
    fields = dict(pair.split(":") for pair in section.text("headers").split())
    names = {"login": section.text("header_name"), **{field.lower(): name for field, name in fields.items()}}
    return AuthProxy(
        grafana, sync_ttl=section.seconds("sync_ttl", "m") // 60, headers_encoded=section.flag("headers_encoded"), names=names
    )


def _auth_jwt(section: _Section, grafana: Grafana, fetch: Callable[[str], Mapping[str, Any]]) -> AuthJwt:
    url = urlsplit(section.text("jwk_set_url"))
    if url.scheme != "https":
        raise Unread("the key set is read over https alone")
    if section.text("username_claim") != "login" or section.text("email_claim") != "email" or section.flag("url_login"):
        raise Unread("the claims are not those of section 5")
    return AuthJwt(
        grafana, lambda: fetch(url.path), json.loads(section.text("expect_claims")),
        header_name=section.text("header_name"), role_attribute_path=section.text("role_attribute_path"),
        org_attribute_path=section.text("org_attribute_path"), org_mapping=section.text("org_mapping"),
        role_attribute_strict=section.flag("role_attribute_strict"),
        allow_assign_grafana_admin=section.flag("allow_assign_grafana_admin"),
        skip_org_role_sync=section.flag("skip_org_role_sync"), cache_ttl=section.seconds("cache_ttl", "s"),
    )  # fmt: skip
