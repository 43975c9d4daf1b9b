"""From a question to its verdict: what the rules say of everybody, who shows what, what they say of them then."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from multidict import istr

from gateway.access.credentials import NOTHING, Kind, Presented, presented
from gateway.access.decision import RETRY_SECONDS, Endpoint, Outcome
from gateway.access.rules import Decision
from gateway.grants.lockout import address_key
from gateway.identity import Identity, fold_name
from gateway.login import Attempt, Denied, Throttled, Unavailable
from gateway.serve.authz.holders import Holder, Holders
from gateway.serve.authz.question import Question
from gateway.serve.seldom import Seldom
from gateway.telemetry.audit import new_event
from gateway.tokens.opaque import PERSONAL_PREFIX, Form, digest, form_of

if TYPE_CHECKING:
    from gateway.access.session_cookies import CookieScope
    from gateway.runtime import Live

DIALECT: Final = "authz"
_LOOKED_UP: Final = (
    ("clearml", Form.CLEARML),
    ("vault", Form.VAULT_SERVICE),
    ("vault", Form.VAULT_BATCH),
    ("conjur", Form.CONJUR),
)
"""Dialects of ``access_control.accept`` whose tokens are ours only if they are found, and their forms."""
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NO_ROOM: Final = "the token for the application is longer than identity_headers.max_size"
_LONGEST_TARGET: Final = 512
"""Characters of a target in an audit event."""
_AUTHORIZATION: Final = istr("Authorization")
_PROXY_AUTHORIZATION: Final = istr("Proxy-Authorization")
_COOKIE: Final = istr("Cookie")
_ORIGIN: Final = istr("Origin")
_REQUESTED_METHOD: Final = istr("Access-Control-Request-Method")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What comes of a question."""

    outcome: Outcome
    decision: Decision
    """The last one that the rules made."""
    holder: Holder | None = None
    retry_seconds: int = RETRY_SECONDS


@dataclass(frozen=True, slots=True)
class _Case:
    """A question that wants somebody to have logged in."""

    question: Question
    first: Decision
    """What the rules say of everybody."""
    scope: CookieScope | None
    """The cookies of the target's host; None: none of ours goes there."""
    now: int


