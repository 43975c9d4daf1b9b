"""``users.*``: the caller's record, preferences and vaults (clearml.md 7.1, 9)."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from gateway.grants.mapping import SERVICE_ROLES
from gateway.serve.clearml import errors
from gateway.serve.clearml.endpoint import Answer, Endpoint, Request
from gateway.vaults.book import vaults_of


async def get_current_user(request: Request) -> Answer:
    """The record that the web UI starts with; services have none."""
    identity = request.identity
    if identity.grant.clearml_role in SERVICE_ROLES and not identity.account.server:
        raise errors.failed_loading_user()
    grant = identity.grant
    name = identity.account.name or identity.account.username
    given_name, _, family_name = name.partition(" ")
    user = {
        "id": identity.user_id,
        "name": name,
        "given_name": given_name,
        "family_name": family_name,
        "role": grant.clearml_role,
        "company": {"id": grant.company, "name": grant.company_name},
        "created": datetime.fromtimestamp(identity.created_at, UTC).isoformat(),
    }
    known = {key: value for key, value in user.items() if value}
    return Answer({"user": known, "getting_started": {}, "settings": {"max_download_items": 50000}})


async def get_preferences(request: Request) -> Answer:
    """What the web UI stored about itself, dotted paths nested again."""
    return Answer({"preferences": _nested(await request.live.store.preferences(request.identity.id))})


async def get_vaults(request: Request) -> Answer:
    """The vaults that apply to the caller; the SDK asks for enabled ones of type ``config``."""
    vaults = vaults_of(
        request.identity, types=request.texts("types"), enabled_only=request.flag("enabled", default=False)
    )
    request.flag("preview_data", default=False)
    return Answer({"vaults": [asdict(vault) for vault in vaults]})


def _nested(paths: dict[str, object]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in paths.items():
        *parents, leaf = path.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree


ENDPOINTS = (
    Endpoint("users.get_current_user", get_current_user),
    Endpoint("users.get_preferences", get_preferences),
    Endpoint("users.get_vaults", get_vaults),
)
