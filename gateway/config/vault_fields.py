"""Vault's names of fields inside a server block, in any file and in variables (vault.md 3, configuration.md 1.7).

``FIELDS`` is the table: how Vault writes a field, which key that is here, and how the value changes. Fields that are
called alike in both worlds (``request_timeout``, ``case_sensitive_names``, ...) are not in it: they are our own keys.
The fields that begin with ``token_`` are keys of the table ``vault`` of the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .layer import LayerTree
from .origin import Given, Origin, Path, Problems
from .presets import IMPLIED
from .schema.fields import Form
from .schema.secret import Secret
from .schema.shape import Leaf, Table, Tables
from .wording import Wording

NO_EFFECT: Final = "has no effect: this gateway does not change the password of its service account"
"""Of fields that steer the rotation of ``bindpass``."""


OLD_NAMES: Final = {
    "policies": "token_policies",
    "ttl": "token_ttl",
    "max_ttl": "token_max_ttl",
    "period": "token_period",
    "bound_cidrs": "token_bound_cidrs",
}
"""Names of before Vault 1.2, and what the fields are called since."""


@dataclass(frozen=True, slots=True)
class Field:
    """One row. Without a ``key`` (dotted) the field has no effect, and ``unused`` says why."""

    name: str
    key: str = ""
    form: Form = Form.TEXT
    change: Callable[[Any], Any] = lambda value: value
    unused: str = NO_EFFECT


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


def _token_type(value: Any) -> Any:
    return "default" if value == "" else value


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
    yield from _token_rows()
    yield from (Field(name, "", Form.DURATION) for name in ("rotation_period", "rotation_window"))
    yield Field("disable_automated_rotation", "", Form.FLAG)
    for name in ("password_policy", "rotation_schedule", "rotation_url", "rotation_credential_type", "schema"):
        yield Field(name)


def _token_rows() -> Iterator[Field]:
    """With the names of before Vault 1.2."""
    for form, names in (
        (Form.DURATION, ("token_ttl", "token_max_ttl", "token_explicit_max_ttl", "token_period")),
        (Form.TEXTS, ("token_policies", "token_bound_cidrs")),
        (Form.FLAG, ("token_no_default_policy", "token_strictly_bind_ip")),
        (Form.INT, ("token_num_uses",)),
    ):
        yield from (Field(name, f"vault.{name}", form) for name in names)
    yield Field("token_type", "vault.token_type", Form.TEXT, _token_type)
    for name, now in OLD_NAMES.items():
        form = Form.TEXTS if now in ("token_policies", "token_bound_cidrs") else Form.DURATION
        yield Field(name, f"vault.{now}", form)


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
        problems.warn(metadata.origin, (*path, _METADATA), "has no effect: aliases carry no metadata here")
    for name in [name for name in server if name in FIELDS]:
        given: Given | LayerTree = server.pop(name)
        field = FIELDS[name]
        server.setdefault("preset", Given("vault", IMPLIED))
        if not field.key:
            if name != "deny_null_bind" or (isinstance(given, Given) and given.value is False):
                problems.warn(given.origin, (*path, name), field.unused)
            continue
        *outer, key = field.key.split(".")
        wording.note_alone((*path, name), (*path, *outer, key), given.origin)
        if isinstance(given, LayerTree):  # items of a list, by index
            _table_of(server, outer, given.origin).setdefault(key, given)
            continue
        try:
            value = None if given.value is None else field.change(given.value)
        except ValueError as error:
            problems.add(given.origin, (*path, name), str(error))
            continue
        table = _table_of(server, outer, given.origin)
        first = table.get(key)
        if first is not None and _comparable(first) != _comparable(Given(value, given.origin)):
            message = f"means the same as {field.key} at {first.origin}, which has another value"
            problems.add(given.origin, (*path, name), message)
            continue
        table[key] = Given(value, given.origin, given.overridden)


def _table_of(server: LayerTree, path: Sequence[str], origin: Origin) -> LayerTree:
    """The table at a path within a server, made where there is none."""
    for name in path:
        if not isinstance(server.get(name), LayerTree):
            server[name] = LayerTree(origin)
        server = server[name]
    return server


def _comparable(given: Any) -> Any:
    value = given.value if isinstance(given, Given) else given
    if isinstance(value, Secret):
        return value.reveal()
    return value if isinstance(value, list) else [value]
