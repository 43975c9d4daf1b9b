"""Servers that nobody named, and whose name meant another directory before.

They are called ``ldap``, ``ldap2``, ... by their order, and ``admins``, sessions and keys hang on the name: once a
block is removed or moved, the people of one directory would get what those of another had.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.identity import fold_name

from .origin import Origin, Problem
from .schema import Configuration, Server

_Directory = tuple[frozenset[tuple[str, int]], frozenset[str]]
"""Hosts with their ports, and where people are searched."""


def renumbered(old: Configuration, new: Configuration, numbered: Mapping[str, Origin]) -> tuple[Problem, ...]:
    """A warning for each server of ``new`` that may be another directory than the one of its name in ``old``.

    ``numbered`` are the servers that nobody named, by their folded names, with their places. One is another directory
    where it has neither a host nor a search base of before, or where it is what another name meant.
    """
    return tuple(_warnings(_directories(old), _directories(new), numbered))


def _warnings(
    before: Mapping[str, _Directory], after: Mapping[str, _Directory], numbered: Mapping[str, Origin]
) -> Iterator[Problem]:
    for name, directory in after.items():
        was = before.get(name)
        if name not in numbered or directory == was:
            continue
        moved = next((other for other, one in before.items() if one == directory and after.get(other) != one), "")
        if moved or (was is not None and not any(ours & theirs for ours, theirs in zip(directory, was, strict=True))):
            message = f"is another directory under a name that only its order gives it: {_shown(directory)}"
            message += f", which was {moved}" if moved else ""
            message += f"; before: {_shown(was)}" if was else ""
            message += ". Rights (admins), sessions and keys hang on the name: give each block a name"
            yield Problem(numbered[name], f"servers.{name}", message, "warning")


def _directories(configuration: Configuration) -> dict[str, _Directory]:
    return {fold_name(server.name): _directory(server) for server in configuration.servers}


def _directory(server: Server) -> _Directory:
    hosts = frozenset((host.lower(), port) for host, port, _ in server.endpoints)
    return hosts, frozenset(base.lower() for base in server.search_base_dns or (server.user_dn,))


def _shown(directory: _Directory) -> str:
    hosts, bases = directory
    return f"{' '.join(f'{host}:{port}' for host, port in sorted(hosts))} below {' and '.join(sorted(bases))}"
