"""``auth/<mount>/config`` in the words of our keys: what is read, and what a write makes of them (vault.md 3). Pure.

Fields that Vault keeps and this gateway has no use for are taken, checked by their type, and read as their defaults.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Final, get_args

from gateway.directory.filters import USER_ATTR, USER_DN, USERNAME, FilterError, check_variables
from gateway.directory.tls import TlsSettingsError, tls_context
from gateway.tokens.vault_children import policies as policy_list

from .origin import Path
from .schema import Mount, Secret, Server
from .schema.address import parse_url
from .schema.fields import Form
from .schema.vault import TokenType
from .vault_fields import FIELDS, OLD_NAMES

Values = Mapping[str, Any]
Given = Callable[[str], bool]
"""Whether some layer gives a key of the server (dotted), so that it is not what it is by default."""

NO_USERATTR: Final = (
    "userfilter configured does not consider userattr and may result in colliding entity aliases on logins"
)
_MOST_URLS: Final = 20
_ALIASES: Final = ("never", "finding", "searching", "always")
PASSWORD_GOES: Final = frozenset((
    "url", "starttls", "insecure_tls", "certificate", "client_tls_cert", "client_tls_key", "tls_min_version",
    "tls_max_version",
))  # fmt: skip
"""Fields that decide to whom, and how, the bind password is sent."""
_SAME: Final = {
    "anonymous_group_search": Form.FLAG,
    "use_token_groups": Form.FLAG,
    "case_sensitive_names": Form.FLAG,
    "username_as_alias": Form.FLAG,
    "use_pre111_group_cn_behavior": Form.FLAG,
    "dereference_aliases": Form.TEXT,
    "request_timeout": Form.DURATION,
}
"""Fields that are called as our keys are."""
_UNUSED: Final[Values] = {
    "deny_null_bind": True,
    "password_policy": "",
    "rotation_period": 0,
    "rotation_window": 0,
    "rotation_schedule": "",
    "rotation_url": "",
    "rotation_credential_type": "password",
    "disable_automated_rotation": False,
    "schema": "openldap",
    "alias_metadata": {},
}
"""What fields without effect are read as."""
_WRITE_ONLY: Final = frozenset({"bindpass", "client_tls_cert", "client_tls_key", *OLD_NAMES})
FIRST_FIELDS: Final = (
    "url", "starttls", "insecure_tls", "certificate", "tls_min_version", "tls_max_version", "binddn", "bindpass",
    "discoverdn", "userdn", "userattr", "upndomain", "groupdn", "groupfilter", "groupattr",
)  # fmt: skip
"""Those that a Vault of 2017 had: there, each write started from defaults (vault.md 13)."""
MAP: Final = "alias_metadata"
"""The one field that holds a map."""


class InvalidField(ValueError):
    """A write that is refused; the text is for the client and shows no secret."""


@dataclass(frozen=True, slots=True)
class ConfigField:
    """One field of the configuration of a mount."""

    name: str
    form: Form
    key: str
    """Ours, dotted; empty where the field has no effect."""


def _fields() -> Iterator[ConfigField]:
    for field in FIELDS.values():
        yield ConfigField(field.name, field.form, field.key)
    for name, form in _SAME.items():
        yield ConfigField(name, form, name)
    yield ConfigField(MAP, Form.TEXT, "")


CONFIG_FIELDS: Final = {field.name: field for field in _fields()}
"""By name: all of vault.md 3."""


_TOKEN_KEYS: Final = {
    field.name: field.key.partition(".") for field in CONFIG_FIELDS.values() if field.name not in OLD_NAMES
}


def read_config(server: Server) -> dict[str, Any]:
    """Every field of a server but its secrets."""
    shown = {name: _shown(_value(server, field.key)) for name, field in CONFIG_FIELDS.items() if field.key}
    shown |= {
        **_UNUSED,
        "url": ",".join(server.urls) or ",".join(_urls(server)),
        "tls_min_version": _tls_name(server.min_tls_version),
        "tls_max_version": _tls_name(server.max_tls_version),
        "userdn": server.user_dn or next(iter(server.search_base_dns), ""),
        "groupdn": next(iter(server.group_search_base_dns), ""),
    }
    return {name: shown[name] for name in sorted(shown.keys() - _WRITE_ONLY)}


def read_tokens(settings: Mount) -> dict[str, Any]:
    """The fields of a mount that has no directory of its own."""
    keys = {name: key for name, (table, _, key) in _TOKEN_KEYS.items() if table == "vault"}
    return {name: _shown(getattr(settings, key)) for name, key in keys.items()}


def without_effect(values: Values) -> list[str]:
    """A warning for each field that is written otherwise than this gateway will ever have it."""
    told = "is kept nowhere: this gateway does not do that"
    return [f"{name} {told}" for name, value in values.items() if name in _UNUSED and value != _UNUSED[name]]


def config_warnings(server: Server) -> list[str]:
    """What a client is told with every read and write."""
    text = server.search_filter
    considered = f"{{{{.{USER_ATTR}}}}}" in text or server.user_attr.lower() in text.lower()
    return [] if considered or not text or server.preset != "vault" else [NO_USERATTR]


def config_changes(server: Server, values: Values, given: Given) -> dict[Path, Any]:
    """What a write of these fields puts in our keys, by path below the server; None removes what a file says.

    ``values`` are of the fields' own types: text, bool, int, seconds, list of texts. Raises ``InvalidField``.
    """
    values = with_new_names(values)
    _check_tls(server, values, given)
    check_tokens(server.vault, values)
    changes = settings_of(values)
    if "userdn" in values and given("search_base_dns"):
        # It would go on to be where people are searched.
        changes["search_base_dns",] = [values["userdn"]] if values["userdn"] else None
    return changes


def left_out(values: Values) -> list[Path]:
    """Paths below a server that a write of ``FIRST_FIELDS`` says nothing about."""
    return [tuple(CONFIG_FIELDS[name].key.split(".")) for name in FIRST_FIELDS if name not in values]


def settings_of(values: Values) -> dict[Path, Any]:
    """Each field's own setting. Raises ``InvalidField``."""
    checked = {name: _checked(name, value) for name, value in values.items()}
    return {tuple(key.split(".")): checked[name] for name in checked if (key := CONFIG_FIELDS[name].key)}


