"""``explain login``: what a login of this name comes to, server by server, and what would be granted.

With a password it is a login in all but its records: no lockout, whitelist, store or audit event. Without one, servers
that search first do all but the bind; of those that bind first only the name to bind is known.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from gateway.directory.local_users import LocalUsers
from gateway.directory.pools import service_dn
from gateway.directory.realm import Outcome, Realm, Verdict, conclude
from gateway.directory.traced import Operation, round_trips
from gateway.explain import WrongArguments
from gateway.explain.advice import advice_for, told_reason
from gateway.explain.asked import AskedServer
from gateway.explain.conjur import conjur_of, unsent_key
from gateway.explain.rules import Rule, mappings_of, near_misses, rules_for
from gateway.explain.values import HIDDEN, is_secret
from gateway.grants.mapping import Grants, Refused
from gateway.grants.whitelist import servers_by_invitation
from gateway.identities import clearml_user_id
from gateway.identity import LOCAL, Account, Grant
from gateway.login import Attempt, unusable
from gateway.tokens.opaque import is_access_key

if TYPE_CHECKING:
    from gateway.config.load import Snapshot
    from gateway.config.schema import Configuration, Server

NOT_ASKED: Final = ("lockout", "whitelist", "the cache of logins", "what was written through the daemon's APIs")
"""What only the running daemon knows."""

NAMELESS: Final = '""'
"""How an empty name is shown."""
_ANY_PASSWORD: Final = "-"  # noqa: S105 - where none is given
_PASSWORD_FIRST: Final = "this server binds before it searches, which needs the password"  # noqa: S105 - a text


@dataclass(slots=True)
class ServerAnswer:
    """What one member of the realm says. Durations are milliseconds."""

    server: str
    """Its name; ``local`` for the local users."""
    mode: str
    """``bind_mode`` as decided; ``local users``."""
    urls: tuple[str, ...] = ()
    endpoint: str = ""
    """``host:port`` of the host in use, or tried last."""
    service_dn: str = ""
    """Who searches, where people are searched before they bind; empty: nobody in particular."""
    connect_milliseconds: float | None = None
    """Done once per connection, not per login; None where there is none."""
    outcome: str = "not reached"
    """``ok``, ``invalid``, ``not found``, ``unreachable``, ``error``, ``undecided`` or ``not reached``."""
    reason: str = ""
    would_bind: str = ""
    """The name that would be bound, where that needs a password and none was given."""
    operations: list[Operation] = field(default_factory=list)
    round_trips: int = 0
    milliseconds: float = 0.0
    """From the first operation to the end of the last one."""
    warnings: list[str] = field(default_factory=list)
    whitelist: bool = False
    """Whether the whitelist has its say at login."""
    account: Account | None = None
    """With its groups, each with where it came from."""
    user_id: str = ""
    """ClearML's."""
    mappings: int = 0
    """Mappings that the account was held against."""
    rules: list[Rule] = field(default_factory=list)
    near_misses: list[str] = field(default_factory=list)
    grant: Grant | None = None
    refused: str = ""
    """Why the configuration lets an account in no further."""
    conjur: str = ""
    """Whether Conjur's clients let the account in; empty where that dialect is off."""


@dataclass(slots=True)
class LoginExplanation:
    """The whole answer; ``dataclasses.asdict`` of it is the document of ``--json``."""

    username: str
    password_given: bool
    admitted: bool = False
    """Whether the person would be let in; without a password: whether nothing else keeps them out."""
    verdict: str = ""
    advice: list[str] = field(default_factory=list)
    servers: list[ServerAnswer] = field(default_factory=list)
    not_asked: tuple[str, ...] = NOT_ASKED


class _NoLockout:
    async def admits_name(self, server: str) -> bool:
        return True

    async def admits_entry(self, server: str, entry: str) -> bool:
        return True


async def explain_login(
    snapshot: Snapshot, username: str, password: str | None = None, server: str = ""
) -> LoginExplanation:
    """Explain a login; ``server`` names the one to ask, in the realm or not. Raises ``WrongArguments``."""
    configuration = snapshot.configuration
    known = [one.name for one in configuration.servers]
    if server and server not in known:
        raise WrongArguments(f"there is no server {server}; known: {', '.join(known) or 'none'}")
    explanation = LoginExplanation(username, password_given=password is not None)
    if reason := _decided_without_asking(configuration, username, password):
        explanation.verdict = f"{username.strip() or NAMELESS} is not let in: {reason}"
        return explanation
    with ThreadPoolExecutor(1) as threads:
        local = LocalUsers(configuration.users, threads, at_once=1)
        asked = [AskedServer(one) for one in configuration.servers]
        realm = Realm(local, asked, Grants(configuration).unmapped)
        members = [member.name for member in realm.members(username, server)]
        if password is not None:
            verdicts = await realm.authenticate(username, password, _NoLockout(), server)
        elif realm.asks_no_server(username, server):
            verdicts = [_local_verdict(local, username)]
        else:
            verdicts = await _look_up(realm, [one for one in asked if one.name in members], username)
    by_name = {verdict.server: verdict for verdict in verdicts}
    servers = {one.name: one for one in asked}
    explanation.servers = [_answer(snapshot, username, servers.get(name), by_name.get(name)) for name in members]
    _conclude(explanation, verdicts, snapshot)
    return explanation


