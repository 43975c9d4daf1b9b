"""What the Conjur dialect says where something other than a credential is wrong, and of who may look at ``status``
(conjur.md 2, 3)."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from gateway.serve.application import Runner
from tests.directories.slapd import BASE_DN, Slapd
from tests.serve.conjur.conjur_room import (
    ACCOUNT,
    FAMILIES,
    SECRET,
    ConjurRoom,
    basic,
    conjur_room,
    token_header,
)
from tests.serve.gateway_room import Room, parsed

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOGIN = f"{FAMILIES['service']}/login"
AUTHENTICATE = f"{FAMILIES['service']}/nina/authenticate"
HEAD = f"POST {AUTHENTICATE} HTTP/1.1\r\nHost: gateway\r\n"
STATUS = f"/authn-ldap/corp/{ACCOUNT}/status"


async def test_a_store_that_is_gone(slapd: Slapd, tmp_path: Path) -> None:
    """3: like a directory that is: 503, and clients keep what they have."""
    async with conjur_room(slapd, tmp_path) as site:
        token = token_header((await site.token("nina", SECRET)).body)
        await site.room.runtime.store.close()
        for method, target, header, body in (
            ("GET", "/whoami", token, None), ("GET", STATUS, token, None),
            ("GET", LOGIN, basic("nina", SECRET), None), ("POST", AUTHENTICATE, "X-None: 1", SECRET.encode()),
        ):  # fmt: skip
            answer = await site.call(method, target, header, body=body)
            assert (answer.status, answer.body) == (503, b""), target
            assert int(answer.headers["retry-after"]) > 0


async def test_a_body_that_does_not_come(site: ConjurRoom) -> None:
    """DECISIONS 30: 408, and the connection ends. The wait for a body is made to end at once."""
    async def impatient(request: web.BaseRequest) -> web.StreamResponse:
        request.content.set_exception(TimeoutError())
        return await site.room.application.handle(request)

    runner = Runner(impatient, site.room.live.configuration.http)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        other = Room(**{**vars(site.room), "port": runner.addresses[0][1]})
        status, headers, body = parsed(await other.raw(f"{HEAD}Content-Length: 5\r\n\r\n".encode()))
    finally:
        await runner.cleanup()
    assert (status, headers["connection"], body) == (408, "close", b"")


SENT = {"announced": "Content-Length: 65537\r\n\r\n", "sent": f"Transfer-Encoding: chunked\r\n\r\n10001\r\n{'x' * 0x10001}"}
LOGGING_IN = f"GET {LOGIN} HTTP/1.1\r\nHost: gateway\r\n{basic('nina', SECRET)}\r\n"
LARGE = [(HEAD, "announced"), (HEAD, "sent"), (LOGGING_IN, "announced")]


@pytest.mark.parametrize(("head", "how"), LARGE)
async def test_a_body_that_is_too_large(site: ConjurRoom, head: str, how: str) -> None:
    """DECISIONS 30: 413, and the connection ends: what follows on it may be the rest of the body."""
    status, headers, body = parsed(await site.room.raw((head + SENT[how]).encode()))
    assert (status, headers["connection"], body) == (413, "close", b"")


@pytest.mark.parametrize("unix", [False, True])
async def test_a_proxy_that_forwards_nonsense(site: ConjurRoom, unix: bool) -> None:
    """forward-auth.md 2: never "no restriction"; no directory is asked."""
    for method, target, header, body in (
        ("GET", LOGIN, basic("nina", SECRET), None), ("POST", AUTHENTICATE, "X-None: 1", SECRET.encode()),
        ("GET", "/authenticators", "X-None: 1", None),
    ):  # fmt: skip
        answer = await site.call(method, target, header, "X-Forwarded-For: nonsense", body=body, unix=unix)
        assert (answer.status, answer.json["error"]["code"], answer.trips) == (400, "bad_request", ())


async def test_caches_are_told_what_the_form_of_a_token_rests_on(site: ConjurRoom) -> None:
    """9.15; RFC 9110 12.5.5."""
    for encoding in ("gzip", "base64"):
        token = await site.authenticate("nina", SECRET, f"Accept-Encoding: {encoding}")
        assert (token.status, token.headers["vary"]) == (200, "Accept-Encoding")


async def test_nobody_guesses_at_the_type(site: ConjurRoom) -> None:
    """A key or a token is no page."""
    for answer in (await site.login("nina", SECRET), await site.token("nina", SECRET), await site.login("nina", "wrong")):
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("login", ["nina", "grace"])
async def test_a_secret_is_utf_8_or_nobodys(site: ConjurRoom, login: str) -> None:
    """2.2: byte for byte. It reaches no directory, which could tell whether somebody is without the privilege."""
    for secret in (SECRET.encode("latin-1"), SECRET.encode("utf-16"), b"\xff", b""):
        answer = await site.authenticate(login, secret)
        assert (answer.status, answer.body, answer.trips) == (401, b"", ())


async def test_a_search_that_cannot_work(slapd: Slapd, tmp_path: Path) -> None:
    """3: no such base; the operator must look, and clients keep what they have."""
    broken = {"CLEARML__servers__corp__search_base_dns": f'["ou=none,{BASE_DN}"]'}
    async with conjur_room(slapd, tmp_path, environment=broken) as site:
        for answer in (await site.login("nina", SECRET), await site.authenticate("nina", SECRET)):
            assert (answer.status, answer.body) == (500, b"")


async def test_keys_while_nobody_can_be_asked(slapd: Slapd, tmp_path: Path) -> None:
    """5, 9.12: beyond ``session.max_stale`` that is an outage, too, and no wrong key."""
    at_once = {"CLEARML__session__refresh_interval": "0", "CLEARML__session__max_stale": "0"}
    async with conjur_room(slapd, tmp_path, environment=at_once) as site:
        key = await site.key("nina", SECRET)
        await site.relay.refuse()
        for answer in (await site.authenticate("nina", key), await site.login("nina", key)):
            assert (answer.status, answer.body) == (503, b"")
            assert int(answer.headers["retry-after"]) > 0


async def test_administrators_see_the_status(slapd: Slapd, site: ConjurRoom, tmp_path: Path) -> None:
    """2: without the privilege, too; Ada is a local user, who has it nowhere."""
    async with conjur_room(slapd, tmp_path, 'admins = ["user:ada"]\n') as administered:
        for where, status in ((site, 403), (administered, 200)):
            token = await where.token("ada", "lovelace", base=FAMILIES["authn"])
            assert (await where.call("GET", STATUS, token_header(token.body))).status == status