def unmoved(server: Server, values: Values) -> frozenset[str]:
    """Of the fields of a write that decide where the bind password goes, and how, those that are as they were."""
    now = read_config(server) | {
        "client_tls_cert": server.client_cert_value,
        "client_tls_key": server.client_key_value.reveal(),
    }
    return frozenset(
        name for name in PASSWORD_GOES if name in values and _comparable(values[name]) == _comparable(now[name])
    )


def needs_bindpass(server: Server, values: Values) -> bool:
    """Whether a write would send the bind password somewhere else, or otherwise (DECISIONS 15)."""
    return bool(server.bind_password) and not PASSWORD_GOES.isdisjoint(values.keys() - unmoved(server, values))


def _comparable(value: Any) -> Any:
    return value.strip().lower().rstrip("/") if isinstance(value, str) and "-----" not in value else value


def _value(server: Server, key: str) -> Any:
    value: Any = server
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _shown(value: Any) -> Any:
    if isinstance(value, tuple):
        return [str(item) for item in value]
    return math.ceil(value) if isinstance(value, float) else value


def _urls(server: Server) -> Iterator[str]:
    for host, port, tls in server.endpoints:
        shown = f"[{host}]" if ":" in host else host
        yield f"{'ldaps' if tls == 'ldaps' else 'ldap'}://{shown}:{port}"


def _tls_name(version: str) -> str:
    return version.lower().replace(".", "")


def with_new_names(values: Values) -> dict[str, Any]:
    """Old names of fields count where the new one is not given."""
    now = {name: value for name, value in values.items() if name not in OLD_NAMES}
    return {OLD_NAMES[name]: value for name, value in values.items() if name in OLD_NAMES} | now


def _checked(name: str, value: Any) -> Any:
    """The setting that a field's value makes."""
    if name in _CHECKS:
        return _CHECKS[name](name, value)
    change = FIELDS[name].change if name in FIELDS else None
    return change(value) if change else value


def _check_urls(_name: str, value: str) -> list[str]:
    """Schemes that no directory is spoken to by are passed over when it is dialled, as a Vault does."""
    urls = [url for part in value.lower().split(",") if (url := part.strip())]
    if len(urls) > _MOST_URLS:
        raise InvalidField(f"error parsing url: there are {len(urls)}, and at most {_MOST_URLS} can be tried")
    usable = 0
    for url in urls:
        if "@" in url:
            raise InvalidField("error parsing url: a name and password in it have no place here")
        if not re.match(r"[a-z][a-z0-9+.-]*://", url):
            raise InvalidField("error parsing url: expected ldap://HOST or ldaps://HOST")
        if url.startswith(("ldap://", "ldaps://")):
            try:
                parse_url(url, start_tls=False)
            except ValueError as error:
                raise InvalidField(f"error parsing url: {error}") from None
            usable += 1
    if urls and not usable:
        raise InvalidField("invalid LDAP scheme in url: expected ldap:// or ldaps://")
    return urls or ["ldap://127.0.0.1"]


