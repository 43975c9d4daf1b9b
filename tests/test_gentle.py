"""Threads that only compute leave the processor to the event loop."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from gateway.gentle import NICER
from tests.serve.asking import CONFIGURATION
from tests.serve.gateway_room import room_of

LOWEST = 19


async def test_passwords_are_hashed_behind_everything_else(tmp_path: Path) -> None:
    """forward-auth.md 6: an answer must not wait for logins."""
    async with room_of(tmp_path, CONFIGURATION) as room:
        ours = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        await room.login("ada")
        hashing = [thread for thread in threading.enumerate() if thread.name.startswith("password-hash")]
        priorities = {os.getpriority(os.PRIO_PROCESS, thread.native_id or 0) for thread in hashing}
        assert priorities == {min(ours + NICER, LOWEST)}
        assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == ours
