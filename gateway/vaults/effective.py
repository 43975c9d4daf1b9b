"""What the vaults of one person come to, as the API and the command line show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from gateway.hocon import Position
from gateway.identity import Identity
from gateway.store.interface import VaultRow

from .book import Book
from .merge import Format, Leaf, Merged, Source, merge
from .text import in_thread

MOST_KEYS: Final = 10_000
"""Keys whose origins an answer tells."""


@dataclass(frozen=True, slots=True)
class Effective:
    """The vaults that somebody's clients get, in their order, and what these come to."""

    identity: Identity
    vaults: Sequence[VaultRow]
    groups: Mapping[str, str]
    """Their names by id."""
    merged: Merged

    def text(self, format: Format) -> str:  # noqa: A002 - the word people look for
        """The configuration; but in JSON with a comment for each vault that clients lose."""
        lost = "" if format == "json" else "".join(
            f"# lost: vault {vault.label}, line {vault.line}, column {vault.column}: {vault.message}\n"
            for vault in self.merged.dropped
        )
        return lost + self.merged.text(format)

    def view(self) -> dict[str, Any]:
        """The JSON form of all of it; takes long for many keys.

        ``vaults`` and ``dropped`` name each by its id, ``keys`` by the id who set it and who else would have. ``needs``
        are the variables without which clients lose a vault.
        """
        leaves = self.merged.leaves()
        keys = [_key_view(leaf) for leaf in islice(leaves, MOST_KEYS)]
        return {
            "user": {"id": self.identity.user_id, "name": self.identity.label},
            "vaults": [self._vault_view(vault) for vault in self.vaults],
            "config": self.merged.tree,
            "keys": keys,
            "more_keys": sum(1 for _ in leaves),
            "dropped": [
                {"vault": lost.label, "line": lost.line, "column": lost.column, "message": lost.message}
                for lost in self.merged.dropped
            ],
        }

    def _vault_view(self, vault: VaultRow) -> dict[str, Any]:
        needs = list(self.merged.needs.get(vault.id, ()))
        shown = {"id": vault.id, "scope": vault.scope, "description": vault.description, "needs": needs}
        group = {"group": vault.owner, "group_name": self.groups.get(vault.owner, "")}
        return shown | group if vault.scope == "group" else shown


async def effective(book: Book, identity: Identity) -> Effective:
    """Merge what somebody's clients get, at the turn of whoever asks (``Book.turns``). Raises StoreError."""
    vaults = await book.applied(identity)
    sources = [Source(vault.id, vault.delivered) for vault in vaults if vault.delivered]
    return Effective(identity, vaults, await book.group_names(), await in_thread(merge, sources))


def _key_view(leaf: Leaf) -> dict[str, Any]:
    return {
        "key": list(leaf.path),
        "value": leaf.value,
        **({"written": leaf.written} if leaf.written else {}),
        **_place_view(leaf.position),
        "overrides": [_place_view(place) for place in leaf.overrides],
    }


def _place_view(place: Position) -> dict[str, Any]:
    return {"vault": place.name, "line": place.line, "column": place.column}