def _check_filter(name: str, value: str) -> str | None:
    """An empty userfilter is the default one, as in a Vault; an empty groupfilter finds no groups."""
    if name == "userfilter" and not value:
        return None
    try:
        check_variables(value, (USER_ATTR, USERNAME) if name == "userfilter" else (USER_DN, USERNAME))
    except FilterError as error:
        raise InvalidField(f"invalid {name}: {error}") from None
    return value


def _check_tls_name(name: str, value: str) -> str:
    try:
        text: str = FIELDS[name].change(value)
    except ValueError as error:
        raise InvalidField(f"invalid '{name}': {error}") from None
    return text


def _check_aliases(name: str, value: str) -> str:
    if value not in _ALIASES:
        raise InvalidField(f"invalid '{name}' value: expected one of {', '.join(_ALIASES)}")
    return value


def _check_count(name: str, value: int) -> int:
    if value < 0:
        raise InvalidField(f"'{name}' cannot be negative")
    return value


def _check_policies(_name: str, value: list[str]) -> list[str]:
    return list(policy_list(value, default=False))


def _check_cidrs(name: str, value: list[str]) -> list[str]:
    for text in value:
        try:
            ip_network(text, strict=False)
        except ValueError:
            raise InvalidField(f"error parsing address {text!r} in '{name}'") from None
    return value


def _check_type(name: str, value: str) -> str:
    if (value or "default") not in get_args(TokenType):
        raise InvalidField(f'invalid \'{name}\' value "{value}"')
    return value or "default"


def _check_positive(name: str, value: int) -> int:
    if value <= 0:
        raise InvalidField(f"'{name}' must be more than 0")
    return value


_CHECKS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "url": _check_urls,
    "userfilter": _check_filter,
    "groupfilter": _check_filter,
    "tls_min_version": _check_tls_name,
    "tls_max_version": _check_tls_name,
    "dereference_aliases": _check_aliases,
    "max_page_size": _check_count,
    "token_num_uses": _check_count,
    "token_policies": _check_policies,
    "token_bound_cidrs": _check_cidrs,
    "token_type": _check_type,
    "request_timeout": _check_positive,
}


def _check_tls(server: Server, values: Values, given: Given) -> None:
    if certificate := values.get("certificate"):
        try:
            tls_context(ca_text=certificate)
        except TlsSettingsError as error:
            raise InvalidField(f"failed to parse server tls cert: {error}") from None
    certificate = values.get("client_tls_cert", server.client_cert_value)
    key = values.get("client_tls_key", server.client_key_value.reveal())
    if {"client_tls_cert", "client_tls_key"} & values.keys():
        if bool(certificate) != bool(key):
            raise InvalidField("both client_tls_cert and client_tls_key must be set in configuration, or neither")
        if certificate:
            _check_pair(certificate, Secret(key))
    oldest = _check_tls_name("tls_min_version", values.get("tls_min_version", _tls_name(server.min_tls_version)))
    newest = _check_tls_name("tls_max_version", values.get("tls_max_version", _tls_name(server.max_tls_version)))
    # The upper end is raised with the lower one as long as nobody has chosen it.
    if newest < oldest and ("tls_max_version" in values or given("max_tls_version")):
        raise InvalidField("'tls_max_version' must be greater than or equal to 'tls_min_version'")


def _check_pair(certificate: str, key: Secret) -> None:
    try:
        tls_context(client_cert_text=certificate, client_key_text=key.reveal())
    except TlsSettingsError as error:
        raise InvalidField(f"failed to parse client X509 key pair: {error}") from None


def check_tokens(settings: Mount, values: Values) -> None:
    """Refuse terms of tokens that contradict each other. Raises ``InvalidField``."""

    def value(name: str) -> Any:
        return values.get(name, getattr(settings, name))

    if value("token_max_ttl") and value("token_ttl") > value("token_max_ttl"):
        raise InvalidField("'token_ttl' cannot be greater than 'token_max_ttl'")
    if value("token_type") == "batch":
        if value("token_period"):
            raise InvalidField("'token_type' cannot be 'batch' when set to generate periodic tokens")
        if value("token_num_uses"):
            raise InvalidField("'token_type' cannot be 'batch' when set to generate tokens with limited use count")
    if value("token_strictly_bind_ip") and value("token_bound_cidrs"):
        raise InvalidField("'token_strictly_bind_ip' and 'token_bound_cidrs' cannot both be set")
