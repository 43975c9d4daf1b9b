"""ClearML's spellings of our keys, in any layer (configuration.md 1.7, clearml.md 1.3 and 5).

``SPELLINGS`` is the table: how ClearML writes a key, which key that is here, and how the value changes. The spelled
keys have a shape of their own, so files and variables are read and checked like all others before they are translated.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import hmac
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .layer import Layer, LayerTree
from .origin import DEFAULT, Given, Origin, Path, Problems
from .schema import Configuration, Secret, plain_form
from .schema.fields import Form
from .schema.people import check_password_hash
from .schema.shape import Leaf, Node, Table, Tables, shape_of
from .suggestions import known_keys
from .vault_fields import translate_servers, with_vault_fields
from .wording import Wording, filled

LDAP: Final = ("apiserver", "auth", "fixed_user_providers", "ldap")
SERVER: Final = ("servers", "ldap")
FIXED_USERS: Final = ("apiserver", "auth", "fixed_users")
SEARCH_FILTER: Final = "(&(objectClass=person)(uid={0}))"
"""ClearML does not publish its own default; ours (clearml.md 1.3)."""


def _same(value: Any) -> Any:
    return value


def _urls(value: Any) -> list[str]:
    """``server``: a host, ``host:port`` or an URL; several separated by blanks."""
    if not isinstance(value, str) or not value.split():
        raise ValueError("expected a host, host:port, or an ldap:// or ldaps:// URL")
    return [part if "://" in part else f"ldap://{part}" for part in value.split()]


def _not(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("expected true or false")
    return not value


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _no_null(value: Any) -> Any:
    """ClearML's documents print ``domain null`` for none; a variable can give no other null to a text."""
    return None if value == "null" else value


def _capital(value: Any) -> Any:
    return value.capitalize() if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class Spelling:
    """One row: ClearML's path, our path (empty: it has no effect here), how it is written, how it changes."""

    spelled: Path
    key: Path
    form: Form = Form.TEXT
    change: Callable[[Any], Any] = _same


def _rows() -> Iterator[Spelling]:
    def ldap(spelled: str, key: str, form: Form = Form.TEXT, change: Callable[[Any], Any] = _same) -> Spelling:
        return Spelling((*LDAP, *spelled.split(".")), (*SERVER, *key.split(".")), form, change)

    yield ldap("server", "urls", Form.TEXT, _urls)
    yield ldap("use_tls", "start_tls", Form.FLAG)
    yield ldap("tls.ca_certs", "root_ca_cert", Form.PATHS, _as_list)
    yield ldap("tls.validate_cert", "ssl_skip_verify", Form.FLAG, _not)
    yield ldap("tls.client_cert", "client_cert", Form.PATH)
    yield ldap("tls.client_key", "client_key", Form.PATH)
    yield ldap("base_dn", "search_base_dns", Form.EXACT_TEXTS, _as_list)
    yield ldap("search_filter", "search_filter")
    for name in ("username", "name", "surname", "email", "member_of", "user_id"):
        yield ldap(f"attributes.{name}", f"attributes.{name}")
    yield ldap("attributes.mail", "attributes.email")
    yield ldap("mail", "attributes.email")
    yield ldap("default_company", "clearml.default_company")
    yield ldap("admin_users", "clearml.admin_users", Form.TEXTS, _as_list)
    groups = (("enabled", Form.FLAG), ("prohibit_user_login_if_not_in_group", Form.FLAG), ("admins", Form.EXACT_TEXTS))
    for name, form in groups:
        yield ldap(f"groups.{name}", f"clearml.groups.{name}", form, _as_list if form.is_list else _same)
    for place in ("", "groups."):
        yield ldap(f"{place}case_sensitive", "clearml.groups.case_sensitive", Form.FLAG)
        yield ldap(f"{place}group_name_parsing", "clearml.groups.name_parsing", Form.TEXT, _lower)
    yield ldap("groups.name_parsing", "clearml.groups.name_parsing", Form.TEXT, _lower)
    for name, key, form in (("dn", "bind_dn", Form.TEXT), ("password", "bind_password", Form.SECRET)):
        yield Spelling(("secure", "fixed_user_providers", "ldap", name), (*SERVER, key), form)
    yield from _other_rows()


