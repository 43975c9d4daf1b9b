"""Response wrapping: an answer is kept, sealed, for whoever brings its wrapping token first (vault.md 10)."""

from __future__ import annotations

from collections.abc import Callable

from gateway.store.interface import Store
from gateway.store.wrapped import WrappedRow
from gateway.tokens.opaque import digest, mint_accessor


class Wrappings:
    """Wraps and unwraps; a wrapping token is good for nothing else."""

    def __init__(self, store: Store, mint: Callable[[], str]) -> None:
        """``mint`` makes the text of a service token."""
        self._store = store
        self._mint = mint

    async def wrap(
        self,
        response: bytes,
        *,
        creation_path: str,
        ttl: int,
        now: int,
        wrapped_accessor: str = "",
        holder: str = "",
    ) -> tuple[str, WrappedRow]:
        """The wrapping token, and what may be said of it; durable on return. ``ttl`` is in seconds, at least 1.

        ``OverLimit`` where too many answers of the ``holder`` wait; of no holder they are not counted.
        """
        text = self._mint()
        row = WrappedRow(digest(text), mint_accessor(), creation_path, wrapped_accessor, holder, now, now + ttl)
        await self._store.wrap_put(row, response)
        return text, row

    async def peek(self, text: str, now: int) -> WrappedRow | None:
        """What ``sys/wrapping/lookup`` tells, consuming nothing; None: not valid, ended, or used."""
        row = await self._store.wrap_peek(digest(text))
        return row if row is not None and now < row.expires_at else None

    async def unwrap(self, text: str, now: int) -> bytes | None:
        """The answer, once; None afterwards, or when it has ended."""
        # A look first: guesses must not become writes.
        if await self.peek(text, now) is None:
            return None
        taken = await self._store.wrap_take(digest(text))
        return None if taken is None else taken[1]
