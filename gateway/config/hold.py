"""Which changed files are not applied by themselves (DECISIONS 25): a file cut short must never widen access."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.identity import fold_name

from .reading import Content
from .schema import Configuration


def cut_short(running: Mapping[Path, Content], new: Mapping[Path, Content]) -> Path | None:
    """A file that was emptied, that holds only the beginning of what it held, or that is missing though the load went
    well without it, as with an optional include; None where there is none.

    White space behind a beginning does not make it another text. The line end of a secret is none of it.
    """
    for path, content in new.items():
        before = running.get(path)
        if before is not None and before.data and _is_cut(before.data, content):
            return path
    return None


def _is_cut(before: bytes, content: Content) -> bool:
    if content.data is None:
        return content.role == "configuration"
    after = content.data.rstrip()
    if not after or _is_beginning(after, before.rstrip()):
        return True
    return content.role != "secret" and _is_beginning(content.data, before)


def _is_beginning(data: bytes, of: bytes) -> bool:
    return len(data) < len(of) and of.startswith(data)


def shrinks(old: Configuration, new: Configuration) -> str:
    """Of what more than half is gone, in words; empty where that is so of nothing. Additions do not count."""
    after = dict(_named(new))
    for what, names in _named(old):
        gone = (names - after[what]).total()
        if gone * 2 > names.total():
            return f"more than half of {what} would be gone: {gone} of {names.total()}"
    return ""


def _named(configuration: Configuration) -> Iterator[tuple[str, Counter[str]]]:
    """What a loss is counted of, by what it is known by."""
    yield "servers", Counter(fold_name(server.name) for server in configuration.servers)
    yield "rules", Counter(fold_name(rule.name) for rule in configuration.access_control.rules)
    yield "users", Counter(fold_name(user.username) for user in configuration.users)
    mappings = Counter(mapping.group_dn.lower() for mapping in configuration.group_mappings)
    for server in configuration.servers:
        mappings.update(mapping.group_dn.lower() for mapping in server.group_mappings)
    yield "group_mappings", mappings