def _other_rows() -> Iterator[Spelling]:
    auth = ("apiserver", "auth")
    yield Spelling((*FIXED_USERS, "enabled"), ("clearml", "password_login"), Form.FLAG)
    yield Spelling((*auth, "default_expiration_sec"), ("tokens", "lifetime"), Form.DURATION)
    yield Spelling((*auth, "max_expiration_sec"), ("tokens", "max_lifetime"), Form.DURATION)
    yield Spelling((*auth, "session_auth_cookie_name"), ("clearml", "cookie", "name"))
    yield Spelling((*auth, "cookies", "secure"), ("clearml", "cookie", "secure"), Form.FLAG)
    yield Spelling((*auth, "cookies", "domain"), ("clearml", "cookie", "domain"), Form.TEXT, _no_null)
    yield Spelling((*auth, "cookies", "samesite"), ("clearml", "cookie", "same_site"), Form.TEXT, _capital)
    yield Spelling((*auth, "cookies", "httponly"), (), Form.FLAG)
    yield Spelling((*auth, "cookies", "max_age"), (), Form.INT)
    yield Spelling(("apiserver", "default_company"), ("clearml", "company"))
    yield Spelling(("secure", "auth", "token_secret"), ("clearml", "token_secret"), Form.SECRET)
    for name, form in (("role", Form.TEXT), ("user_key", Form.TEXT), ("user_secret", Form.SECRET)):
        yield Spelling(("secure", "credentials", "*", name), ("clearml", "credentials", "*", name), form)
    groups = ("services", "auth", "default_groups", "*")
    for name, key in (("id", "id"), ("name", "group")):
        yield Spelling((*groups, name), ("vaults", "groups", "*", key))
    for name, form in (("features", Form.TEXTS), ("assignable", Form.FLAG), ("system", Form.FLAG)):
        yield Spelling((*groups, name), (), form)


SPELLINGS: Final = tuple(_rows())
_FIXED_KEYS: Final = {"password": "password_hash", "admin": "clearml_role"}
"""Keys of a fixed user that are called otherwise here."""
_FURTHER_WORDS: Final = (
    ((*LDAP, "server"), (*SERVER, "host")),
    ((*FIXED_USERS, "users", "*", "password"), ("users", "*", "password_hash")),
)
"""Rows for what is missing: ClearML's path and ours."""
_FIXED_USER: Final = Table(
    {
        **{name: Leaf(Form.TEXT) for name in ("username", "name", "email", "company")},
        "password": Leaf(Form.SECRET),
        "admin": Leaf(Form.FLAG),
    }
)
_SPECIAL: Final[dict[Path, Node]] = {
    (*FIXED_USERS, "provider"): Leaf(Form.TEXT),
    (*FIXED_USERS, "pass_hashed"): Leaf(Form.FLAG),
    (*FIXED_USERS, "users"): Tables(_FIXED_USER, "username"),
}


def _grow(entries: Sequence[tuple[Path, Node]], path: Path = ()) -> Table:
    """The table made of all entries below ``path``."""
    keys: dict[str, Node] = {}
    depth = len(path)
    for name in dict.fromkeys(entry[depth] for entry, _ in entries):
        below = [entry for entry in entries if entry[0][depth] == name]
        leaf = next((node for entry, node in below if len(entry) == depth + 1), None)
        keys[name] = leaf or _grow(below, (*path, name))
    other: Node | None = keys.pop("*", None)
    # Any other key there names an attribute of the directory; older documents leave "attributes" out.
    if path in (LDAP, (*LDAP, "attributes")):
        other = Leaf(Form.TEXT)
    return Table(keys, other)


_SPELLED: Final = _grow([*((row.spelled, Leaf(row.form)) for row in SPELLINGS), *_SPECIAL.items()])
NATIVE: Final = shape_of(Configuration)
"""Shape of our own keys."""
ROOT: Final = Table({**with_vault_fields(NATIVE).keys, **_SPELLED.keys})
"""Shape of everything a layer may give: our keys, Vault's fields of servers, and ClearML's keys."""
KNOWN: Final = known_keys(ROOT)
"""Every known key with its dotted path."""


@dataclass(frozen=True, slots=True)
class Translation:
    """What the layers said in ClearML's words."""

    maker: Origin | None
    """Where ClearML's keys made the server ``ldap`` (whitelist mode hangs on it, DECISIONS 7); None where another layer
    had made it before, or none has."""
    provider: Origin | None
    """Where the provider of fixed users is said to be ldap."""
    wording: Wording


