"""Who makes a request of the Vault dialect, and whether they may: its token and the access list of its policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.grants.policies.parameters import as_sent
from gateway.grants.policies.policy import ENTITY
from gateway.serve.vault.reply import VaultError, permission_denied
from gateway.serve.vault.trail import note_denied, note_unknown
from gateway.serve.vault.values import meaning_of
from gateway.tokens.vault_tokens import Denied

if TYPE_CHECKING:
    from gateway.grants.policies.acl import Acl
    from gateway.identity import Identity
    from gateway.runtime import Live
    from gateway.serve.vault.call import Question
    from gateway.serve.vault.routes import Match
    from gateway.store.interface import TokenRow
    from gateway.tokens.vault_tokens import Held


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose request it is."""

    held: Held
    acl: Acl
    text: str = field(repr=False)
    """The token itself."""

    @property
    def row(self) -> TokenRow:
        """The token's record, the use by this request counted."""
        return self.held.row

    @property
    def identity(self) -> Identity | None:
        """None for tokens that are nobody's: root's, and orphans."""
        return self.held.identity


async def authorise(question: Question) -> Holder:
    """The holder of a request's token. Raises VaultError 403 and StoreError.

    To be called exactly once for a request that is not open, whatever becomes of it: it counts the use (vault.md 6).
    """
    live = question.live
    if not question.token_text:
        raise permission_denied()
    address = None if question.client is None else str(question.client)
    try:
        held = await live.vault.tokens.authenticate(question.token_text, address, question.now)
    except Denied:
        note_unknown(question)
        raise permission_denied() from None
    return Holder(held, acl_of(live, held), question.token_text)


def permit(holder: Holder, question: Question, match: Match | None, data: Mapping[str, Any]) -> None:
    """Let a request with this body through, ``sudo`` asked for where its path does. Raises VaultError 403.

    Names that are kept in another form than they were sent in are judged in both, and the stricter verdict holds: what
    is said of ``groups/admins`` is said of ``groups/Admins``.
    """
    meaning = as_sent if match is None else meaning_of(match.route.fields)
    paths = {question.path, question.path if match is None else match.kept_path(question.path, question.live)}
    if not all(
        holder.acl.allows(question.operation, path, data, meaning=meaning, wrap_seconds=question.wrap_ttl)
        for path in paths
    ):
        note_denied(question, holder)
        # So a Vault words it, with the words that clients look for in it.
        raise VaultError(403, "1 error occurred:\n\t* permission denied\n\n")


def acl_of(live: Live, held: Held) -> Acl:
    """What a token may do: its own policies as they are written now, never those of its owner (DECISIONS 20)."""
    values = {ENTITY: held.identity.id} if held.identity else {}
    return live.vault.policies.acl(held.row.policies, values)
