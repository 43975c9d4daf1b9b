"""``ldap-gateway conjur sync-policy``: Conjur policy text of a directory. Nothing is written anywhere."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.cli.config import add_files_option, loaded
from gateway.cli.exit_codes import CONFIGURATION_ERROR, FAILED, USAGE
from gateway.printable import printable

if TYPE_CHECKING:
    from gateway.config.load import Snapshot
    from gateway.config.schema import Server
    from gateway.conjur_clients import Clients
    from gateway.directory.listing import Listing
    from gateway.grants.conjur_policy import Policy


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
    from gateway.directory.connection import DirectoryError
    from gateway.directory.filters import FilterError
    from gateway.directory.searches import SearchFailed
    from gateway.directory.tls import TlsSettingsError

    if (snapshot := loaded(arguments.files)) is None:
        return CONFIGURATION_ERROR
    logging.disable()  # what would be logged is said here
    try:
        server = _server(snapshot, arguments.service, authn_policy=arguments.authn_policy)
        found = asyncio.run(_read(snapshot, server, authn_policy=arguments.authn_policy))
    except _Unclear as error:
        return _failed(str(error), USAGE)
    except FilterError as error:
        place = snapshot.origin(("servers", server.name.lower(), "search_filter"))
        return _failed(f"{place}: search_filter finds no list of people ({error}): set conjur.sync.user_filter", USAGE)
    except (SearchFailed, DirectoryError, TlsSettingsError) as error:
        return _failed(f"server {server.name}: {error}", FAILED)
    finally:
        logging.disable(logging.NOTSET)
    for text in found.left_out:
        print(f"left out: {printable(text)}", file=sys.stderr)
    for text in found.warnings:
        print(f"warning: {printable(text, len(text))}", file=sys.stderr)
    _write(server, found)
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


@dataclass(frozen=True, slots=True)
class _Found:
    """What the directory gave."""

    policy: Policy
    left_out: list[str]
    warnings: list[str]
    clients: set[str] | None
    """DNs of who may log in; None where that is not asked for."""


async def _read(snapshot: Snapshot, server: Server, *, authn_policy: bool) -> _Found:
    """Raises SearchFailed, DirectoryError, TlsSettingsError and FilterError."""
    from gateway.conjur_clients import Clients
    from gateway.directory.bind import DirectoryServer
    from gateway.directory.connection import Endpoint
    from gateway.directory.listing import Listing
    from gateway.directory.pools import make_pool
    from gateway.grants.conjur_policy import Draft

    draft, has_groups = Draft(str(Endpoint(*server.endpoints[0]))), False
    pool = await make_pool(server)
    try:
        clients = Clients(DirectoryServer(server, pool), snapshot.configuration) if authn_policy else None
        listing = Listing(server, snapshot.configuration.conjur.sync, clients.requested if clients else ())
        async for people in listing.people(pool):
            for person, _ in people:
                draft.add_person(person)
            if clients is not None:
                await clients.add(people)
        async for group in listing.groups(pool):
            draft.add_group(group)
            has_groups = True
    finally:
        await pool.close()
    warnings = [] if has_groups else [_no_groups(server, listing)]
    warnings += _fruitless(snapshot, clients) if clients else []
    return _Found(draft.finish(), draft.left_out, warnings, clients.dns if clients else None)


def _no_groups(server: Server, listing: Listing) -> str:
    keys = f"conjur.sync.group_filter, and conjur.sync.base_dns or servers.{server.name}.group_search_base_dns"
    return f"there are no groups: {listing.no_groups}; see {keys}"


def _fruitless(snapshot: Snapshot, clients: Clients) -> list[str]:
    service = clients.service
    place = snapshot.origin(service.path)
    return [f"{place}: {service.key}: {entry} lets in nobody of those who were read" for entry in clients.fruitless]


def _write(server: Server, found: _Found) -> None:
    policy = found.policy
    users, groups, memberships = policy.counts
    print(f"# {server.name}: {users} users, {groups} groups, {memberships} memberships")
    for line in policy.lines():
        print(line)
    for line in policy.service_lines(server.name, found.clients) if found.clients is not None else ():
        print(line)
