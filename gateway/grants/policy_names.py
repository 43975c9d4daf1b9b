"""Which Vault policies a person gets by name and by groups (vault.md 2, 6).

What ``auth/MOUNT/groups`` and ``auth/MOUNT/users`` write stands beside what is declared for every mount. The one place
where this is decided: for tokens, and for ``policy:`` in access rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from gateway.identity import Group, fold_name

if TYPE_CHECKING:
    from gateway.config.schema import Mount, Vault

Names = tuple[str, ...]


class PolicyNames:
    """The mappings that hold for the people of one server, looked up instead of searched."""

    def __init__(self, *written: Vault | Mount, case_sensitive: bool = False) -> None:
        self._fold: Callable[[str], str] = str.strip if case_sensitive else fold_name
        self._groups = self._index([each.groups for each in written])
        users = [each.users for each in written]
        self._users = self._index([{name: user.policies for name, user in each.items()} for each in users])
        self._groups_of_users = self._index([{name: user.groups for name, user in each.items()} for each in users])

    def of(self, names: Iterable[str], groups: Iterable[Group]) -> list[str]:
        """The policies of who is called by these names and is in these groups, as they are written; each once."""
        keys = {self._fold(name) for name in names}
        held = {self._fold(group.name or group.value) for group in groups}
        held |= {self._fold(group) for key in keys for group in self._groups_of_users.get(key, ())}
        found = [policy for group in sorted(held) for policy in self._groups.get(group, ())]
        found += [policy for key in sorted(keys) for policy in self._users.get(key, ())]
        return list(dict.fromkeys(found))

    def _index(self, written: Sequence[Mapping[str, Names]]) -> dict[str, Names]:
        found: dict[str, Names] = {}
        for items in written:
            for name, values in items.items():
                key = self._fold(name)
                found[key] = (*found.get(key, ()), *values)
        return found
