"""One load of the configuration, compared with the snapshot in force. Everything here blocks, and runs in a thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.config.difference import Change, changes, file_changes
from gateway.config.hold import cut_short, shrinks
from gateway.config.load import Snapshot, load
from gateway.config.origin import ConfigurationError, Problem
from gateway.config.reading import Content, SourceError, digest, read_bytes
from gateway.config.renumbered import renumbered

if TYPE_CHECKING:
    from gateway.config.schema import Configuration
    from gateway.store.interface import Layer


@dataclass(frozen=True, slots=True)
class Tried:
    """One load, compared with the snapshot in force."""

    contents: Mapping[Path, Content]
    digest: str
    stored: int
    """Generation of what APIs wrote, which was part of it."""
    snapshot: Snapshot | None = None
    problems: tuple[Problem, ...] = ()
    changes: tuple[Change, ...] = ()
    cut: Path | None = None
    shrunk: str = ""
    renumbered: tuple[Problem, ...] = ()
    """Also among the problems."""


def examine(
    files: Sequence[Path],
    environment: Mapping[str, str],
    stored: Layer,
    running: Snapshot,
    begun_with: Configuration,
    held: Mapping[Path, Content] | None = None,
) -> Tried:
    """Load and compare; with ``held``, what the files held at an earlier load, none is read."""
    generation = running.generation + 1
    try:
        new = load(files, environment, generation=generation, stored=stored.settings, begun_with=begun_with, held=held)
    except ConfigurationError as error:
        contents = error.contents
        cut = cut_short(running.contents, contents)
        if cut is not None and contents[cut].data is None:
            cut = None  # why it cannot be read is among the problems
        return Tried(contents, digest(contents), stored.generation, problems=error.problems, cut=cut)
    changed = changes(running.written, new.written)
    others = renumbered(running.written, new.written, new.numbered)
    return Tried(
        new.contents,
        digest(new.contents),
        stored.generation,
        new,
        (*others, *new.warnings),
        (*changed, *file_changes(new.written, running.contents, new.contents, changed)),
        cut_short(running.contents, new.contents),
        shrinks(running.written, new.written),
        others,
    )


def digest_now(contents: Mapping[Path, Content]) -> str:
    """The digest of the same files as they are now."""
    now = {}
    for path, content in contents.items():
        try:
            now[path] = replace(content, data=read_bytes(path, content.limit))
        except SourceError:
            now[path] = replace(content, data=None)
    return digest(now)
