"""What an answer of ``explain login`` comes from, the cause first, and what to do about it. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from gateway.config.origin import GRAFANA_DEFAULT
from gateway.directory.doctor.advice import (
    SET_ACCOUNT,
    base_key,
    bound_by,
    cause_first,
    connection_key,
    names_a_bar,
    set_tls,
    typed_name,
    with_limits,
)
from gateway.directory.searches import ADVICE, NO_SUCH_OBJECT
from gateway.grants.mapping import Grants
from gateway.identity import LOCAL

if TYPE_CHECKING:
    from gateway.config.load import Snapshot
    from gateway.config.schema import Server
    from gateway.directory.traced import Operation
    from gateway.explain.login import ServerAnswer

_NOT_ALLOWED: Final = ("1 ", "32 ", "50 ", "53 ")
"""Results of searches, with which directories answer who is nobody in particular (RFC 4511 appendix A)."""
_TLS_IN_CLEAR: Final = ("connection closed", "connection reset", "connection lost", "is not LDAP", "disconnected")


def told_reason(server: Server, operations: Sequence[Operation], reason: str) -> str:
    """A verdict's reason as operators read it: the cause, then the directory's words; limits and keys by name."""
    text = with_limits(cause_first(server, reason), server)
    both = ADVICE[NO_SUCH_OBJECT]
    if both in text and (base := _failed_base(operations)) is not None:
        text = text.replace(both, f"; check {base_key(server, base)}")
    return text


def _failed_base(operations: Sequence[Operation]) -> str | None:
    failed = [one.dn for one in operations if one.kind == "search" and one.result.startswith("32 ")]
    return failed[0] if failed else None


def advice_for(snapshot: Snapshot, answer: ServerAnswer, username: str) -> list[str]:
    """What to do about an answer that lets nobody in; nothing where it says so itself."""
    if answer.refused:
        return answer.near_misses or _of_refused(snapshot, answer)
    if answer.server == LOCAL:
        return ["local users stand in the configuration, under users"]
    server = next(one for one in snapshot.configuration.servers if one.name == answer.server)
    about = _Advice(snapshot, server)
    match answer.outcome:
        case "not found":
            hint = typed_name(server, username)
            look = f"see what keeps the person from being found: {about.doctor(username)}"
            return [hint, look] if hint else [look]
        case "unreachable" | "error":
            return [*about.failure(answer), f"try the connections: {about.doctor()}"]
        case "invalid" if answer.account is not None or names_a_bar(answer.reason):
            return ["it is the directory that bars the account; it must be lifted there"]
        case "invalid" if answer.reason.startswith("wrong password") and (key := bound_by(server)):
            doubt = f"if the password is right, check {about.where(key)}: it makes the name to bind with"
            return [typed_name(server, username) or doubt]
    return []


def _of_refused(snapshot: Snapshot, answer: ServerAnswer) -> list[str]:
    """About somebody with the right password whom no mapping names; other refusals say what to do."""
    server = next((one for one in snapshot.configuration.servers if one.name == answer.server), None)
    if server is None or answer.account is None or not Grants(snapshot.configuration).unmapped(answer.account):
        return []
    about = _Advice(snapshot, server)
    texts = [about.mappings() if answer.account.groups else about.no_groups()]
    if snapshot.origin(f"servers.{server.name.lower()}.require_mapping") == GRAFANA_DEFAULT:
        further = f'in a further file servers = [{{ name = "{server.name}", require_mapping = false }}]'
        texts.append(f"Grafana requires a mapping, and so do files read by its rules; who wants none: {further}")
    return texts


class _Advice:
    """Advice about one server, with the places where its keys are written and commands that can be pasted."""

    def __init__(self, snapshot: Snapshot, server: Server) -> None:
        self._snapshot = snapshot
        self._server = server

    def where(self, key: str) -> str:
        """``bind_dn [servers.corp.bind_dn: FILE:LINE:COLUMN]``."""
        path = f"servers.{self._server.name.lower()}.{key}"
        return f"{key} [{path}: {self._snapshot.origin(path)}]"

    def doctor(self, user: str = "") -> str:
        """The command that examines this server with the same files."""
        words = ["ldap-gateway", "doctor"]
        for file in self._snapshot.files:
            words += ["-c", str(file)]
        words += ["--server", self._server.name]
        if user:
            words += ["--user", user, *(["--password"] if bound_by(self._server) else [])]
        return shlex.join(words)

    def mappings(self) -> str:
        """Where the mappings are, of which none matched."""
        last = len(self._server.group_mappings) - 1
        key = f"servers.{self._server.name.lower()}.group_mappings"
        first, end = (self._snapshot.origin(f"{key}.{place}.group_dn") for place in (0, last))
        where = f"{first} to {end}" if last else f"{first}"
        return f"none of the groups below is named by a mapping [{key}: {where}]"

    def no_groups(self) -> str:
        """What to look at where somebody has no group at all."""
        server = self._server
        if server.use_token_groups:
            return f"the directory tells no group of theirs: check {self.where('use_token_groups')}"
        if server.group_search_filter:
            if not server.group_bases:
                return "groups are not looked for, because there is no group_search_base_dns"
            keys = ("group_search_filter", "group_search_base_dns")
            return f"the search for groups below found none: check {' and '.join(map(self.where, keys))}"
        if not server.attributes.member_of:
            return "groups are not looked for: set attributes.member_of, or group_search_filter"
        found = f"their entry has no {server.attributes.member_of} that bind_dn may read"
        return f"{found}: check {self.where('attributes.member_of')}, or set group_search_filter"

    def failure(self, answer: ServerAnswer) -> list[str]:
        """About a search or a connection that failed."""
        server, reason = self._server, answer.reason
        failed = [one for one in answer.operations if one.result and not one.result.startswith("0 ")]
        if server.mode in ("anonymous", "unauthenticated") and any(
            one.kind == "search" and one.result.startswith(_NOT_ALLOWED) for one in failed
        ):
            return [f"{SET_ACCOUNT} {self._at('bind_dn')}"]
        if (base := _failed_base(answer.operations)) is not None:
            return [f"check {self.where(base_key(server, base))}"]
        if "service account" in reason:
            return [f"check {self.where('bind_dn')} and {self.where('bind_password')}"]
        if answer.outcome != "unreachable" or failed:
            return []
        if any(words in reason for words in _TLS_IN_CLEAR) and any(tls != "ldaps" for _, _, tls in server.endpoints):
            advice, key = set_tls(server)
            return [f"does that port speak TLS from the first octet? Then {advice} {self._at(key)}"]
        if "request_timeout" in reason or "login_timeout" in reason:
            return []
        keys = [connection_key(server, reason), *(["port"] if server.port and "efused" in reason else [])]
        return [f"check {' and '.join(map(self.where, dict.fromkeys(keys)))}"]

    def _at(self, key: str) -> str:
        return self.where(key).partition(" ")[2]
