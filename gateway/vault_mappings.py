"""All mappings of one mount as one document: groups and users with what they give. Pure.

Its form is that of the configuration: ``groups: {NAME: [POLICY]}`` and ``users: {NAME: {groups: [NAME], policies:
[POLICY]}}``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.printable import printable
from gateway.tokens.vault_children import policies as policy_list
from gateway.vault_mounts import MountPoint

Document = dict[str, dict[str, Any]]
SECTIONS: Final = ("groups", "users")
LONGEST_NAME: Final = 512
"""Characters of the name of a group or user."""
_USER: Final = ("groups", "policies")


class UnusableDocument(ValueError):
    """The text says what is wrong, and where."""


def document_of(mount: MountPoint) -> Document:
    """What the mount has of its own; what ``vault.groups`` and ``vault.users`` add for every mount is not in it."""
    own = mount.settings
    users = {
        name: {"groups": list(user.groups), "policies": list(user.policies)} for name, user in sorted(own.users.items())
    }
    return {"groups": {name: list(given) for name, given in sorted(own.groups.items())}, "users": users}


def read_document(raw: object, mount: MountPoint) -> Document:
    """A document as it would be kept: names folded, unless a file spells them otherwise, and policies in order.

    Raises ``UnusableDocument``.
    """
    given = _table(raw, "the document", SECTIONS)
    groups = {
        name: _policies(policies, f"groups.{name}") for name, policies in _table(given.get("groups"), "groups").items()
    }
    users = {name: _user(user, f"users.{name}", mount) for name, user in _table(given.get("users"), "users").items()}
    return {"groups": _kept(groups, mount, "groups"), "users": _kept(users, mount, "users")}


def _user(raw: object, where: str, mount: MountPoint) -> dict[str, list[str]]:
    fields = _table(raw, where, _USER)
    groups = list(mount.group_list(_texts(fields.get("groups", []), f"{where}.groups")))
    return {"groups": groups, "policies": _policies(fields.get("policies", []), f"{where}.policies")}


def _kept(items: Mapping[str, Any], mount: MountPoint, section: str) -> dict[str, Any]:
    spelled = {mount.fold(known): known for known in getattr(mount.settings, section)}
    kept: dict[str, Any] = {}
    for name, value in items.items():
        key = spelled.get(folded := mount.fold(name), folded)
        if not folded or key in kept:
            raise UnusableDocument(f"{section}.{name}: is there twice" if folded else f"{section}: a name is empty")
        sayable = len(folded) <= LONGEST_NAME and not {"", ".", ".."}.intersection(folded.split("/"))
        if not sayable and folded not in spelled:
            raise UnusableDocument(f"{section}.{printable(name)}: no path of the API could say that name")
        kept[key] = value
    return kept


def difference(now: Document, wanted: Document) -> Iterator[tuple[str, tuple[str, str], Any]]:
    """What to do so that ``wanted`` holds: a line for people, section and name, and the value (None: remove)."""
    for section in SECTIONS:
        before, after = now[section], wanted[section]
        for name in before.keys() - after.keys():
            yield f"- {section}.{name} = {json.dumps(before[name], ensure_ascii=False)}", (section, name), None
        for name, value in after.items():
            shown = json.dumps(value, ensure_ascii=False)
            if name not in before:
                yield f"+ {section}.{name} = {shown}", (section, name), value
            elif before[name] != value:
                known = json.dumps(before[name], ensure_ascii=False)
                yield f"~ {section}.{name}: {known} -> {shown}", (section, name), value


def _table(raw: object, where: str, known: tuple[str, ...] = ()) -> Mapping[str, Any]:
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise UnusableDocument(f"{where}: expected a table")
    if odd := next((key for key in raw if not key.isprintable()), None):
        raise UnusableDocument(f"{where}.{printable(odd)}: a name with characters that cannot be shown")
    if known and (unknown := [key for key in raw if key not in known]):
        raise UnusableDocument(f"{where}: unknown key {unknown[0]}; there is {' and '.join(known)}")
    return raw


def _policies(raw: object, where: str) -> list[str]:
    return list(policy_list(_texts(raw, where), default=False))


def _texts(raw: object, where: str) -> list[str]:
    if not isinstance(raw, list) or not all(isinstance(item, str) for item in raw):
        raise UnusableDocument(f"{where}: expected a list of texts")
    if odd := next((item for item in raw if not item.isprintable()), None):
        raise UnusableDocument(f"{where}: {printable(odd)}: characters that cannot be shown")
    return raw
