"""The groups that groups are in, level by level. Pure but for the question that it is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final

from gateway.directory.escape import comparable_dn
from gateway.identity import Group

Parents = Callable[[Sequence[str]], Awaitable[Iterable[Group]]]
"""The groups that have one of these DNs as a member: one question for a whole level."""

_cached = lru_cache(maxsize=8192)(comparable_dn)
"""Because the same few groups come with every login."""
_CACHED_UP_TO: Final = 1024
"""Characters: what is kept of a directory's text must not grow without bounds."""
_AT_ONCE: Final = 100
"""Names that are compared before others get their turn."""


async def ancestors(groups: Iterable[Group], parents: Parents, *, depth: int, limit: int) -> list[Group]:
    """The groups above ``groups``, which are not among them, in order of distance.

    Each group is asked about once, so loops end; after ``depth`` levels, or with more than ``limit`` groups in all, it
    ends too. Groups without a DN have nothing above them.
    """
    seen = {key async for key, group in _by_name(groups) if group.dn}
    level = list(dict.fromkeys(group.dn for group in groups if group.dn))
    found: list[Group] = []
    for _ in range(depth):
        if not level or len(seen) > limit:
            break
        above: dict[str, Group] = {}
        async for key, group in _by_name(await parents(level)):
            if key not in seen:
                above.setdefault(key, group)
        seen |= above.keys()
        found += above.values()
        level = [group.dn for group in above.values()]
    return found


async def _by_name(groups: Iterable[Group]) -> AsyncIterator[tuple[str, Group]]:
    """Each group with the form of its DN that is compared."""
    for number, group in enumerate(groups, 1):
        yield (_cached if len(group.dn) <= _CACHED_UP_TO else comparable_dn)(group.dn), group
        if not number % _AT_ONCE:
            await asyncio.sleep(0)
