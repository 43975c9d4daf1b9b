"""The variables that configure Conjur's LDAP authenticator, in our words (conjur.md 4, configuration.md 1.7).

They are read from the environment alone, by their own names, into the layer of ``CLEARML__`` variables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from .layer import Layer, LayerTree, Shaper
from .origin import DEFAULT, Given, Origin, Path

ADDRESS: Final = "LDAP_URI"
"""Makes the server; without it the other ``LDAP_`` variables are somebody else's."""
AUTHENTICATORS: Final = "CONJUR_AUTHENTICATORS"
NEEDED_BESIDES: Final[tuple[Path, ...]] = (("conjur", "account"), ("conjur", "services", "*", "allow"))
"""Keys that go with it: Conjur has them in its database, and no variable for them."""
KEY: Final = "SLOSILO_KEY"
_SERVER: Final = ("servers", "ldap")
TEMPLATE: Final = "LDAP_FILTER"
_FILTER: Final = "(&(objectClass=posixAccount)(uid=%s))"
"""Conjur's default of it."""
_DIRECTIVE: Final = re.compile(r"%(.?)", re.DOTALL)
_SERVICE: Final = "authn-ldap/"
"""Begins the name of an enabled service."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One row: the variable, our key, and how its text becomes the key's value."""

    name: str
    key: Path
    change: Callable[[str], Any]


def _filter(text: str) -> str:
    """Conjur's template is printf-like: ``%%`` is a percent sign, which RFC 4515 lets us write as ``\\25``."""
    return text.replace("%%", "\\25")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


VARIABLES: Final = (
    Variable(ADDRESS, (*_SERVER, "urls"), str.split),
    Variable("LDAP_BASE", (*_SERVER, "search_base_dns"), lambda text: [text]),
    Variable(TEMPLATE, (*_SERVER, "search_filter"), _filter),
    Variable("LDAP_BINDDN", (*_SERVER, "bind_dn"), str),
    Variable("LDAP_BINDPW", (*_SERVER, "bind_password"), str),
    Variable(KEY, ("conjur", "signing_key"), str),
    Variable(AUTHENTICATORS, ("conjur", "authn_alias"), lambda text: "authn" in _names(text)),
)


def read_conjur(environment: Mapping[str, str], layer: Layer, shaper: Shaper) -> None:
    """Add what Conjur's variables say to the layer. An empty variable is none."""
    _read_values(environment, layer, shaper)
    _read_services(environment.get(AUTHENTICATORS, ""), layer)
    _read_key_file(environment, layer, shaper)
    if environment.get(ADDRESS):
        defaults = {"name": Given("ldap", DEFAULT), "search_filter": Given(_FILTER, DEFAULT)}
        layer.fallbacks = LayerTree(DEFAULT, {"servers": LayerTree(DEFAULT, {"ldap": LayerTree(DEFAULT, defaults)})})


def _read_values(environment: Mapping[str, str], layer: Layer, shaper: Shaper) -> None:
    for row in VARIABLES:
        text = environment.get(row.name, "")
        origin = Origin("variable", row.name)
        if not text:
            continue
        if row.name.startswith("LDAP_") and not environment.get(ADDRESS):
            shaper.problems.warn(origin, row.key, f"not used, because {ADDRESS} is not set")
        elif row.name == TEMPLATE and [*filter("%".__ne__, _DIRECTIVE.findall(text))] != ["s"]:
            # Conjur answers 422 to each login then (conjur.md 3).
            shaper.report(origin, row.key, "needs exactly one %s, for the user name, and %% for a percent sign")
        else:
            layer.foreign.append(((row.name,), row.key, Given(row.change(text), origin)))


def _read_services(text: str, layer: Layer) -> None:
    origin = Origin("variable", AUTHENTICATORS)
    for name in _names(text):
        if name.startswith(_SERVICE) and name != _SERVICE:
            services = layer.tree.setdefault("conjur", LayerTree(origin)).setdefault("services", LayerTree(origin))
            services.setdefault(name.removeprefix(_SERVICE).lower(), LayerTree(origin))


def _read_key_file(environment: Mapping[str, str], layer: Layer, shaper: Shaper) -> None:
    if not (file := environment.get(f"{KEY}_FILE", "")):
        return
    origin, key = Origin("variable", f"{KEY}_FILE"), ("conjur", "signing_key")
    if environment.get(KEY):
        shaper.report(origin, key, f"given together with {KEY}")
    elif given := shaper.secret_file(Given(file, origin), key):
        layer.foreign.append(((f"{KEY}_FILE",), key, given))
