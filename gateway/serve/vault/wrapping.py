"""Putting an answer away for whoever brings its wrapping token (vault.md 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.serve.vault.reply import Reply, VaultError, render
from gateway.store.interface import OverLimit
from gateway.tokens.vault_lookup import shown_time

if TYPE_CHECKING:
    from gateway.serve.vault.authority import Holder
    from gateway.serve.vault.call import Question
    from gateway.store.wrapped import WrappedRow


async def wrap(question: Question, reply: Reply, holder: Holder | None) -> Reply:
    """What a client that asked for wrapping is told instead: where the reply is. Raises VaultError 400 and StoreError.

    An empty reply and one without envelope are given as they are, as is every refusal. A ``holder`` is whose request
    it is; without one whoever has just logged in.
    """
    if not question.wrap_ttl or reply.empty or reply.bare is not None:
        return reply
    accessor = str(reply.auth.get("accessor", "")) if reply.auth else ""
    longest = int(question.live.configuration.vault.max_lease_ttl)
    try:
        text, row = await question.live.vault.wrappings.wrap(
            render(reply, question.request_id),
            creation_path=question.path,
            ttl=min(question.wrap_ttl, longest),
            now=question.now,
            wrapped_accessor=accessor,
            holder=_counted(reply, holder),
        )
    except OverLimit as refused:
        if accessor:  # of a token that nobody will ever see
            await question.live.vault.tokens.revoke_accessor(accessor, question.now)
        raise VaultError(400, str(refused)) from None
    return Reply(wrap_info=_wrap_info(text, row))


def _counted(reply: Reply, holder: Holder | None) -> str:
    """Under whose name the answer is counted: the person's, else that of the token; root's are not."""
    if holder is None:
        return str(reply.auth.get("entity_id", "")) if reply.auth else ""
    row = holder.row
    return "" if holder.acl.root else row.identity or row.accessor or row.hash.hex()


def _wrap_info(text: str, row: WrappedRow) -> dict[str, Any]:
    info: dict[str, Any] = {
        "token": text,
        "accessor": row.accessor,
        "ttl": row.expires_at - row.created_at,
        "creation_time": shown_time(row.created_at),
        "creation_path": row.creation_path,
    }
    # Without it the command line refuses to unwrap a login.
    return info | ({"wrapped_accessor": row.wrapped_accessor} if row.wrapped_accessor else {})
