"""Lays what ``servers.preset`` gives below a merged tree, so that every value still knows where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .layer import LayerTree
from .merge import fill, live
from .origin import DEFAULT, Given, Origin, Path, Problems
from .schema import Server
from .schema.presets import PRESETS
from .schema.shape import shape_of

IMPLIED: Final = Origin("default", "Vault's names of fields")
"""Origin of a preset that nobody wrote; one that somebody wrote wins, whatever the order of their layers."""


def apply_presets(tree: LayerTree, problems: Problems) -> None:
    """Fill in what the preset of each server gives."""
    node = shape_of(Server)
    servers = live(tree).get("servers")
    for name, server in live(servers).items() if isinstance(servers, LayerTree) else ():
        if not isinstance(server, LayerTree):
            continue
        given = _chosen(server)
        preset = given.value if given is not None else None
        if isinstance(preset, str) and preset in PRESETS:
            if given is not None and given.origin == IMPLIED:
                _warn_of_mixture(server, ("servers", name), problems)
            fill(node, server, _layer(_defaults(preset, live(server)), Origin("default", f"preset {preset}")))


def _chosen(server: LayerTree) -> Given | None:
    """The preset that holds; an implied one gives way to what it was laid on."""
    given = server.get("preset")
    while isinstance(given, Given) and given.origin == IMPLIED and given.overridden is not None:
        given = server["preset"] = given.overridden
    return given if isinstance(given, Given) else None


def _warn_of_mixture(server: LayerTree, path: Path, problems: Problems) -> None:
    """One of Vault's names changes what holds for all that a server written in our own words leaves out."""
    for key in ("host", "search_base_dns"):
        if isinstance(given := server.get(key), Given) and any(origin.kind != "default" for origin in given.origins):
            message = "the server has preset vault, because Vault's names are used for it too: give a preset of its own"
            problems.warn(given.origins[-1], (*path, key), message)
            return


def _defaults(preset: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    defaults: dict[str, Any] = dict(PRESETS[preset])
    if not given.keys().isdisjoint(("host", "port", "use_ssl")):
        defaults.pop("urls", None)
    if preset == "vault":
        # The name goes by userattr; by UPN people are found in Active Directory alone, and userattr is not looked at.
        attribute = given.get("user_attr", Given(defaults["user_attr"], DEFAULT)).value
        username = "sAMAccountName" if "upn_domain" in given and given["upn_domain"].value else attribute
        # Vault refuses a minimum above its default for the maximum; here it is meant.
        if "min_tls_version" in given and str(given["min_tls_version"].value).upper() > defaults["max_tls_version"]:
            del defaults["max_tls_version"]
        defaults["attributes"] = {"username": username, **defaults["attributes"]}
    return defaults


def _layer(values: Mapping[str, Any], origin: Origin) -> LayerTree:
    items = {
        key: _layer(value, origin) if isinstance(value, Mapping) else Given(value, origin)
        for key, value in values.items()
    }
    return LayerTree(origin, items)