def translate(layers: Sequence[Layer], problems: Problems) -> Translation:
    """Turn the spelled keys of all layers into ours, in place.

    The defaults that go with a server made by ClearML's keys are added to its layer.
    """
    flags = [given for layer in layers if (given := _find(layer.tree, (*FIXED_USERS, "pass_hashed"))) is not None]
    translator = _Translator(problems, hashed=bool(flags) and flags[-1].value is True)
    maker: Given | None = None
    made = False
    for layer in layers:
        spelled = _find(layer.tree, (*LDAP, "server"))
        native = _find(layer.tree, SERVER) or {}
        translator.translate(layer)
        if not made and spelled is not None and "host" not in native and "urls" not in native:
            maker, layer.fallbacks = spelled, _clearml_defaults()
        made = made or maker is not None or bool(native)
    return Translation(maker.origin if maker else None, translator.provider, translator.wording)


class _Translator:
    """Translates layers; knows what holds for all of them."""

    def __init__(self, problems: Problems, *, hashed: bool) -> None:
        self._problems = problems
        self._hashed = hashed
        self._placed: dict[Path, tuple[Path, Given]] = {}
        self.wording = Wording((*((row.spelled, row.key) for row in SPELLINGS if row.key), *_FURTHER_WORDS))
        self.provider: Origin | None = None
        """Where the last layer says that the provider is ldap."""

    def translate(self, layer: Layer) -> None:
        """Translate one layer in place."""
        self._placed = {}
        translate_servers(layer.tree, self._problems, self.wording)
        spelled = {name: layer.tree.pop(name) for name in _SPELLED.keys if name in layer.tree}
        for row in SPELLINGS:
            for names, given in _matches(spelled, row.spelled):
                self._row(layer, row, names, given)
        removed = _find(spelled, LDAP)
        if isinstance(removed, Given):
            self._place(layer.tree, SERVER, LDAP, Given(None, removed.origin))
        for path, key, given in layer.foreign:
            self.wording.note(path, key, given.origin)
            self._place(layer.tree, key, path, given)
        self._custom_attributes(layer, spelled)
        self._provider(spelled)
        self._fixed_users(layer, spelled)

    def _row(self, layer: Layer, row: Spelling, names: Path, given: Given | LayerTree) -> None:
        spelled = filled(row.spelled, names)
        if isinstance(given, LayerTree):
            for index, item in given.items():
                self._place(layer.tree, (*filled(row.key, names), index), (*spelled, index), item)
            return
        if not row.key:
            self._problems.warn(given.origin, spelled, "has no effect here")
            return
        key = filled(row.key, names)
        self.wording.note(spelled, key, given.origin)
        try:
            value = None if given.value is None else row.change(given.value)
        except ValueError as error:
            self._problems.add(given.origin, spelled, str(error))
            return
        self._place(layer.tree, key, spelled, Given(value, given.origin, given.overridden))

    def _place(self, tree: LayerTree, key: Path, spelled: Path, given: Given) -> None:
        """Put a translated value; two spellings with different values within one layer clash."""
        first_path, first = self._placed.get(key, (key, _find(tree, key)))
        if first is not None and _comparable(first.value) != _comparable(given.value):
            where = f"{first.origin} ({'.'.join(first_path)})"
            self._problems.add(given.origin, spelled, f"means the same key as {where}, which has another value")
            return
        self._placed[key] = (spelled, given)
        for name in key[:-1]:
            if isinstance(tree.get(name), Given):  # what the same layer removes, and gives anew
                tree[name] = LayerTree(given.origin)
                tree[name].afresh = True
            tree = tree.setdefault(name, LayerTree(given.origin))
        tree[key[-1]] = given

    def _custom_attributes(self, layer: Layer, spelled: dict[str, Any]) -> None:
        for place in (LDAP, (*LDAP, "attributes")):
            known = _shape_at(place).keys
            table = _find(spelled, place)
            for name, given in table.items() if isinstance(table, dict) else ():
                if name in known or not isinstance(given, Given):
                    continue
                if near := difflib.get_close_matches(name, known, 1, 0.8):
                    message = f'taken as a further attribute; did you mean "{near[0]}"?'
                    self._problems.warn(given.origin, (*place, name), message)
                self._place(layer.tree, (*SERVER, "attributes", "extra", name), (*place, name), given)

    def _provider(self, spelled: dict[str, Any]) -> None:
        path = (*FIXED_USERS, "provider")
        given = _find(spelled, path)
        if given is None or given.value is None:
            return
        if _lower(given.value) == "ldap":
            self.provider = given.origin
        else:
            self._problems.add(given.origin, path, "expected ldap: no other provider is supported")

    def _fixed_users(self, layer: Layer, spelled: dict[str, Any]) -> None:
        path = (*FIXED_USERS, "users")
        users = _find(spelled, path)
        if isinstance(users, Given):
            self._problems.warn(users.origin, path, "removes nothing: give the users under users")
            return
        for name, fields in (users or {}).items():
            if isinstance(fields, Given):
                continue
            for key, given in fields.items():
                ours = _FIXED_KEYS.get(key, key)
                self.wording.note((*path, name, key), ("users", name, ours), given.origin)
                self._fixed_user(layer, name, key, given)

    def _fixed_user(self, layer: Layer, name: str, key: str, given: Given) -> None:
        spelled, target = (*FIXED_USERS, "users", name, key), ("users", name)
        if key == "company":
            self._problems.warn(given.origin, spelled, "has no effect here: local users have the default company")
        elif key == "admin":
            role = "admin" if given.value is True else ""
            self._place(layer.tree, (*target, _FIXED_KEYS[key]), spelled, Given(role, given.origin))
        elif key == "password" and isinstance(given.value, str):
            try:
                password = _decoded(given.value) if self._hashed else _concealed(name, given.value)
            except ValueError as error:
                self._problems.add(given.origin, spelled, str(error))
            else:
                self._place(layer.tree, (*target, _FIXED_KEYS[key]), spelled, Given(password, given.origin))
        else:
            self._place(layer.tree, (*target, _FIXED_KEYS.get(key, key)), spelled, given)


