"""One question of a proxy, from its request to the answer (forward-auth.md 1-6). It translates; the rules decide."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.access.client_address import MalformedAddress
from gateway.access.decision import Endpoint, Outcome, answer, caller_of
from gateway.access.redirects import login_location
from gateway.access.target import Malformed
from gateway.serve.authz.judge import Judge, Verdict
from gateway.serve.authz.question import FORWARDED_FOR, Clients, Headers, Question, read_question
from gateway.serve.authz.reply import ReadyResponse, Reply, refusing
from gateway.serve.client import peer_of
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
        self.holders = self._judge.holders

    async def answer(self, request: web.BaseRequest, endpoint: Endpoint) -> ReadyResponse:
        """Answer one request; its body is never read."""
        now = int(time.time())
        keep_alive = request.keep_alive and not request.body_exists
        try:
            question = self._question(endpoint, request.method, request.raw_path, request.headers, peer_of(request))
        except (Malformed, MalformedAddress) as error:
            log.debug("%s: malformed question: %s", endpoint, error)
            return ReadyResponse(_refusal(Outcome.MALFORMED, endpoint), now, keep_alive=keep_alive)
        if question is None:
            return ReadyResponse(_refusal(Outcome.FORBID, endpoint), now, keep_alive=keep_alive)
        try:
            verdict = await self._judge.judge(question, now)
        except (StoreError, Stale) as error:
            log.error("%s: undecided: %s", endpoint, str(error) or "the directory was silent for too long")
            return ReadyResponse(_refusal(Outcome.UNAVAILABLE, endpoint), now, keep_alive=keep_alive)
        return ReadyResponse(self._said(question, verdict), now, keep_alive=keep_alive)

    def answer_at_once(
        self, endpoint: Endpoint, method: str, raw_target: str, headers: Headers, peer: str, now: int
    ) -> KnownAnswer | None:
        """The same answer, if nothing need be waited for. Raises StoreError."""
        try:
            question = self._question(endpoint, method, raw_target, headers, peer)
        except (Malformed, MalformedAddress):
            return None
        verdict = self._judge.judge_at_once(question, now) if question else None
        if question is None or verdict is None:
            return None
        return KnownAnswer(self._said(question, verdict), verdict.holder, str(question.client or ""))

    def _question(
        self, endpoint: Endpoint, method: str, raw_target: str, headers: Headers, peer: str
    ) -> Question | None:
        """None: somebody asks who is no proxy of ours. Raises Malformed and MalformedAddress."""
        if not self._clients.is_proxy(peer):
            return None
        client = self._clients.client(peer, headers.getall(FORWARDED_FOR, ()))
        return read_question(endpoint, method, raw_target, headers, client, insecure=self._insecure)

    def _said(self, question: Question, verdict: Verdict) -> Reply:
        target, endpoint = question.target, question.endpoint
        if verdict.outcome is Outcome.PASS:
            return self.holders.passing(verdict.holder, endpoint, verdict.decision.headers)
        location = ""
        scope = self._access.scopes.for_host(target.host)
        if verdict.outcome is Outcome.CHALLENGE and scope is not None:
            location = login_location(scope.portal_url, target.url, target.method, self._access.return_urls)
        said = answer(
            verdict.outcome, endpoint, method=target.method, caller=caller_of(target.method, question.headers),
            location=location, basic=verdict.decision.basic, retry_seconds=verdict.retry_seconds,
        )  # fmt: skip
        return refusing(said, verdict.outcome)


def _refusal(outcome: Outcome, endpoint: Endpoint) -> Reply:
    return refusing(answer(outcome, endpoint), outcome)
