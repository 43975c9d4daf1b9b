"""What is told to Grafana, and Grafana takes otherwise: warnings, found without the network (grafana.md 4, 5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from gateway.grants.grafana_settings import lowered_admins

from .schema import Configuration, GroupMapping
from .schema.section import Finding, Place

_PRESETS: Final = (("identity_headers", "preset"), ("identity_headers", "presets"), ("access_control", "rules"))


def doubtful_delivery(configuration: Configuration) -> Iterator[Finding]:
    """Findings of severity ``warning`` alone, with places from the root."""
    fields = _told(configuration)
    if "token" in fields and not configuration.public_url.startswith("https://"):
        message = "is not https, and Grafana fetches /.well-known/jwks.json over nothing else: it refuses every token"
        yield Finding(("public_url",), message, "warning", rests_on=_PRESETS)
    if configuration.grafana.skip_org_role_sync:
        return
    for place, mappings in _mappings(configuration):
        if "token" in fields:
            yield from _lowered(place, mappings)
        if "role" in fields:
            yield from _not_told(place, mappings, configuration.grafana.default_org)


def _told(configuration: Configuration) -> set[str]:
    """The fields of every preset that some request may be answered with."""
    control, headers = configuration.access_control, configuration.identity_headers
    used = {rule.headers or headers.preset for rule in control.rules if rule.policy != "deny"}
    if control.default_policy != "deny":
        used.add(headers.preset)
    return {field for preset in used for field in headers.known.get(preset, {}).values()}


def _mappings(configuration: Configuration) -> Iterator[tuple[Place, Sequence[GroupMapping]]]:
    yield ("group_mappings",), configuration.group_mappings
    for index, server in enumerate(configuration.servers):
        yield ("servers", index, "group_mappings"), server.group_mappings


def _lowered(place: Place, mappings: Sequence[GroupMapping]) -> Iterator[Finding]:
    for admin, row in lowered_admins(mappings):
        message = f"Grafana makes its administrators Admin wherever they have a role: {row.group_dn} gives them "
        message += f"{row.org_role} in organisation {row.org_id}, and a token cannot say so"
        where = (*place, next(index for index, found in enumerate(mappings) if found is admin), "grafana_admin")
        yield Finding(where, message, "warning", rests_on=_PRESETS)


def _not_told(place: Place, mappings: Sequence[GroupMapping], default: int) -> Iterator[Finding]:
    """The first mapping of each kind that a header cannot tell."""
    advice = "headers = grafana-jwt tells both"
    other = next((index for index, row in enumerate(mappings) if row.org_role and row.org_id != default), None)
    if other is not None:
        message = f"a header speaks of organisation {default} alone (grafana.default_org), and Grafana takes people "
        message += f"out of every other: {advice}"
        yield Finding((*place, other, "org_id"), message, "warning", rests_on=_PRESETS)
    admin = next((index for index, row in enumerate(mappings) if row.grafana_admin), None)
    if admin is not None:
        message = f"no header can say so to Grafana: {advice}"
        yield Finding((*place, admin, "grafana_admin"), message, "warning", rests_on=_PRESETS)
