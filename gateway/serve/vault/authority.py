"""Who makes a request of the Vault dialect, and whether they may: its token and the access list of its policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.serve.vault.reply import VaultError, permission_denied
from gateway.tokens.vault_tokens import Denied

if TYPE_CHECKING:
    from gateway.grants.policies.acl import Acl
    from gateway.identity import Identity
    from gateway.runtime import Live
    from gateway.serve.vault.call import Question
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
        raise permission_denied() from None
    return Holder(held, acl_of(live, held), question.token_text)


def permit(holder: Holder, question: Question, data: Mapping[str, Any]) -> None:
    """Let a request with this body through, ``sudo`` asked for where its path does. Raises VaultError 403."""
    if not holder.acl.allows(question.operation, question.path, data, wrap_seconds=question.wrap_ttl):
        # So a Vault words it, with the words that clients look for in it.
        raise VaultError(403, "1 error occurred:\n\t* permission denied\n\n")


def acl_of(live: Live, held: Held) -> Acl:
    """What a token may do: its own policies as they are written now, never those of its owner (DECISIONS 20)."""
    values = {"identity.entity.id": held.identity.id} if held.identity else {}
    return live.vault.policies.acl(held.row.policies, values)
