"""``auth.*_credentials``: the caller's access keys (clearml.md 9)."""

from __future__ import annotations

from typing import Any, Final

from gateway.serve.clearml import errors
from gateway.serve.clearml.endpoint import Answer, Endpoint, Request, iso_time
from gateway.store.interface import TokenRow
from gateway.tokens.access_keys import MOST_KEYS, TooManyKeys, Uncheckable

MOST_SECONDS: Final = 10 * 365 * 86400
"""Longest life that can be asked for; without asking, a key has no end."""
MAX_LABEL: Final = 256


async def create_credentials(request: Request) -> Answer:
    """Make a key for the caller; its secret is in this answer and nowhere else.

    Not for somebody else by impersonation: the key would outlive whoever made it, and carry all rights of its owner.
    """
    owner = request.person
    if owner.actor:
        raise errors.only_for_oneself()
    label = _label(request)
    seconds = request.number("expiration_sec", 0, MOST_SECONDS)
    expires_at = request.now + seconds if seconds else None
    try:
        new = await request.live.keys.create(owner, label, expires_at, request.now)
    except TooManyKeys:
        raise errors.validation(f"a user may have {MOST_KEYS} keys: revoke one") from None
    except Uncheckable:
        why = f"server {owner.account.server} has nobody to ask whether a key's owner is still there"
        raise errors.validation(f"{why}, so there are no keys for its users") from None
    request.audit("key.create", owner, new.access_key)
    shown: dict[str, Any] = {"access_key": new.access_key, "secret_key": new.secret_key}
    if label:
        shown["label"] = label
    if expires_at is not None:
        shown["expire"] = iso_time(expires_at)
    return Answer({"credentials": shown})


async def get_credentials(request: Request) -> Answer:
    """List the caller's keys without their secrets, oldest first."""
    rows = await request.live.keys.of(request.person.id, request.now)
    return Answer({"credentials": [_shown(row) for row in rows]})


async def edit_credentials(request: Request) -> Answer:
    """Label a key anew."""
    key = request.text("access_key")
    if not await request.live.keys.relabel(request.person.id, key, _label(request), request.now):
        raise errors.access_key_not_found()
    request.audit("key.edit", request.caller.own, key)
    return Answer({"updated": 1})


async def revoke_credentials(request: Request) -> Answer:
    """End a key; tokens that were got with it keep their own end."""
    key = request.text("access_key")
    if not await request.live.keys.revoke(request.person.id, key, request.now):
        raise errors.invalid_access_key()
    request.audit("key.revoke", request.caller.own, key)
    return Answer({"revoked": 1})


def _label(request: Request) -> str:
    label = request.optional_text("label")
    if len(label) > MAX_LABEL:
        raise errors.validation(f"error for field 'label'. expected at most {MAX_LABEL} characters")
    return label


def _shown(row: TokenRow) -> dict[str, str]:
    fields = {
        "access_key": row.accessor,
        "label": row.label,
        "last_used": "" if row.last_used_at is None else iso_time(row.last_used_at),
        "last_used_from": row.last_used_from,
        "expire": "" if row.expires_at is None else iso_time(row.expires_at),
    }
    return {name: value for name, value in fields.items() if value}


ENDPOINTS = (
    Endpoint("auth.create_credentials", create_credentials, changes_state=True),
    Endpoint("auth.get_credentials", get_credentials),
    Endpoint("auth.edit_credentials", edit_credentials, changes_state=True),
    Endpoint("auth.revoke_credentials", revoke_credentials, changes_state=True),
)
