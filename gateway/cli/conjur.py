"""``ldap-gateway conjur sync-policy``: Conjur policy text of a directory. Nothing is written anywhere."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from typing import TYPE_CHECKING, Final

from gateway.cli.config import CONFIGURATION_ERROR, add_files_option, print_problems
from gateway.printable import printable

if TYPE_CHECKING:
    from gateway.config.load import Snapshot
    from gateway.config.schema import Server
    from gateway.conjur_policy import Policy

FAILED: Final = 1
"""Exit code where the directory does not give what is asked for."""
USAGE: Final = 2
"""Exit code where it is not clear which server is meant, or that one cannot be searched."""


class _Unclear(Exception):
    """What was asked for cannot be done; the text says why."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    conjur = subparsers.add_parser("conjur", help="what to load into a real Conjur")
    actions = conjur.add_subparsers(metavar="ACTION", required=True)
    sync = actions.add_parser("sync-policy", help="print users, groups and memberships of the directory as policy")
    sync.add_argument("service", metavar="SERVICE", nargs="?", default="", help="a server; default: the only one")
    sync.add_argument(
        "--authn-policy", action="store_true", help="add the policy of the authenticator, and who may log in there"
    )
    add_files_option(sync)
    sync.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the policy, complete or not at all; what is left out is told on standard error."""
    from gateway.config.load import ConfigurationError, load
    from gateway.directory.connection import DirectoryError
    from gateway.directory.filters import FilterError
    from gateway.directory.searches import SearchFailed
    from gateway.directory.tls import TlsSettingsError

    try:
        snapshot = load(arguments.files, os.environ)
    except ConfigurationError as error:
        print_problems(error.problems)
        return CONFIGURATION_ERROR
    logging.disable()  # what would be logged is said here
    try:
        server = _server(snapshot, arguments.service, authn_policy=arguments.authn_policy)
        policy, left_out = asyncio.run(_read(snapshot, server))
    except _Unclear as error:
        return _failed(str(error), USAGE)
    except FilterError as error:
        place = snapshot.origin(("servers", server.name.lower(), "search_filter"))
        return _failed(f"{place}: search_filter finds no list of people ({error}): set conjur.sync.user_filter", USAGE)
    except (SearchFailed, DirectoryError, TlsSettingsError) as error:
        return _failed(f"server {server.name}: {error}", FAILED)
    finally:
        logging.disable(logging.NOTSET)
    for text in left_out:
        print(f"left out: {printable(text)}", file=sys.stderr)
    _write(snapshot, server, policy, authn_policy=arguments.authn_policy)
    return 0


def _failed(text: str, code: int) -> int:
    print(f"error: {printable(text)}", file=sys.stderr)
    return code


def _server(snapshot: Snapshot, name: str, *, authn_policy: bool) -> Server:
    """The server that is meant: the one named, the only service, the only one. Raises ``_Unclear``."""
    from gateway.config.schema.servers import SEARCH_MODES
    from gateway.identity import fold_name

    servers = {fold_name(server.name): server for server in snapshot.configuration.servers}
    services = [fold_name(service) for service in snapshot.configuration.conjur.services]
    candidates = services if len(services) == 1 else list(servers)
    wanted = fold_name(name) if name else candidates[0] if len(candidates) == 1 else ""
    if wanted not in servers:
        known = ", ".join(server.name for server in servers.values()) or "none are configured, give -c FILE"
        raise _Unclear(f"there is no server {name}; known: {known}" if name else f"which server? known: {known}")
    server = servers[wanted]
    if server.mode not in SEARCH_MODES:
        message = f"nobody may list the people of {server.name} (bind_mode {server.mode})"
        raise _Unclear(f"{message}: set servers.{server.name}.bind_dn and bind_password")
    if authn_policy and wanted not in services:
        raise _Unclear(f"conjur.services has no {server.name}: nobody is allowed to log in there")
    return server


async def _read(snapshot: Snapshot, server: Server) -> tuple[Policy, list[str]]:
    """Raises SearchFailed, DirectoryError, TlsSettingsError and FilterError."""
    from gateway.conjur_policy import Draft
    from gateway.directory.connection import Endpoint
    from gateway.directory.everybody import Everybody
    from gateway.directory.pools import make_pool

    everybody = Everybody(server, snapshot.configuration.conjur.sync)
    draft = Draft(str(Endpoint(*server.endpoints[0])))
    pool = await make_pool(server)
    try:
        async for person in everybody.people(pool):
            draft.add_person(person)
        async for group in everybody.groups(pool):
            draft.add_group(group)
    finally:
        await pool.close()
    return draft.finish(), draft.left_out


def _write(snapshot: Snapshot, server: Server, policy: Policy, *, authn_policy: bool) -> None:
    from gateway.conjur_dialect import Service

    users, groups, memberships = policy.counts
    print(f"# {server.name}: {users} users, {groups} groups, {memberships} memberships")
    for line in policy.lines():
        print(line)
    if authn_policy:
        services = snapshot.configuration.conjur.services
        settings = next(service for name, service in services.items() if name.lower() == server.name.lower())
        names = [one.name for one in snapshot.configuration.servers]
        for line in policy.service_lines(server.name, Service.of(server.name, settings, names).allows):
            print(line)
