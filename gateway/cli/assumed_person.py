"""Whom ``explain access`` speaks of: a local user, somebody of a directory, or somebody in groups that are named."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.directory.group_names import GroupNames
from gateway.explain import WrongArguments
from gateway.explain.login import explain_login
from gateway.grants.mapping import Grants
from gateway.identity import LOCAL, Account, Grant, Group, Identity, fold_name

if TYPE_CHECKING:
    from gateway.config.load import Snapshot
    from gateway.config.schema import Configuration, User


@dataclass(frozen=True, slots=True)
class Person:
    """An identity, and what is to be said of it."""

    identity: Identity
    remark: str = ""
    """For the end of a line; empty where there is nothing to say."""


def person_of(snapshot: Snapshot, text: str, groups: Sequence[str]) -> Person:
    """The person of ``NAME`` or ``SERVER/NAME``, in ``groups`` instead of their own where there are any.

    Raises WrongArguments, and Refused as a login does.
    """
    configuration = snapshot.configuration
    server, username = _parted(configuration, text)
    user = _local_user(configuration, username) if server in ("", LOCAL) else None
    if user is not None:
        named = [_group(configuration, LOCAL, group) for group in groups]
        held = named or [Group(group, "", group) for group in user.groups]
        account = Account(LOCAL, user.username, user.username, user.name, user.email, groups=tuple(held))
        return Person(_identity(configuration, account), "; disabled, so they cannot log in" if user.disabled else "")
    if server == LOCAL or not configuration.servers:
        raise WrongArguments(f"there is no local user {username}")
    if not groups:
        return Person(_looked_up(snapshot, username, server))
    server = server or _only_server(configuration, username)
    held = [_group(configuration, server, group) for group in groups]
    account = Account(server, username, username, groups=tuple(held))
    return Person(_identity(configuration, account), "; taken at your word, no directory was asked")


def _identity(configuration: Configuration, account: Account, grant: Grant | None = None) -> Identity:
    return Identity("", "", account, grant or Grants(configuration).grant(account), 0)


def _parted(configuration: Configuration, text: str) -> tuple[str, str]:
    """Server, empty where none is named, and name; a local user's name may hold a slash."""
    known = (LOCAL, *(server.name for server in configuration.servers))
    fitting = [server for server in known if text.lower().startswith(f"{server.lower()}/")]
    if fitting:
        server = max(fitting, key=len)
        return server, text[len(server) + 1 :]
    if "/" in text and _local_user(configuration, text) is None:
        raise WrongArguments(f"there is no server {text.partition('/')[0]}; there are {', '.join(known)}")
    return "", text


def _local_user(configuration: Configuration, username: str) -> User | None:
    folded = fold_name(username)
    return next((user for user in configuration.users if fold_name(user.username) == folded), None)


def _only_server(configuration: Configuration, username: str) -> str:
    names = [server.name for server in configuration.servers if server.realm]
    if len(names) != 1:
        raise WrongArguments(f"{username} of which server? Write SERVER/{username}; there are {', '.join(names)}")
    return names[0]


def _group(configuration: Configuration, server: str, text: str) -> Group:
    """A group as rules write it: ``NAME``, ``SERVER/NAME`` or a DN."""
    settings = {one.name: one for one in configuration.servers}
    fitting = [known for known in (LOCAL, *settings) if text.lower().startswith(f"{known.lower()}/")]
    of = max(fitting, key=len, default=server)
    if of != server:
        raise WrongArguments(f"--group {text}: this person is of {server}, and so are their groups")
    name = text[len(of) + 1 :] if fitting else text
    return GroupNames(settings[server]).of_member_of((name,))[0] if server in settings else Group(name, "", name)


def _looked_up(snapshot: Snapshot, username: str, server: str) -> Identity:
    """Somebody as their directory says. Raises WrongArguments where it does not."""
    answer = asyncio.run(explain_login(snapshot, username, None, server))
    found = next((one for one in answer.servers if one.account is not None and one.grant is not None), None)
    if not answer.admitted or found is None or found.account is None:
        raise WrongArguments(f"{answer.verdict}; with --group no directory is asked")
    return _identity(snapshot.configuration, found.account, found.grant)
