"""The texts of declared vaults: read from the files that hold them, and checked as the API checks what it is given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from gateway.identity import fold_name
from gateway.vaults.model import CONFIG, USER
from gateway.vaults.problems import UnusableText
from gateway.vaults.text import prepare

from .layer import LayerTree
from .merge import live
from .origin import DEFAULT, Given, Origin, Problems
from .reading import Reading, SourceError
from .schema import Configuration

VAULT_SIZE: Final = 1024 * 1024
"""Largest file of one vault, in bytes; ``vaults.max_size`` may be lower."""
_DECLARED: Final = ("vaults", "declared")


def read_vault_files(tree: LayerTree, reading: Reading, problems: Problems) -> None:
    """Put the text of each ``vaults.declared.*.file`` where ``data`` would be."""
    for name, vault in _declared(tree):
        file, data = (live(vault).get(key) for key in ("file", "data"))
        if not isinstance(file, Given) or not isinstance(file.value, str) or not file.value:
            continue
        if isinstance(data, Given) and data.value:
            problems.add(file.origin, (*_DECLARED, name, "file"), "cannot be given together with data")
            continue
        try:
            text = reading.text(Path(file.value), VAULT_SIZE, "other")
        except SourceError as error:
            place = (*_DECLARED, name, "file")
            if error.line:
                problems.add(Origin("file", file.value, error.line, error.column), place, str(error))
            else:
                problems.add(file.origin, place, f"{file.value}: {error}")
        else:
            vault["data"] = Given(text, file.origin)


def check_declared(configuration: Configuration, tree: LayerTree, problems: Problems) -> None:
    """Report every declared text that could not be delivered, by line and column of its file where it has one."""
    settings, trees = configuration.vaults, {fold_name(name): vault for name, vault in _declared(tree)}
    for name, vault in settings.declared.items():
        given = trees.get(fold_name(name), LayerTree())
        path = (*_DECLARED, name, "file" if vault.file else "data")
        origin = next((live(given)[key].origin for key in ("file", "data") if key in live(given)), DEFAULT)
        if problems.refuse(path):
            continue
        if not vault.file and "data" not in live(given):
            problems.add(given.origin, (*_DECLARED, name), "needs data or file")
            continue
        text = vault.data.reveal()
        if len(text.encode()) > settings.max_size:
            problems.add(origin, path, f"larger than vaults.max_size ({settings.max_size} bytes)")
        elif vault.type == CONFIG:
            try:
                prepared = prepare(text, vault.format, shared=vault.scope != USER)
            except UnusableText as error:
                problems.add(*_placed(origin, vault.file, path, error.message, error.line, error.column))
            else:
                for remark in prepared.warnings:
                    placed = _placed(origin, vault.file, path, remark.message, remark.line, remark.column)
                    problems.add(*placed, severity="warning")


def _placed(
    origin: Origin, file: Path | None, path: tuple[str, ...], message: str, line: int, column: int
) -> tuple[Origin, tuple[str, ...], str]:
    """Where something stands: in the vault's own file, or some lines into a text within the configuration."""
    if not line:
        return origin, path, message
    if file is not None:
        return Origin("file", str(file), line, column), path, message
    return origin, path, f"line {line}, column {column} of the text: {message}"


def _declared(tree: LayerTree) -> Iterator[tuple[str, LayerTree]]:
    below: Any = tree
    for key in _DECLARED:
        below = live(below).get(key) if isinstance(below, LayerTree) else None
    if isinstance(below, LayerTree):
        yield from ((name, vault) for name, vault in live(below).items() if isinstance(vault, LayerTree))