def _decided_without_asking(configuration: Configuration, username: str, password: str | None) -> str:
    """Why no server and no local user is asked; empty where they are (``login.Login``)."""
    attempt = Attempt(username, _ANY_PASSWORD if password is None else password, None, "explain")
    if reason := unusable(attempt):
        return reason
    keys = {credential.user_key for credential in configuration.clearml.credentials.values()}
    if username in keys or is_access_key(username):
        return "the name is an access key or looks like one: keys are decided by the daemon, no directory is asked"
    return unsent_key(configuration, password)


async def _look_up(realm: Realm, servers: list[AskedServer], username: str) -> list[Verdict]:
    verdicts = []
    for server in servers:
        verdict = await server.look_up(username)
        if verdict is not None:
            verdicts.append(realm.mapped(verdict))
            if verdicts[-1].outcome in (Outcome.OK, Outcome.ERROR):
                break
    return verdicts


def _local_verdict(local: LocalUsers, username: str) -> Verdict:
    account = local.account(username)
    if account is None:
        return Verdict(LOCAL, Outcome.NOT_FOUND, "unknown name")
    if account.disabled:
        return Verdict(LOCAL, Outcome.INVALID, "the user is disabled in the configuration", account)
    return Verdict(LOCAL, Outcome.OK, account=account)


def _answer(snapshot: Snapshot, typed: str, asked: AskedServer | None, verdict: Verdict | None) -> ServerAnswer:
    if asked is None:
        answer = ServerAnswer(LOCAL, "local users")
    else:
        answer = ServerAnswer(asked.name, asked.server.mode, _urls(asked.server))
        answer.endpoint, answer.connect_milliseconds = asked.endpoint, asked.connect_milliseconds
        answer.operations, answer.warnings, answer.would_bind = asked.sent, asked.warnings, asked.would_bind
        answer.service_dn = service_dn(asked.server)
        answer.round_trips = round_trips(answer.operations)
        ends = [operation.started + operation.milliseconds for operation in answer.operations]
        answer.milliseconds = round(max(ends) - answer.operations[0].started, 3) if ends else 0.0
        answer.whitelist = asked.name in servers_by_invitation(snapshot.configuration)
    if verdict is not None:
        answer.outcome, answer.reason = verdict.outcome.value, verdict.reason
        if asked is not None:
            answer.reason = told_reason(asked.server, answer.operations, verdict.reason)
        if verdict.account is not None:
            answer.warnings += _nameless(asked, verdict.account)
            _add_grant(answer, snapshot, verdict.account)
    elif asked is not None and asked.was_asked:
        answer.outcome, answer.reason = "undecided", _PASSWORD_FIRST
    return answer


def _nameless(asked: AskedServer | None, account: Account) -> list[str]:
    """A warning where the entry has no name of its own, so that each spelling typed is another person to ClearML."""
    attribute = asked.server.attributes.username if asked is not None else ""
    for operation in asked.operations if asked is not None and attribute else ():
        if operation.found[:1] == [account.dn] and attribute in operation.attributes:
            if attribute.lower() not in operation.present:
                return [f"the entry has no {attribute} (attributes.username): the name as typed is used"]
            break
    return []


def _urls(server: Server) -> tuple[str, ...]:
    schemes = {"none": "ldap", "starttls": "ldap", "ldaps": "ldaps"}
    return tuple(
        f"{schemes[tls]}://{f'[{host}]' if ':' in host else host}:{port}{' (StartTLS)' if tls == 'starttls' else ''}"
        for host, port, tls in server.endpoints
    )


def _add_grant(answer: ServerAnswer, snapshot: Snapshot, account: Account) -> None:
    configuration = snapshot.configuration

    def origin_of(path: str) -> str:
        return str(snapshot.origin(path))

    answer.account = _without_secrets(account, configuration)
    answer.mappings = len(mappings_of(configuration, account))
    answer.rules = rules_for(configuration, account, origin_of)
    answer.near_misses = near_misses(configuration, account, origin_of)
    answer.conjur = conjur_of(snapshot, account)
    try:
        answer.grant = Grants(configuration).grant(account)
        answer.user_id = clearml_user_id(account, answer.grant.company)
    except Refused as refusal:
        answer.refused = str(refusal)


def _without_secrets(account: Account, configuration: Configuration) -> Account:
    server = next((one for one in configuration.servers if one.name == account.server), None)
    hidden = {ours for ours, theirs in server.attributes.extra.items() if is_secret(theirs)} if server else set()
    shown = {name: (HIDDEN,) if name in hidden else values for name, values in account.attributes.items()}
    return replace(account, attributes=shown)


def _conclude(explanation: LoginExplanation, verdicts: list[Verdict], snapshot: Snapshot) -> None:
    """Say in one line what it comes to, and what to do about it."""
    name = explanation.username
    final = conclude(verdicts) if verdicts else None
    decisive = next((one for one in explanation.servers if final is not None and one.server == final.server), None)
    undecided = next((one for one in explanation.servers if one.outcome == "undecided"), None)
    if decisive is not None and decisive.outcome == "ok" and not decisive.refused:
        explanation.admitted = True
        condition = "" if explanation.password_given else ", if the password is right"
        invited = ", if the whitelist names the e-mail address" if decisive.whitelist else ""
        explanation.verdict = f"{name} is let in by {decisive.server}{condition}{invited}"
    elif undecided is not None:
        explanation.verdict = f"undecided: only with the password can {undecided.server} say whether {name} is let in"
        explanation.advice.append("give the password with --password (asks for it) or --password-stdin")
    elif decisive is not None:
        reason = decisive.refused or decisive.reason
        explanation.verdict = f"{name} is not let in: {decisive.server}: {reason}"
        explanation.advice += advice_for(snapshot, decisive, name)
