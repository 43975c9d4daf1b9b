"""The same questions asked by other code: ldap3, in a thread of its own that nobody waits for longer than it may take.

Its TLS is ours: with its own it would send the password to a server whose certificate our settings refuse. Only this
module needs ldap3, and imports it when it is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import math
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from gateway.directory.connection import Endpoint, Unreachable, without_password
from gateway.directory.escape import comparable_dn
from gateway.directory.messages import Dereference, Scope

_T = TypeVar("_T")

_SCOPES: Final = {Scope.BASE: "BASE", Scope.ONE_LEVEL: "LEVEL", Scope.SUBTREE: "SUBTREE"}
_DEREFERENCES: Final = {
    Dereference.NEVER: "NEVER",
    Dereference.SEARCHING: "SEARCH",
    Dereference.FINDING: "FINDING_BASE",
    Dereference.ALWAYS: "ALWAYS",
}
_GRACE_SECONDS: Final = 5.0
"""For reading the schema, which takes ldap3 a while."""


@dataclass(frozen=True, slots=True)
class Question:
    """A search, and what our own client found."""

    what: str
    """What it is, for people."""
    base: str
    filter_text: str
    scope: Scope
    dereference: Dereference
    size_limit: int
    found: frozenset[str]
    """The comparable DNs that it found."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Where ldap3 asks, and as whom. ``password`` empty: as nobody."""

    endpoint: Endpoint
    address: str
    context: ssl.SSLContext | None
    dn: str
    password: str = field(repr=False)
    connect_timeout: float
    timeout: float
    """Each operation."""


@dataclass(slots=True)
class Opinion:
    """What ldap3 found."""

    bind_code: int = -1
    naming_contexts: tuple[str, ...] | None = None
    """None: it could not read the root DSE."""
    attributes: frozenset[str] | None = None
    """Names of the schema in lower case; None where it could not read it."""
    answers: list[frozenset[str] | None] = field(default_factory=list)
    """The DNs found by each question; None where ldap3 cannot ask it."""


async def second_opinion(asking: Asking, questions: Sequence[Question]) -> Opinion:
    """Ask. Raises ``Unreachable`` for whatever goes wrong on ldap3's side."""
    ldap3 = await _in_thread(lambda: importlib.import_module("ldap3"))
    limit = asking.connect_timeout + asking.timeout * (3 + len(questions)) + _GRACE_SECONDS
    sockets: list[Any] = []
    try:
        async with asyncio.timeout(limit):
            return await _in_thread(lambda: _ask(ldap3, asking, questions, sockets))
    except TimeoutError:
        raise Unreachable(f"ldap3 had no answer after {limit:g} s") from None
    except Unreachable as error:
        raise Unreachable(without_password(str(error), asking.password)) from None
    finally:
        for open_socket in sockets:
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)  # ends what the thread still waits for


async def _in_thread(work: Callable[[], _T]) -> _T:
    """As ``asyncio.to_thread``, but in a thread that neither the loop nor the interpreter waits for at their end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def settle(set_it: Callable[[Any], None], value: object) -> None:
        if not done.done():
            set_it(value)

    def run() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended without us
            try:
                result = work()
            except Exception as error:
                loop.call_soon_threadsafe(settle, done.set_exception, _plain(error))
            else:
                loop.call_soon_threadsafe(settle, done.set_result, result)

    threading.Thread(target=run, name="ldap3", daemon=True).start()
    return await done


def _plain(error: Exception) -> Unreachable:
    """Without its traceback, whose frames hold a password."""
    return Unreachable(f"ldap3: {type(error).__name__}: {error}")


def _ask(ldap3: Any, asking: Asking, questions: Sequence[Question], sockets: list[Any]) -> Opinion:
    connection = _connection(ldap3, asking)
    opinion = Opinion()
    try:
        connection.open(read_server_info=False)
        sockets.append(connection.socket)
        if asking.endpoint.tls == "starttls":
            connection.start_tls(read_server_info=False)
            sockets.append(connection.socket)
        connection.bind(read_server_info=False)
        opinion.bind_code = int(connection.result["result"])
        if opinion.bind_code == 0:
            connection.refresh_server_info()
            _read_info(connection.server, opinion)
            opinion.answers = [_answer(ldap3, connection, question) for question in questions]
    finally:
        with contextlib.suppress(Exception):
            connection.unbind()
        with contextlib.suppress(Exception):
            connection.socket.close()  # unbind leaves it open where connecting failed
    return opinion


def _connection(ldap3: Any, asking: Asking) -> Any:
    class OurTls(ldap3.Tls):  # type: ignore[misc]
        def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
            if asking.context is None:
                raise Unreachable("no TLS settings")
            connection.socket = asking.context.wrap_socket(
                connection.socket, do_handshake_on_connect=do_handshake, server_hostname=asking.endpoint.address
            )

    server = ldap3.Server(
        asking.address,
        asking.endpoint.port,
        use_ssl=asking.endpoint.tls == "ldaps",
        tls=OurTls(),
        get_info=ldap3.ALL,
        connect_timeout=math.ceil(asking.connect_timeout),
    )
    return ldap3.Connection(
        server,
        user=asking.dn if asking.password else None,
        password=asking.password or None,
        authentication=ldap3.SIMPLE if asking.password else ldap3.ANONYMOUS,
        receive_timeout=max(1, math.ceil(asking.timeout)),  # it takes whole seconds only
        check_names=False,
        auto_referrals=False,
        auto_range=False,
    )


def _read_info(server: Any, opinion: Opinion) -> None:
    if server.info is not None:
        opinion.naming_contexts = tuple(map(str, server.info.naming_contexts or ()))
    if server.schema is not None and server.schema.attribute_types:
        types = server.schema.attribute_types.values()
        opinion.attributes = frozenset(str(name).lower() for one in types for name in (*(one.name or ()), one.oid))


def _answer(ldap3: Any, connection: Any, question: Question) -> frozenset[str] | None:
    """ldap3 refuses some filters and DNs that directories take (DECISIONS 24): it then has no opinion."""
    core = ldap3.core.exceptions
    try:
        connection.search(
            question.base,
            question.filter_text,
            _SCOPES[question.scope],
            dereference_aliases=_DEREFERENCES[question.dereference],
            attributes=["1.1"],
            size_limit=question.size_limit,
        )
    except (core.LDAPInvalidFilterError, core.LDAPInvalidDnError, core.LDAPObjectError):
        return None
    found = connection.response or ()
    return frozenset(comparable_dn(entry["dn"]) for entry in found if entry["type"] == "searchResEntry")

