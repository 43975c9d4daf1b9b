"""``explain search``: what a filter finds on one server, asked as a login would ask."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway.config.schema.servers import SEARCH_MODES
from gateway.directory.connection import DirectoryError
from gateway.directory.doctor.advice import with_limits
from gateway.directory.escape import DnError, parse_dn
from gateway.directory.filters import Filling, Filter, FilterError
from gateway.directory.messages import Dereference, SearchRequest, result_name
from gateway.directory.people import filling, person_filter, user_filter
from gateway.directory.searches import ADVICE, NO_SUCH_OBJECT, SIZE_LIMIT_EXCEEDED, SUCCESS, Searcher
from gateway.directory.tls import TlsSettingsError
from gateway.explain import WrongArguments
from gateway.explain.asked import AskedServer
from gateway.explain.conjur import unsent_key
from gateway.explain.values import shown_values

if TYPE_CHECKING:
    from gateway.config.load import Snapshot
    from gateway.config.schema import Server
    from gateway.directory.messages import Entry
    from gateway.directory.traced import Operation

ASKED_FOR: Final = 1000
"""Entries that a server is asked for below one base."""
_ALL: Final = ("*",)
"""All user attributes (RFC 4511 4.5.1.8)."""
SHOWN: Final = 20
"""Entries that are shown."""


@dataclass(frozen=True, slots=True)
class Question:
    """What the operator wants to try. Empty: what the configuration of the server says."""

    server: str
    filter: str = ""
    bases: Sequence[str] = ()
    user: str = ""
    """Fills the places of the user name."""
    attributes: Sequence[str] = ()
    password: str | None = field(default=None, repr=False)
    """The user's, for a server where people search as themselves."""


@dataclass(slots=True)
class ShownEntry:
    """An entry found, its values as ``values.shown_values`` has them."""

    dn: str
    attributes: Mapping[str, list[str]]
    absent: list[str] = field(default_factory=list)
    """Attributes that the operator named and that did not come."""


@dataclass(slots=True)
class SearchExplanation:
    """The whole answer; ``dataclasses.asdict`` of it is the document of ``--json``."""

    server: str
    filter: str
    """As sent, in RFC 4515 text."""
    endpoint: str = ""
    """``host:port`` that was asked."""
    count: int = 0
    """Entries that came, over all bases."""
    cut_short: bool = False
    """Whether there are more: at least one server limit, or ours, was met."""
    error: str = ""
    """Why there is no answer, or only part of one."""
    advice: list[str] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    entries: list[ShownEntry] = field(default_factory=list)
    """The first ``SHOWN``."""


async def explain_search(snapshot: Snapshot, question: Question) -> SearchExplanation:
    """Try a filter. Raises ``WrongArguments`` before anything is connected."""
    servers = {server.name: server for server in snapshot.configuration.servers}
    if (server := servers.get(question.server)) is None:
        raise WrongArguments(f"there is no server {question.server}; known: {', '.join(servers) or 'none'}")
    _check(server, question)
    if reason := unsent_key(snapshot.configuration, question.password):
        raise WrongArguments(reason)
    compiled = _filter(server, question)
    filled = filling(question.user, "" if server.mode == "upn" else server.upn_domain)
    explanation = SearchExplanation(server.name, compiled.text(filled))
    asked = AskedServer(server)
    try:
        async with asyncio.timeout(server.login_timeout), _searcher(asked, question) as (searcher, wanted):
            for base in question.bases or server.user_bases:
                attributes = question.attributes or ((*_ALL, *wanted) if question.filter else wanted)
                request = SearchRequest(
                    base, compiled, attributes, size_limit=min(ASKED_FOR, server.pool.max_entries),
                    dereference=Dereference[server.dereference_aliases.upper()],
                )  # fmt: skip
                await _ask(searcher, request, filled, explanation, question.attributes)
    except TimeoutError:
        explanation.error = f"no answer within login_timeout ({server.login_timeout:g} s)"
    except (DirectoryError, TlsSettingsError, _NotBound) as error:
        explanation.error = with_limits(str(error), server)
    if not explanation.count and not explanation.error:
        explanation.advice.append("nothing matches that the one who searches may see: check base, filter and rights")
    explanation.endpoint = asked.endpoint
    explanation.operations, explanation.warnings = asked.sent, asked.warnings
    return explanation


class _NotBound(Exception):
    """The bind as the user, who was to search, was refused."""


def _filter(server: Server, question: Question) -> Filter:
    try:
        compiled = user_filter(server, question.filter) if question.filter else person_filter(server)
    except FilterError as error:
        raise WrongArguments(f"--filter: {error}: {question.filter}") from None
    if compiled.variables and not question.user.strip():
        raise WrongArguments(f"{compiled.template} has a place for a user name: say which with --user")
    return compiled


def _check(server: Server, question: Question) -> None:
    try:
        for text in (question.filter, question.user, question.password or "", *question.bases, *question.attributes):
            text.encode()
    except UnicodeEncodeError:
        raise WrongArguments("an argument or the password is not valid UTF-8") from None
    for base in question.bases:
        try:
            parse_dn(base)
        except DnError as error:
            raise WrongArguments(f"--base: {error}: {base}") from None
    if server.mode not in SEARCH_MODES and not (question.user.strip() and (question.password or "").strip()):
        text = f"{server.name} has bind_mode {server.mode}: people search as themselves there"
        raise WrongArguments(f"{text}; give --user, and --password or --password-stdin")


@contextlib.asynccontextmanager
async def _searcher(asked: AskedServer, question: Question) -> AsyncIterator[tuple[Searcher, Sequence[str]]]:
    """Who searches, and the attributes that a login asks for. Raises ``_NotBound``, DirectoryError and others."""
    async with asked.directory() as directory:
        if directory.searches_first:
            yield directory.connections, directory.requested
            return
        try:
            name = directory.bind_name(question.user)
        except DnError as error:
            raise _NotBound(str(error)) from None
        async with directory.connections.bound_as(name, question.password or "") as session:
            if session.result.code != SUCCESS:
                raise _NotBound(f"bind as {name} refused: {result_name(session.result.code)}")
            yield session, directory.requested


async def _ask(
    searcher: Searcher,
    request: SearchRequest,
    filled: Filling,
    explanation: SearchExplanation,
    named: Sequence[str],
) -> None:
    entries, result = await searcher.search(request, filled)
    explanation.count += len(entries)
    explanation.cut_short |= result.code == SIZE_LIMIT_EXCEEDED
    if result.code not in (SUCCESS, SIZE_LIMIT_EXCEEDED):
        explanation.error = f"search below {request.base!r} refused: {result_name(result.code)}"
        missing = f"check the base {request.base!r}: there is no such entry, or it may not be seen"
        advice = missing if result.code == NO_SUCH_OBJECT else ADVICE.get(result.code, "").removeprefix("; ")
        explanation.advice += filter(None, [advice])
    room = SHOWN - len(explanation.entries)
    spelled = {name.lower(): name for name in request.attributes}
    explanation.entries += [_shown(entry, spelled, named) for entry in entries[:room]]


def _shown(entry: Entry, spelled: Mapping[str, str], named: Sequence[str]) -> ShownEntry:
    """``spelled`` has the names as they were asked for, by those in lower case; the operator ``named`` some."""
    found = {spelled.get(name, name): shown_values(name, values) for name, values in entry.attributes.items()}
    present = {name.partition(";")[0] for name in entry.attributes} | set(entry.attributes)
    absent = [name for name in named if name.lower() not in present and name[:1].isalpha()]
    return ShownEntry(entry.dn, found, absent)
