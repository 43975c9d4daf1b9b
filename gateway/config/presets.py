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
from .wording import Wording

IMPLIED: Final = Origin("default", "Vault's names of fields")
"""Origin of a preset that nobody wrote; one that somebody wrote wins, whatever the order of their layers."""


def apply_presets(tree: LayerTree, problems: Problems, wording: Wording) -> None:
    """Fill in what the preset of each server gives. ``wording`` knows which keys came by Vault's names."""
    node = shape_of(Server)
    servers = live(tree).get("servers")
    for name, server in live(servers).items() if isinstance(servers, LayerTree) else ():
        if not isinstance(server, LayerTree):
            continue
        given = _chosen(server)
        preset = given.value if given is not None else None
        if isinstance(preset, str) and preset in PRESETS:
            if given is not None and given.origin == IMPLIED:
                _warn_of_mixture(server, ("servers", name), problems, wording)
            fill(node, server, _layer(_defaults(preset, live(server)), Origin("default", f"preset {preset}")))


def _chosen(server: LayerTree) -> Given | None:
    """The preset that holds; an implied one gives way to what it was laid on."""
    given = server.get("preset")
    while isinstance(given, Given) and given.origin == IMPLIED and given.overridden is not None:
        given = server["preset"] = given.overridden
    return given if isinstance(given, Given) else None


def _warn_of_mixture(server: LayerTree, path: Path, problems: Problems, wording: Wording) -> None:
    """One of Vault's names changes what holds for all that a server written in our own words leaves out."""
    given = {key: value for key, value in server.items() if isinstance(value, Given)}
    theirs = {
        key: spelled
        for key, value in given.items()
        if (spelled := wording.spelled((*path, key), value.origin.place)) and spelled[:-1] == path
    }
    ours = [
        key
        for key in ("host", "search_base_dns")
        if key in given and key not in theirs and any(origin.kind != "default" for origin in given[key].origins)
    ]
    if not ours:
        return
    if not theirs:  # fields without effect, or hidden by a later layer
        message = "the server has preset vault, because Vault's names are used for it too: give a preset of its own"
        problems.warn(given[ours[0]].origins[-1], (*path, ours[0]), message)
        return
    key, spelled = next(iter(theirs.items()))
    message = f"is Vault's name, and {ours[0]} is ours: the server has preset vault with Vault's defaults;"
    problems.warn(given[key].origin, spelled, f"{message} give a preset of its own, or write {key}")


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
