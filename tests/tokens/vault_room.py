"""Vault tokens over a real store, as one process has them. As a program: one process that makes tokens until killed."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gateway.config.schema import Configuration
from gateway.directory.local_users import LocalUsers
from gateway.identities import Identities
from gateway.identity import Account, Identity
from gateway.store.sealing import Sealer
from gateway.store.sqlite import SqliteStore
from gateway.tokens.vault_batch import BatchTokens, load_keys
from gateway.tokens.vault_children import NewToken
from gateway.tokens.vault_tokens import VaultTokens
from gateway.tokens.vault_ttl import Terms
from gateway.tokens.vault_wrapping import Wrappings

NOW = int(time.time())
BASE = "dc=example,dc=com"
ADA = Account("corp", "uuid-1", "ada", "Ada L", "ada@example.com", f"uid=ada,{BASE}")
ROOT = "the-root-token"


class Room:
    def __init__(self, path: Path) -> None:
        self.store = SqliteStore.open(path, sealer=Sealer(b"k" * 32))
        self.threads = ThreadPoolExecutor(1)

    async def start(self, servers: tuple[str, ...] = ("corp",), **changes: Any) -> None:
        await self.store.migrate()
        given = [{"name": name, "host": "ldap.example.com", "search_base_dns": (BASE,)} for name in servers]
        settings = Configuration.model_validate({"state_dir": "/var/empty", "servers": given})
        self.identities = Identities(self.store, settings, LocalUsers(settings.users, self.threads, 1))
        self.batch = BatchTokens(await load_keys(self.store, NOW))
        self.tokens = VaultTokens(self.store, self.identities, self.batch, **{"root_token": ROOT} | changes)
        self.wrappings = Wrappings(self.store, self.tokens.mint)

    async def ada(self) -> Identity:
        return await self.identities.admit(ADA, "ada", NOW)

    async def close(self) -> None:
        self.threads.shutdown()
        await self.store.close()


def login(identity: str | None = None, **changes: Any) -> NewToken:
    """What a login of ada makes."""
    values: dict[str, Any] = {
        "policies": ("admins", "default"), "path": "auth/corp/login/ada", "terms": Terms(ttl=3600), "identity": identity,
        "server": "corp", "display_name": "corp-ada", "meta": {"username": "ada"},
    }  # fmt: skip
    return NewToken(**values | changes)


async def _make(path: Path) -> None:
    """Make tokens from four tasks for ever and print each one as soon as its text is known."""
    room = Room(path)
    await room.start()

    async def client() -> None:
        while True:
            made = await room.tokens.issue(login(), NOW)
            os.write(1, f"{made.text} {made.row.accessor}\n".encode())

    await asyncio.gather(*(client() for _ in range(4)))


if __name__ == "__main__":
    asyncio.run(_make(Path(sys.argv[1])))
