"""The groups that groups are in, level by level. Pure but for the question that it is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import lru_cache

from gateway.directory.escape import comparable_dn
from gateway.identity import Group

Parents = Callable[[Sequence[str]], Awaitable[Iterable[Group]]]
"""The groups that have one of these DNs as a member: one question for a whole level."""

_comparable_dn = lru_cache(maxsize=8192)(comparable_dn)
"""Cached, because the same few groups come with every login."""


async def ancestors(groups: Iterable[Group], parents: Parents, *, depth: int, limit: int) -> list[Group]:
    """The groups above ``groups``, which are not among them, in order of distance.

    Each group is asked about once, so loops end; after ``depth`` levels, or with more than ``limit`` groups in all, it
    ends too. Groups without a DN have nothing above them.
    """
    seen = {_comparable_dn(group.dn) for group in groups if group.dn}
    level = list(dict.fromkeys(group.dn for group in groups if group.dn))
    found: list[Group] = []
    for _ in range(depth):
        if not level or len(seen) > limit:
            break
        above: dict[str, Group] = {}
        for group in await parents(level):
            key = _comparable_dn(group.dn)
            if key not in seen:
                above.setdefault(key, group)
        seen |= above.keys()
        found += above.values()
        level = [group.dn for group in above.values()]
    return found
