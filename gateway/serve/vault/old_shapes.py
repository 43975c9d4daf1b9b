"""Answers as a Vault of 2017 gave them, with ``vault.compatibility = "0.7"`` (vault.md 13)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from gateway.grants.policies.book import DEFAULT_POLICY, ROOT_POLICY
from gateway.serve.vault.reply import Reply

_AUTH: Final = ("client_token", "policies", "metadata", "lease_duration", "renewable", "accessor")
"""The accessor was there too, unknown to the first clients; without it a wrapped login could not be unwrapped."""
_MAPPINGS: Final = ("auth/{mount}/groups/{name*}", "auth/{mount}/users/{name*}")
_CONFIG: Final = "auth/{mount}/config"


def old_shape(reply: Reply, pattern: str) -> Reply:
    """The same answer as it was then; ``pattern`` is that of the route."""
    if reply.auth is not None:
        auth = {name: value for name, value in reply.auth.items() if name in _AUTH}
        return replace(reply, auth=auth, data=reply.data or None)
    if reply.data is None:
        return reply
    if pattern in _MAPPINGS:
        return replace(reply, data=_with_policies_in_one(reply.data))
    return replace(reply, data={**reply.data, "bindpass": ""}) if pattern == _CONFIG else reply


def _with_policies_in_one(data: Mapping[str, Any]) -> dict[str, Any]:
    """One text with commas, ``default`` among them."""
    given = set(data.get("policies", ()))
    policies = given if ROOT_POLICY in given else given | {DEFAULT_POLICY}
    return {**data, "policies": ",".join(sorted(policies))}
