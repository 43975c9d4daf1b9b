"""Which changed files are not applied by themselves (DECISIONS 25): a file cut short must never widen access."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from .reading import Content
from .schema import Configuration


def cut_short(running: Mapping[Path, Content], new: Mapping[Path, Content]) -> Path | None:
    """A file that was emptied, that holds only the beginning of what it held, or that is missing though the load went
    well without it, as with an optional include; None where there is none.

    A line end more or less at the end of a secret is none of its text.
    """
    for path, content in new.items():
        before = running.get(path)
        if before is not None and before.data and _is_cut(before.data, content):
            return path
    return None


def _is_cut(before: bytes, content: Content) -> bool:
    if content.data is None:
        return content.role == "configuration"
    if not content.data.strip():
        return True
    match content.role:
        case "configuration":
            return _is_beginning(content.data, before)
        case "secret":
            return _is_beginning(content.data.rstrip(b"\r\n"), before.rstrip(b"\r\n"))
        case _:
            return False


def _is_beginning(data: bytes, of: bytes) -> bool:
    return len(data) < len(of) and of.startswith(data)


def shrinks(old: Configuration, new: Configuration) -> str:
    """What loses more than half, in words; empty where nothing does."""
    after = dict(_counts(new))
    for what, before in _counts(old):
        if after.get(what, 0) * 2 < before:
            return f"more than half of {what} would be gone: {before} become {after.get(what, 0)}"
    return ""


def _counts(configuration: Configuration) -> Iterator[tuple[str, int]]:
    yield "servers", len(configuration.servers)
    yield "users", len(configuration.users)
    mappings = len(configuration.group_mappings) + sum(len(server.group_mappings) for server in configuration.servers)
    yield "group_mappings", mappings