_PROCESS_KEY: Final = secrets.token_bytes(32)


def _concealed(name: str, password: str) -> Secret:
    """A plain password as it is held in memory, by a salt that only this process knows.

    Within it the same password of the same user has the same form, so that a reload does not take it for changed.
    """
    if not password:
        raise ValueError("an empty password is not accepted")
    salt = hmac.digest(_PROCESS_KEY, f"{name}\0{password}".encode("utf-8", "surrogatepass"), "sha256")
    return plain_form(password, salt[:16])


def _decoded(text: str) -> str:
    """``pass_hashed``: the base64 of a bcrypt hash, not the hash itself (clearml.md 5)."""
    try:
        decoded = base64.b64decode(text, validate=True).decode("ascii")
        check_password_hash(decoded)
    except (binascii.Error, ValueError):
        raise ValueError("pass_hashed expects the base64 of a bcrypt hash") from None
    return decoded


def _clearml_defaults() -> LayerTree:
    """What a server that ClearML's keys made has where nothing else is said."""

    def default(value: Any) -> Given:
        return Given(value, DEFAULT)

    attributes = LayerTree(DEFAULT, {"email": default("mail email")})
    server = {"name": default("ldap"), "search_filter": default(SEARCH_FILTER), "attributes": attributes}
    return LayerTree(DEFAULT, {"servers": LayerTree(DEFAULT, {"ldap": LayerTree(DEFAULT, server)})})


def _comparable(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    return _as_list(value)


def _find(tree: Any, path: Path) -> Any:
    for name in path:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def _shape_at(path: Path) -> Table:
    node: Node = ROOT
    for name in path:
        node = node.keys[name] if isinstance(node, Table) else node
    if not isinstance(node, Table):
        raise LookupError(path)
    return node


def _matches(tree: Any, pattern: Path, names: Path = ()) -> Iterator[tuple[Path, Given | LayerTree]]:
    """Every value whose path fits, or its items by index; ``names`` are what stands for the ``*`` of the pattern."""
    if not pattern:
        if isinstance(tree, Given | LayerTree):
            yield names, tree
        return
    if not isinstance(tree, dict):
        return
    if pattern[0] != "*":
        yield from _matches(tree.get(pattern[0]), pattern[1:], names)
        return
    for name, below in tree.items():
        yield from _matches(below, pattern[1:], (*names, name))


