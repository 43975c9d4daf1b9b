"""Whom an administrator means by a name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from gateway.identity import fold_name
from gateway.login import MAX_NAME
from gateway.serve.admin.callers import Refusal
from gateway.tokens.issuer import is_text

if TYPE_CHECKING:
    from gateway.store.interface import IdentityRow, Store

_MOST: Final = 1000
"""People of one name that are found; most of them have left."""
_MOST_NAMED: Final = 20


def label_of(row: IdentityRow) -> str:
    """``server/username``."""
    return f"{row.server}/{row.username}"


def usable_name(value: object) -> str:
    """What was given as ``user``. Raises Refusal 400."""
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_NAME or not is_text(value) or "\0" in value:
        raise Refusal(400, "user: expected NAME, SERVER/NAME or an id")
    return value.strip()


async def people_named(store: Store, user: str) -> list[IdentityRow]:
    """Everyone who has logged in by this name, whom the directory or the configuration no longer knows included.

    A name is the id of an identity, SERVER/NAME, a name on any server, or a ClearML user id: the first of them that
    fits. So nobody is meant by somebody else's SERVER/NAME who is called that.
    """
    if (row := await store.identity(user)) is not None:
        return [row]
    found: dict[str, IdentityRow] = {}
    for server, name in _readings(user):
        rows = await store.identities(username=name, limit=_MOST)
        found |= {row.id: row for row in rows if fold_name(row.server) == server}
    if found:
        return list(found.values())
    named = await store.identities(username=user, limit=_MOST)
    return named or await store.identities(backend_id=user, limit=_MOST)


async def known_people(store: Store, user: object) -> list[IdentityRow]:
    """The same of what was given as ``user``; never empty. Raises Refusal 400 and 404."""
    if not (rows := await people_named(store, usable_name(user))):
        raise Refusal(404, "user: nobody of this name has logged in")
    return rows


async def known_person(store: Store, user: object) -> list[IdentityRow]:
    """The same of one name on one server: a person, and whoever had the name before. Raises Refusal 400 and 404."""
    rows = await known_people(store, user)
    if len({(fold_name(row.server), fold_name(row.username)) for row in rows}) > 1:
        named = ", ".join(sorted(f"{label_of(row)} (id {row.id})" for row in rows)[:_MOST_NAMED])
        raise Refusal(400, f"user: several people have this name: {named}; give the SERVER/NAME or the id of one")
    return rows


def _readings(user: str) -> Iterator[tuple[str, str]]:
    """Server, in small letters, and name; both may hold slashes."""
    for place, letter in enumerate(user):
        if letter == "/":
            yield fold_name(user[:place]), user[place + 1 :]
