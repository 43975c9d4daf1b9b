"""Conjur policy text of the people and groups of a directory, as LDAP Sync writes it (conjur.md 7). Pure.

What cannot be an id in Conjur without meaning something else is left out and told. A name that several entries have is
nobody's: two people must not become one user, nor two groups one right.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from gateway.directory.escape import comparable_dn
from gateway.identity import fold_name

_ADMIN: Final = "admin"
"""Conjur's own user, whom ``authn-ldap`` refuses (conjur.md 3)."""
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*", re.ASCII)
_WORDS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""What YAML 1.1 takes for something other than text."""
_SHORT: Final = {'"': '\\"', "\\": "\\\\"}


@dataclass(frozen=True, slots=True)
class PersonEntry:
    """One entry of a person."""

    name: str
    """Empty where the entry has none."""
    dn: str
    uids: tuple[str, ...]
    """What ``memberUid`` of groups may hold."""
    uid_number: str


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """One entry of a group, with its direct members."""

    name: str
    """Empty where the entry has none."""
    dn: str
    members: tuple[str, ...]
    """DNs, normalised."""
    member_uids: tuple[str, ...]


class _Named(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def dn(self) -> str: ...


_Entry = TypeVar("_Entry", bound=_Named)


class Draft:
    """Takes people and groups in any order, and then writes them in one."""

    def __init__(self, source: str) -> None:
        """``source`` is ``host:port`` of the directory."""
        self._source = source
        self._people: dict[str, PersonEntry] = {}
        self._groups: dict[str, GroupEntry] = {}
        self._uids: dict[str, set[str]] = {}
        """Who is meant by a ``memberUid``: those who are left out, too, so that their name is not another's."""
        self.left_out: list[str] = []
        """What is not in the policy, and why; one line each."""

    def add_person(self, person: PersonEntry) -> None:
        """Take in a person; an entry that comes twice counts once."""
        for uid in person.uids:
            self._uids.setdefault(fold_name(uid), set()).add(comparable_dn(person.dn))
        fault = "Conjur has an administrator of this name" if fold_name(person.name) == _ADMIN else _fault(person.name)
        self._add(self._people, person, fault)

    def add_group(self, group: GroupEntry) -> None:
        """Take in a group; an entry that comes twice counts once."""
        self._add(self._groups, group, _fault(group.name))

    def _add(self, known: dict[str, _Entry], entry: _Entry, fault: str) -> None:
        key = comparable_dn(entry.dn)
        if key in known:
            return
        if fault:
            self.left_out.append(f"{entry.dn}: {fault}: {entry.name}" if entry.name else f"{entry.dn}: {fault}")
        else:
            known[key] = entry

    def finish(self) -> Policy:
        """The policy of what was taken in. Once only."""
        self._drop_namesakes("user", self._people)
        self._drop_namesakes("group", self._groups)
        owners = {uid: keys.pop() for uid, keys in self._uids.items() if len(keys) == 1}
        policy = Policy(self._source, self._people, self._groups, owners, self.left_out)
        self.left_out.sort()
        return policy

    def _drop_namesakes(self, kind: str, known: dict[str, _Entry]) -> None:
        by_name: dict[str, list[str]] = {}
        for key, entry in known.items():
            by_name.setdefault(fold_name(entry.name), []).append(key)
        for keys in by_name.values():
            if len(keys) > 1:
                found = sorted((known.pop(key) for key in keys), key=lambda entry: entry.dn)
                places = "; ".join(entry.dn for entry in found)
                self.left_out.append(f"{kind} {found[0].name}: {len(found)} entries have this name: {places}")


class Policy:
    """Users, groups and memberships, each id once. ``left_out`` grows by members that are in no other place."""

    def __init__(
        self,
        source: str,
        people: Mapping[str, PersonEntry],
        groups: Mapping[str, GroupEntry],
        owners: Mapping[str, str],
        left_out: list[str],
    ) -> None:
        """``owners`` are those of whom a folded ``memberUid`` is the only one's."""
        self._source = source
        self._people = people
        self._groups = groups
        self._owners = owners
        self._members = {key: set(self._members_of(key, group, left_out)) for key, group in groups.items()}

    def _members_of(self, own: str, group: GroupEntry, left_out: list[str]) -> Iterator[str]:
        """Keys of the people and groups in a group; itself is none."""
        strangers = 0
        for key in (*group.members, *(self._owners.get(fold_name(uid)) for uid in group.member_uids)):
            if key is not None and key != own and (key in self._people or key in self._groups):
                yield key
            elif key != own:
                strangers += 1
        if strangers:
            left_out.append(f"group {group.name}: {strangers} of its members are no user and no group of this policy")

    @property
    def counts(self) -> tuple[int, int, int]:
        """Users, groups and memberships."""
        return len(self._people), len(self._groups), sum(map(len, self._members.values()))

    def lines(self) -> Iterator[str]:
        """The policy, always in the same order."""
        for person in _sorted(self._people.values()):
            yield from self._record("user", person)
            if person.uid_number:
                yield f"    ldap-sync/uid-number: {_quoted(person.uid_number)}"
        for group in _sorted(self._groups.values()):
            yield from self._record("group", group)
        for key, group in sorted(self._groups.items(), key=lambda pair: pair[1].name):
            for member in sorted(map(self._reference, self._members[key])):
                yield f"- !grant {{role: !group {_scalar(group.name)}, member: {member}}}"

    def _record(self, kind: str, entry: PersonEntry | GroupEntry) -> Iterator[str]:
        yield f"- !{kind}"
        yield f"  id: {_scalar(entry.name)}"
        yield "  annotations:"
        yield f"    ldap-sync/source: {_quoted(self._source)}"
        yield f"    ldap-sync/upstream-dn: {_quoted(entry.dn)}"

    def _reference(self, key: str) -> str:
        person = self._people.get(key)
        return f"!user {_scalar(person.name)}" if person else f"!group {_scalar(self._groups[key].name)}"

    def service_lines(self, server: str, clients: Container[str]) -> Iterator[str]:
        """The policy of the authenticator of a server (conjur.md 5); who may log in is told by normalised DN."""
        policy = f"conjur/authn-ldap/{server}"
        yield from (
            "- !policy", f"  id: {_scalar(policy)}", "  body:", "    - !webservice", "    - !group clients",
            "    - !permit", "      role: !group clients", "      privilege: [read, authenticate]",
            "      resource: !webservice",
        )  # fmt: skip
        for key, person in sorted(self._people.items(), key=lambda pair: pair[1].name):
            if key in clients:
                yield f"- !grant {{role: !group {_scalar(f'{policy}/clients')}, member: !user {_scalar(person.name)}}}"


def _sorted(entries: Iterable[_Entry]) -> list[_Entry]:
    return sorted(entries, key=lambda entry: entry.name)


def _fault(name: str) -> str:
    """Why a name is no id; empty where it is one."""
    if not name.strip():
        return "it has no name"
    if "\ufffd" in name:
        return "its name is not UTF-8"
    if not name.isprintable():
        return "its name has characters that cannot be seen"
    if name != name.strip():
        return "its name has blanks at its ends"
    # Such a group could be that of an authenticator, and such a user is a host to Conjur.
    return "its name has a /, which to Conjur separates policies" if "/" in name else ""


def _scalar(text: str) -> str:
    """YAML of an id: plain where every reader takes it for text, inside ``{}`` too."""
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else _quoted(text)


def _quoted(text: str) -> str:
    """YAML of any text, double-quoted on one line."""
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(letter: str) -> str:
    if letter.isprintable():
        return _SHORT.get(letter, letter)
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
