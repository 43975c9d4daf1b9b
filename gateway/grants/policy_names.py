"""Which Vault policies a person gets by name and by groups (vault.md 2, 6).

What ``auth/MOUNT/groups`` and ``auth/MOUNT/users`` write stands beside what is declared for every mount. The one place
where this is decided: for tokens, and for ``policy:`` in access rules.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from gateway.identity import Group, fold_name

if TYPE_CHECKING:
    from gateway.config.schema import Mount, Vault

Names = tuple[str, ...]


def name_form(name: str, *, case_sensitive: bool) -> str:
    """The form in which names of groups and users are kept and compared: capitals may count, blanks around and between
    do not, as in directories (RFC 4518 2.6.1)."""
    return " ".join(unicodedata.normalize("NFC", name).split()) if case_sensitive else fold_name(name)


class PolicyNames:
    """The mappings that hold for the people of one server, looked up instead of searched."""

    def __init__(self, *written: Vault | Mount, case_sensitive: bool = False) -> None:
        self._fold = partial(name_form, case_sensitive=case_sensitive)
        self._groups = self._index([each.groups for each in written])
        users = [each.users for each in written]
        self._users = self._index([{name: user.policies for name, user in each.items()} for each in users])
        self._groups_of_users = self._index([{name: user.groups for name, user in each.items()} for each in users])

    def of(self, name: str, groups: Iterable[Group]) -> list[str]:
        """The policies of who goes by this name and is in these groups, as they are written; each once."""
        key = self._fold(name)
        held = {self._fold(group.name or group.value) for group in groups}
        held |= {self._fold(group) for group in self._groups_of_users.get(key, ())}
        found = [policy for group in sorted(held) for policy in self._groups.get(group, ())]
        found += self._users.get(key, ())
        return list(dict.fromkeys(found))

    def _index(self, written: Sequence[Mapping[str, Names]]) -> dict[str, Names]:
        found: dict[str, Names] = {}
        for items in written:
            for name, values in items.items():
                key = self._fold(name)
                found[key] = (*found.get(key, ()), *values)
        return found
