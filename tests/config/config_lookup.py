"""Helpers of the configuration tests: load from variables, look at a value by its dotted path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.config.load import ConfigurationError, Problem, Snapshot, load
from gateway.config.schema import Configuration, Secret, TcpAddress, UnixAddress

SERVER = {
    "CLEARML__servers__ldap__host": "localhost",
    "CLEARML__servers__ldap__search_base_dns": "dc=example,dc=com",
}
"""The least that a server needs."""
CLEAR = "passwords cross the network to"
"""Begins what is said of a server without TLS on another host; most servers of the tables are such."""
NOBODY = "nobody can log in: no servers and no users"
"""What is said of a configuration without either; most rows of the tables are such."""


def at(configuration: Configuration, path: str) -> Any:
    """Value at a dotted path, as plain data: tuples as lists, secrets revealed, addresses and paths as text."""
    value: Any = configuration
    for name in path.split("."):
        if isinstance(value, tuple):
            named = [item for item in value if getattr(item, "username", getattr(item, "name", None)) == name]
            value = named[0] if named else value[int(name)]
        else:
            value = value[name] if isinstance(value, Mapping) else getattr(value, name)
    return plain(value)


def plain(value: Any) -> Any:
    """Plain data."""
    match value:
        case Secret():
            return value.reveal()
        case tuple():
            return [plain(item) for item in value]
        case Path() | TcpAddress() | UnixAddress():
            return str(value)
        case Mapping():
            return dict(value)
    return value


def load_text(tmp_path: Path, text: str, name: str = "gateway.toml", **environment: str) -> Snapshot:
    """The snapshot of one file with this text."""
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return load([file], environment, working_directory=tmp_path)


def said(tmp_path: Path, text: str, name: str = "gateway.conf", **environment: str) -> list[str]:
    """All that is said of one file with this text, as ``severity: path: message``, with ``D`` for its directory."""
    try:
        problems = load_text(tmp_path, text, name, **environment).warnings
    except ConfigurationError as error:
        problems = error.problems
    lines = [f"{problem.severity}: {without_place(problem, tmp_path / name)}" for problem in problems]
    return [line.replace(str(tmp_path), "D") for line in lines if NOBODY not in line and CLEAR not in line]


def problems_of(tmp_path: Path, text: str, name: str = "gateway.toml", **environment: str) -> list[str]:
    """The problems that refuse one file with this text, without the file's path in front."""
    try:
        load_text(tmp_path, text, name, **environment)
    except ConfigurationError as error:
        return [without_place(problem, tmp_path / name) for problem in error.problems]
    return []


def without_place(problem: Problem, file: Path) -> str:
    """The text of a problem; where it is in this file, without the file and the position in front."""
    return re.sub(rf"^{re.escape(str(file))}(:\d+:\d+)?: ", "", str(problem))
