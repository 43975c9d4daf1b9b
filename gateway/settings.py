"""What APIs have written of the configuration: how a write changes it, and why one is refused. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from gateway.config.load import Snapshot
from gateway.config.origin import Origin, Path, Problem
from gateway.config.stored import is_secret
from gateway.store.interface import Layer, Setting, SettingChange

FORGOTTEN: Final = object()
"""In the place of a value: what was stored is dropped, so that what files say holds again."""


class NotWritten(Exception):
    """What was to be written cannot be used together with the rest of the configuration; nothing was changed.

    Its text is for whoever writes, and never holds a secret.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{problem.path}: {problem.message}".removeprefix(": ") for problem in problems))
        self.problems = tuple(problems)


def changes_to(values: Mapping[Path, object], snapshot: Snapshot, layer: Layer) -> list[SettingChange]:
    """What to write so that each path holds its value; with None nothing is to be there, nor below.

    A removal is kept only where it hides what a file says; ``FORGOTTEN`` leaves nothing stored at all. Secrets are
    known by their keys.
    """
    changes: list[SettingChange] = []
    for path, value in values.items():
        if value is not None and value is not FORGOTTEN:
            changes.append(SettingChange(path, value, secret=is_secret(path)))
            continue
        stored = (setting.path for setting in layer.settings if setting.path[: len(path)] == path)
        changes += [SettingChange(below, forget=True) for below in stored]
        if value is None and declared_in(snapshot, path):
            changes.append(SettingChange(path))
    return changes


def new_settings(changes: Sequence[SettingChange], layer: Layer) -> list[SettingChange]:
    """The changes that change something."""
    known = {setting.path: setting for setting in layer.settings}

    def changes_something(change: SettingChange) -> bool:
        setting = known.get(change.path)
        if change.forget or setting is None:
            return change.forget is (setting is not None)
        secret = change.secret and change.value is not None
        before, after = (setting.value, setting.secret), (change.value, secret)
        return before != after or type(setting.value) is not type(change.value)  # True == 1

    return [change for change in changes if changes_something(change)]


def with_changes(layer: Layer, changes: Sequence[SettingChange], at: int, by: str) -> Layer:
    """The layer as it would be read afterwards. Raises TypeError and ValueError for what is not JSON."""
    settings = {setting.path: setting for setting in layer.settings}
    generation = layer.generation + 1
    for change in changes:
        if change.forget:
            settings.pop(change.path, None)
        else:
            secret = change.secret and change.value is not None
            value = json.loads(json.dumps(change.value))
            settings[change.path] = Setting(change.path, value, secret, at, by, generation)
    ordered = tuple(sorted(settings.values(), key=lambda setting: setting.path))
    return replace(layer, generation=generation, settings=ordered)


def origins_below(snapshot: Snapshot, path: Path) -> list[tuple[Origin, ...]]:
    """The origins of every value at a path or below it, removed ones included."""
    return [origins for key, origins in snapshot.origins.items() if key[: len(path)] == path]


def pinned_by(snapshot: Snapshot, path: Path) -> str:
    """The variable or credential that decides a value, whatever is written; empty where none does."""
    heads = (origins[0] for origins in origins_below(snapshot, path))
    return next((str(origin) for origin in heads if origin.kind in ("variable", "credential")), "")


def declared_in(snapshot: Snapshot, path: Path) -> str:
    """Where a file or the environment says something at a path or below it; empty where none does."""
    for origins in origins_below(snapshot, path):
        for origin in origins:
            if origin.kind in ("file", "variable", "credential"):
                return str(origin)
    return ""
