"""Vault's names of fields inside a server block, in any file and in variables (vault.md 3, configuration.md 1.7).

``FIELDS`` is the table: how Vault writes a field, which key that is here, and how the value changes. Fields that are
called alike in both worlds (``request_timeout``, ``case_sensitive_names``, ...) are not in it: they are our own keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from .layer import LayerTree
from .origin import Given, Path, Problems
from .presets import IMPLIED
from .schema.fields import Form
from .schema.secret import Secret
from .schema.shape import Leaf, Table, Tables
from .wording import Wording

_LATER: Final = "has no effect before this gateway speaks Vault's protocol"


@dataclass(frozen=True, slots=True)
class Field:
    """One row. Without a ``key`` the field has no effect, and ``unused`` says why."""

    name: str
    key: str = ""
    form: Form = Form.TEXT
    change: Callable[[Any], Any] = lambda value: value
    unused: str = _LATER


def _urls(value: Any) -> Any:
    """A list with commas, lower-cased on write."""
    if not isinstance(value, str):
        return value
    return [url.strip() for url in value.lower().split(",") if url.strip()]


def _tls_version(value: Any) -> Any:
    versions = {f"tls1{minor}": f"TLS1.{minor}" for minor in range(4)}
    if isinstance(value, str) and value.lower() in versions:
        return versions[value.lower()]
    raise ValueError("expected tls10, tls11, tls12 or tls13")


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    """One base; an empty one is none."""
    return [value] if value else []


def _rows() -> Iterator[Field]:
    yield Field("url", "urls", Form.TEXT, _urls)
    yield Field("starttls", "start_tls", Form.FLAG)
    yield Field("insecure_tls", "ssl_skip_verify", Form.FLAG)
    yield Field("certificate", "root_ca_cert_value")
    yield Field("client_tls_cert", "client_cert_value")
    yield Field("client_tls_key", "client_key_value", Form.SECRET)
    yield Field("tls_min_version", "min_tls_version", Form.TEXT, _tls_version)
    yield Field("tls_max_version", "max_tls_version", Form.TEXT, _tls_version)
    yield Field("connection_timeout", "timeout", Form.DURATION)
    yield Field("binddn", "bind_dn")
    yield Field("bindpass", "bind_password", Form.SECRET)
    yield Field("discoverdn", "discover_dn", Form.FLAG)
    yield Field("userdn", "user_dn")
    yield Field("userattr", "user_attr", Form.TEXT, _lower)
    yield Field("userfilter", "search_filter")
    yield Field("upndomain", "upn_domain")
    yield Field("enable_samaccountname_login", "samaccountname_login", Form.FLAG)
    yield Field("groupdn", "group_search_base_dns", Form.TEXT, _listed)
    yield Field("groupfilter", "group_search_filter")
    yield Field("groupattr", "group_attr")
    yield Field("max_page_size", "page_size", Form.INT)
    yield Field("deny_null_bind", "", Form.FLAG, unused="makes no difference: empty passwords are always refused")
    durations = ("token_ttl", "token_max_ttl", "token_explicit_max_ttl", "token_period", "ttl", "max_ttl", "period",
                 "rotation_period", "rotation_window")  # fmt: skip
    lists = ("token_policies", "token_bound_cidrs", "policies", "bound_cidrs")
    flags = ("token_no_default_policy", "token_strictly_bind_ip", "disable_automated_rotation")
    texts = ("token_type", "password_policy", "rotation_schedule", "rotation_url", "rotation_credential_type", "schema")
    kinds = (Form.DURATION, Form.TEXTS, Form.FLAG, Form.TEXT)
    for form, names in zip(kinds, (durations, lists, flags, texts), strict=True):
        yield from (Field(name, "", form) for name in names)
    yield Field("token_num_uses", "", Form.INT)


FIELDS: Final = {field.name: field for field in _rows()}
"""By Vault's name."""
_METADATA: Final = "alias_metadata"
"""The one field that holds a map."""
VAULT: Final = Table(
    {**{name: Leaf(field.form) for name, field in FIELDS.items()}, _METADATA: Table(other=Leaf(Form.TEXT))}
)
"""Shape of Vault's fields."""


def with_vault_fields(native: Table) -> Table:
    """The shape of the whole tree, where server blocks also take Vault's fields."""
    servers = native.keys["servers"]
    if not isinstance(servers, Tables):
        raise TypeError("servers is a list of tables")
    item = Table({**servers.item.keys, **VAULT.keys})
    return Table({**native.keys, "servers": Tables(item, servers.key)}, native.other)


def translate_servers(tree: LayerTree, problems: Problems, wording: Wording) -> None:
    """Turn Vault's fields in the servers of one layer into our keys, in place.

    A server that has one gets the defaults of preset ``vault``, unless a preset is given in whatever layer. A field and
    our own key for it with another value are an error that names both places.
    """
    servers = tree.get("servers")
    for name, server in servers.items() if isinstance(servers, LayerTree) else ():
        if isinstance(server, LayerTree):
            _translate(server, ("servers", name), problems, wording)


def _translate(server: LayerTree, path: Path, problems: Problems, wording: Wording) -> None:
    if isinstance(metadata := server.pop(_METADATA, None), Given | LayerTree):
        problems.warn(metadata.origin, (*path, _METADATA), _LATER)
    for name in [name for name in server if name in FIELDS]:
        given: Given = server.pop(name)
        field = FIELDS[name]
        server.setdefault("preset", Given("vault", IMPLIED))
        if not field.key:
            if name != "deny_null_bind" or given.value is False:
                problems.warn(given.origin, (*path, name), field.unused)
            continue
        wording.note_alone((*path, name), (*path, field.key), given.origin)
        try:
            value = None if given.value is None else field.change(given.value)
        except ValueError as error:
            problems.add(given.origin, (*path, name), str(error))
            continue
        first = server.get(field.key)
        if first is not None and _comparable(first) != _comparable(Given(value, given.origin)):
            message = f"means the same as {field.key} at {first.origin}, which has another value"
            problems.add(given.origin, (*path, name), message)
            continue
        server[field.key] = Given(value, given.origin, given.overridden)


def _comparable(given: Any) -> Any:
    value = given.value if isinstance(given, Given) else given
    if isinstance(value, Secret):
        return value.reveal()
    return value if isinstance(value, list) else [value]
