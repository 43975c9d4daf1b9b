"""One question of a proxy, from its request to the answer (forward-auth.md 1-6). It translates; the rules decide."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.access.client_address import UNIX_PEER, MalformedAddress, parse_address
from gateway.access.decision import Endpoint, Outcome, answer, caller_of
from gateway.access.redirects import login_location
from gateway.access.target import Malformed, Misconfigured
from gateway.grants.lockout import address_key
from gateway.serve.authz.judge import Judge, Verdict
from gateway.serve.authz.question import FORWARDED_FOR, Asker, Clients, Headers, Question, read_target, urls_of
from gateway.serve.authz.reply import ReadyResponse, Reply, refusing
from gateway.serve.client import peer_of
from gateway.serve.seldom import Seldom
from gateway.sessions import Stale
from gateway.store.interface import StoreError

if TYPE_CHECKING:
    from gateway.runtime import Live
    from gateway.serve.authz.holders import Holder

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """An answer for which nothing had to be waited for."""

    reply: Reply
    holder: Holder | None
    """Whose session or token it rests on."""
    address: str
    """Of the client, for that session or token."""


class Authz:
    """Answers proxies under one snapshot."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self._access = live.access
        self._insecure = live.configuration.access_control.allow_insecure_targets
        self._clients = Clients(live.access.trusted)
        self._judge = Judge(live)
        self._seldom = Seldom()
        self.holders = self._judge.holders

    async def answer(self, request: web.BaseRequest, endpoint: Endpoint) -> ReadyResponse:
        """Answer one request; its body is never read."""
        now = int(time.time())
        keep_alive = request.keep_alive and not request.body_exists
        try:
            peer = peer_of(request)
            asker = self.asker(endpoint, request.method, request.headers, peer)
            if asker is None:
                self._warn(endpoint, peer, "it is not in trusted_proxies", now)
                return ReadyResponse(_refusal(Outcome.FORBID, endpoint), now, keep_alive=keep_alive)
            question = self._question(asker, urls_of(endpoint, request.raw_path, request.headers))
        except (Malformed, MalformedAddress) as error:
            if isinstance(error, Misconfigured):
                self._warn(endpoint, peer, str(error), now)
            else:
                log.debug("%s: malformed question: %s", endpoint, error)
            return ReadyResponse(_refusal(Outcome.MALFORMED, endpoint), now, keep_alive=keep_alive)
        try:
            verdict = await self._judge.judge(question, now)
            if self._needs_token(verdict):
                await self.live.grafana.keys.follow()
            said = self._said(question, verdict, now)
        except (StoreError, Stale) as error:
            log.error("%s: undecided: %s", endpoint, str(error) or "the directory was silent for too long")
            said = _refusal(Outcome.UNAVAILABLE, endpoint)
        return ReadyResponse(said, now, keep_alive=keep_alive)

    def asker(self, endpoint: Endpoint, method: str, headers: Headers, peer: str) -> Asker | None:
        """Who asks, by what method and headers; None: it is no proxy of ours. Raises MalformedAddress."""
        if not self._clients.is_proxy(peer):
            return None
        client, address = self._clients.client(peer, headers.getall(FORWARDED_FOR, ()))
        return Asker(endpoint, method, headers, client, address)

    def answer_at_once(self, asker: Asker, urls: Sequence[str], now: int) -> KnownAnswer | None:
        """The answer about what ``urls_of`` finds in the request, if nothing need be waited for.

        Raises Malformed and StoreError.
        """
        question = self._question(asker, urls)
        verdict = self._judge.judge_at_once(question, now)
        if verdict is None or (self._needs_token(verdict) and not self.live.grafana.keys.is_current):
            return None
        return KnownAnswer(self._said(question, verdict, now), verdict.holder, asker.address)

    def _needs_token(self, verdict: Verdict) -> bool:
        """Whether the answer has a token for the application in it, signed with a key that must still count."""
        passes = verdict.outcome is Outcome.PASS and verdict.holder is not None
        return passes and self._access.presets.needs_token(verdict.decision.headers)

    def _warn(self, endpoint: Endpoint, peer: str, reason: str, now: int) -> None:
        """Say what is wrong with a proxy, of which its users see no more than that nothing works."""
        network = "a unix socket" if peer == UNIX_PEER else address_key(parse_address(peer)).shown
        untold = self._seldom.untold((network, endpoint, reason), now)
        if untold is not None:
            more = f"; {untold} more since the last line like this" if untold else ""
            log.warning("%s: a question from %s was refused: %s%s", endpoint, network, reason, more)

    def _question(self, asker: Asker, urls: Sequence[str]) -> Question:
        return Question(asker, read_target(asker, urls, insecure=self._insecure))

    def _said(self, question: Question, verdict: Verdict, now: int) -> Reply:
        """Raises StoreError."""
        target, endpoint = question.target, question.asker.endpoint
        if verdict.outcome is Outcome.PASS:
            reply = self.holders.passing(verdict.holder, endpoint, verdict.decision.headers, now)
            if reply is not None:
                return reply
            verdict = self._judge.untellable(question, verdict)
        said = answer(
            verdict.outcome, endpoint, method=target.method, caller=caller_of(target.method, question.asker.headers),
            location=self._location(question, verdict), basic=verdict.decision.basic,
            retry_seconds=verdict.retry_seconds,
        )  # fmt: skip
        return refusing(said, verdict.outcome)

    def _location(self, question: Question, verdict: Verdict) -> str:
        """Where the portal tells a person more; empty where no other login would help."""
        helps = verdict.outcome is Outcome.CHALLENGE or (verdict.outcome is Outcome.FORBID and verdict.holder)
        scope = self._access.scopes.for_host(question.target.host) if helps else None
        if scope is None:
            return ""
        return login_location(
            scope.portal_url, question.target.url, question.target.method, self._access.return_urls
        )


def _refusal(outcome: Outcome, endpoint: Endpoint) -> Reply:
    return refusing(answer(outcome, endpoint), outcome)