class Judge:
    """Gives verdicts under one snapshot."""

    def __init__(self, live: Live) -> None:
        control = live.configuration.access_control
        self._live = live
        self._rules = live.access.rules
        self._presets = live.access.presets
        self._accepts_personal = "personal" in control.accept
        self._accepts = tuple(form for dialect, form in _LOOKED_UP if dialect in control.accept)
        self._passes_preflights = control.preflight == "pass"
        self._merged_cookies = live.configuration.session.merged_cookies
        self._seldom = Seldom()
        self.holders = Holders(live)

    async def judge(self, question: Question, now: int) -> Verdict:
        """Decide a question. Raises Stale and StoreError."""
        opened = self._open(question, now)
        if isinstance(opened, Verdict):
            return opened
        authorization = self._credentials(question)
        verified = await self._verified(authorization, question, now) if self._accepts else frozenset()
        given = self._given(opened, verified)
        match given.kind:
            case Kind.SESSION:
                return await self._by_sessions(opened, given)
            case Kind.TOKEN:
                return await self._by_known_token(opened, given)
            case Kind.PASSWORD if given.password.startswith(PERSONAL_PREFIX):
                holder = await self.holders.by_personal(given.password, now) if self._accepts_personal else None
                is_owner = holder is not None and _is_called(holder.identity, given.username)
                return self._of_holder(opened, given, holder if is_owner else None)
            case Kind.PASSWORD:
                return await self._by_password(opened, given)
            case _:
                return _unknown(opened, given)

    def judge_at_once(self, question: Question, now: int) -> Verdict | None:
        """The same verdict, if nothing need be waited for: a known holder, or nobody. Else None. Raises StoreError."""
        opened = self._open(question, now)
        if isinstance(opened, Verdict):
            return opened
        if self._accepts and any(self._credentials(question)):
            return None
        given = self._given_at_once(opened)
        if given.kind is Kind.NOTHING:
            return _unknown(opened, given)
        if given.kind is Kind.SESSION and len(given.sessions) == 1 and opened.scope is not None:
            holder = self.holders.known((digest(given.sessions[0]), opened.scope.host), now)
        elif given.kind is Kind.TOKEN:
            holder = self.holders.known((digest(given.token), ""), now)
        else:
            return None
        return None if holder is None else self._of_holder(opened, given, holder)

    def _given_at_once(self, case: _Case) -> Presented:
        found, key = case.question.asker.given, (case.scope.name if case.scope else "", case.first.basic)
        if (given := found.get(key)) is None:
            given = found[key] = self._given(case, frozenset())
        return given

    def _open(self, question: Question, now: int) -> Verdict | _Case:
        """What the rules say of everybody comes first: a bypass looks at no credential, and nobody is asked for one
        where it could not help."""
        first = self._rules.decide(question.target, question.asker.client)
        if first.outcome is not Outcome.CHALLENGE:
            return Verdict(first.outcome, first)
        if self._passes_preflights and _is_preflight(question):
            return Verdict(Outcome.PASS, first)
        return _Case(question, first, self._live.access.scopes.for_host(question.target.host), now)

    def _credentials(self, question: Question) -> tuple[str, ...]:
        headers = question.asker.headers
        return (*headers.getall(_AUTHORIZATION, ()), *headers.getall(_PROXY_AUTHORIZATION, ()))

    def _given(self, case: _Case, verified: frozenset[str]) -> Presented:
        headers, scope = case.question.asker.headers, case.scope
        authorization, proxy = headers.getall(_AUTHORIZATION, ()), headers.getall(_PROXY_AUTHORIZATION, ())
        cookies = headers.getall(_COOKIE, ()) if scope else ()
        if not authorization and not proxy and not cookies:
            return NOTHING

        def is_ours(token: str) -> bool:
            return token in verified or (self._accepts_personal and token.startswith(PERSONAL_PREFIX))

        name, basic = scope.name if scope else "", case.first.basic
        merged = self._merged_cookies and case.question.asker.endpoint is Endpoint.FORWARD_AUTH
        given = presented(
            authorization, proxy, cookies,
            cookie_name=name, basic=basic, is_ours=is_ours, merged_cookies=merged,
        )  # fmt: skip
        return Presented(Kind.INVALID, proxy=True) if given.kind is Kind.PASSWORD and not basic else given

    async def _verified(self, credentials: tuple[str, ...], question: Question, now: int) -> frozenset[str]:
        """Tokens of ClearML, Vault and Conjur among the credentials that are ours; those of anybody else belong to the
        application (DECISIONS 21)."""
        found = set()
        for line in dict.fromkeys(credentials[:2]):
            scheme, _, value = line.strip().partition(" ")
            token = value.strip()
            if scheme.lower() == "bearer" and self._form_of(token) in self._accepts:
                try:
                    await self._by_token(token, question, now)
                except LookupError:
                    continue
                found.add(token)
        return frozenset(found)

    def _form_of(self, token: str) -> Form:
        """With ``vault.compatibility`` the tokens of the Vault dialect have no form of their own."""
        form = form_of(token)
        uuids = form is Form.FOREIGN and self._live.configuration.vault.compatibility
        return Form.VAULT_SERVICE if uuids and _UUID.fullmatch(token) else form

    async def _by_token(self, token: str, question: Question, now: int) -> Holder | None:
        """Raises LookupError where it is not ours, Stale and StoreError."""
        match self._form_of(token):
            case Form.PERSONAL:
                return await self.holders.by_personal(token, now)
            case Form.VAULT_SERVICE | Form.VAULT_BATCH:
                return await self.holders.by_vault(token, question.asker.client, now)
            case Form.CONJUR:
                return await self.holders.by_conjur(token, question.asker.client, now)
            case _:
                return await self.holders.by_clearml(token, now)

    async def _by_known_token(self, case: _Case, given: Presented) -> Verdict:
        try:
            holder = await self._by_token(given.token, case.question, case.now)
        except LookupError:
            holder = None  # it ended just now
        return self._of_holder(case, given, holder)

    async def _by_sessions(self, case: _Case, given: Presented) -> Verdict:
        """Sessions of several people are nobody's: a host beside ours set one of the cookies (forward-auth.md 9)."""
        domain = case.scope.host if case.scope else ""
        found = [await self.holders.by_session(value, domain, case.now) for value in given.sessions]
        holders = [holder for holder in found if holder is not None]
        if len({holder.identity.id for holder in holders}) != 1:
            return _unknown(case, given)
        return self._of_holder(case, given, holders[0])

    async def _by_password(self, case: _Case, given: Presented) -> Verdict:
        question = case.question
        attempt = Attempt(
            given.username, given.password, question.asker.client, DIALECT, _shown(question),
            no_keys=Form.CLEARML not in self._accepts,
        )  # fmt: skip
        match await self._live.login.check(attempt):
            case Identity() as identity:
                return self._of_holder(case, given, self.holders.by_login(identity))
            case Denied():
                return _unknown(case, replace(given, kind=Kind.INVALID))
            case Throttled(retry_after) | Unavailable(retry_after=retry_after) as result:
                outcome = Outcome.THROTTLED if isinstance(result, Throttled) else Outcome.UNAVAILABLE
                return Verdict(outcome, case.first, retry_seconds=retry_after)
            case _:
                return Verdict(Outcome.UNAVAILABLE, case.first)

    def _of_holder(self, case: _Case, given: Presented, holder: Holder | None) -> Verdict:
        """The rules once more, for somebody; ``holder`` None: what was shown is not good."""
        question = case.question
        if holder is None:
            return self._refused(case, given, "the token is not valid")
        self.holders.touch(holder, case.now, question.asker.address)
        final = self._rules.decide(question.target, question.asker.client, holder.terms)
        if final.outcome is not Outcome.PASS:
            self._audit(question, final.why, holder.identity)
        elif given.kind is Kind.PASSWORD and not final.basic:
            return Verdict(Outcome.CHALLENGE, final)
        elif not holder.limits.allow(question.target):
            self._audit(question, "outside the limits of the token", holder.identity)
            return Verdict(Outcome.FORBID, final)
        elif reason := self._presets.refusal(holder.identity, final.headers):
            self._audit(question, reason, holder.identity)
            return Verdict(Outcome.FORBID, final, holder)
        return Verdict(final.outcome, final, holder)

    def untellable(self, question: Question, verdict: Verdict) -> Verdict:
        """Of somebody who may pass, and whose token has no room in the answer."""
        self._audit(question, _NO_ROOM, verdict.holder.identity if verdict.holder else None)
        return replace(verdict, outcome=Outcome.FORBID)

    def _refused(self, case: _Case, given: Presented, reason: str) -> Verdict:
        """What was shown is not good, as can be said without work that would have to be limited."""
        asker = case.question.asker
        network = address_key(asker.client).shown if asker.client else ""
        untold = self._seldom.untold((network, reason), case.now)
        if untold is not None:
            more = f"; {untold} like it were not told since the last one from {network}" if untold else ""
            self._audit(case.question, reason + more)
        return _unknown(case, replace(given, kind=Kind.INVALID))

    def _audit(self, question: Question, reason: str, identity: Identity | None = None) -> None:
        server, user = (identity.account.server, identity.account.username) if identity else ("", "")
        event = new_event(
            time.time(), "access", "failure", generation=self._live.generation, reason=reason, dialect=DIALECT,
            server=server, user=user, client=question.asker.address, target=_shown(question),
        )  # fmt: skip
        self._live.audit.write(event)


def _unknown(case: _Case, given: Presented) -> Verdict:
    """Of somebody who showed nothing, or nothing good."""
    if given.kind is Kind.INVALID:
        return Verdict(Outcome.BAD_PROXY_CREDENTIALS if given.proxy else Outcome.BAD_CREDENTIALS, case.first)
    # Where no cookie of ours goes, no login at the portal would help.
    return Verdict(Outcome.CHALLENGE if case.scope else Outcome.FORBID, case.first)


def _is_preflight(question: Question) -> bool:
    """A CORS preflight, which browsers send without credentials (Fetch standard 4.8)."""
    headers = question.asker.headers
    return question.target.method == "OPTIONS" and bool(headers.get(_ORIGIN) and headers.get(_REQUESTED_METHOD))


def _shown(question: Question) -> str:
    """Host and path: the query may hold what is nobody's business."""
    return f"{question.target.host}{question.target.path}"[:_LONGEST_TARGET]


def _is_called(identity: Identity, name: str) -> bool:
    account = identity.account
    return fold_name(name) in (fold_name(account.username), fold_name(f"{account.server}/{account.username}"))
