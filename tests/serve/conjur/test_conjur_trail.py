"""What the Conjur dialect leaves in log and audit trail, and what it must not (conjur.md 3, DECISIONS 33, 40)."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio
from aiohttp import web

from gateway.serve.application import Application, Runner
from tests.directories.slapd import COMPANY, Slapd
from tests.serve.conjur.conjur_room import ACCOUNT, FAMILIES, OTHERS, PEOPLE, SECRET, ConjurRoom, basic, conjur_room
from tests.serve.gateway_room import one_answer, parsed
from tests.test_configuration_writes import write
from tests.test_reloader import house, people

pytestmark = pytest.mark.asyncio(loop_scope="module")

CORP = f"authenticator authn-ldap service {ACCOUNT}:webservice:conjur/authn-ldap/corp"


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, PEOPLE, OTHERS, directory=tmp_path_factory.mktemp("slapd") / "slapd") as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ConjurRoom]:
    async with conjur_room(slapd, tmp_path_factory.mktemp("conjur")) as opened:
        yield opened


# what is asked (base, login, secret, by key header); what the log says of it
LINES = [
    ("login", FAMILIES["service"], "NINA", SECRET, f"{ACCOUNT}:user:nina successfully logged in with {CORP}"),
    ("authenticate", FAMILIES["service"], "nina", SECRET, f"{ACCOUNT}:user:nina successfully authenticated with {CORP}"),
    ("authenticate", FAMILIES["no service"], "nina", SECRET, f"{ACCOUNT}:user:nina successfully authenticated with {CORP}"),
    ("authenticate", FAMILIES["authn"], "nina", SECRET, f"{ACCOUNT}:user:nina successfully authenticated with authenticator authn"),
    ("login", FAMILIES["authn"], "ada", "lovelace", f"{ACCOUNT}:user:ada successfully logged in with authenticator authn"),
    ("authenticate", FAMILIES["service"], "host/apps/backup", SECRET, f"{ACCOUNT}:host:apps/backup successfully authenticated with {CORP}"),
    ("authenticate", FAMILIES["service"], "nina", "wrong", f"{ACCOUNT}:user:nina failed to authenticate with {CORP}: CONJ00002E"),
    ("login", FAMILIES["service"], "nina", "wrong", f"{ACCOUNT}:user:nina failed to log in with {CORP}: CONJ00002E"),
    ("authenticate", f"/authn-ldap/inside/{ACCOUNT}", "nina", SECRET, ": CONJ00003E"),
    ("login", f"/authn-ldap/staff/{ACCOUNT}", "nina", SECRET, ": CONJ00004E"),
    ("login", f"/authn-ldap/nowhere/{ACCOUNT}", "nina", SECRET, ": CONJ00005E"),
    ("login", FAMILIES["service"], "grace", "wrong", f"{ACCOUNT}:user:grace failed to log in with {CORP}: CONJ00006E"),
    ("login", FAMILIES["service"], "nobody", "wrong", ": CONJ00007E"),
    ("login", "/authn-ldap/corp/other", "nina", SECRET, ": CONJ00008E"),
    ("login", FAMILIES["service"], "admin", SECRET, ": CONJ00017E"),
    ("authenticate", FAMILIES["service"], "ni\nna", "wrong", f"{ACCOUNT}:user:ni\\nna failed to authenticate"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "base", "login", "secret", "line"), LINES)
async def test_lines(
    site: ConjurRoom, caplog: pytest.LogCaptureFixture, what: str, base: str, login: str, secret: str, line: str
) -> None:
    before = len(site.room.audit.events)
    with caplog.at_level(logging.INFO):
        answer = await (site.login if what == "login" else site.authenticate)(login, secret, base=base)
    told = [record.getMessage() for record in caplog.records if record.name == "gateway.serve.conjur.trail"]
    assert any(line in each for each in told), told
    events = site.room.audit.events[before:]
    assert events and all((event.dialect, event.action) in (("conjur", "login"), ("conjur", "token.issue")) for event in events)
    if answer.status == 200:
        assert [event.outcome for event in events] == ["success"] * len(events)
        assert [event.action for event in events] == (["login"] if what == "login" else ["login", "token.issue"])
    else:
        assert events[-1].outcome == "failure"
        assert events[-1].reason
    expected = "login" if what == "login" else f"{quote(login, safe='')}/authenticate"
    assert events[-1].target == f"{base}/{expected}"


async def test_no_secret_in_log_and_trail(site: ConjurRoom, caplog: pytest.LogCaptureFixture) -> None:
    """DECISIONS 40: passwords, keys and tokens, raw and in base64, whatever goes wrong with them."""
    with caplog.at_level(logging.DEBUG):
        key = await site.key("nina", SECRET)
        token = await site.token("nina", key)
        for secret in (SECRET, f"{key}\n", f"x{key}"):
            await site.authenticate("grace", secret)
            await site.login("nina", secret.strip() + ".", base=FAMILIES["authn"])
        await site.whoami(token)
        await site.call("GET", "/whoami", f"Authorization: Token token={token.text}")
        rotated = await site.call("PUT", f"{FAMILIES['authn']}/api_key", basic("nina", SECRET))
        assert rotated.status == 200
    kept = caplog.text + repr(site.room.audit.events)
    for secret in (SECRET, key, rotated.text, token.json["signature"], b64encode(token.body).decode()):
        assert secret not in kept
        assert b64encode(secret.encode()).decode() not in kept
    assert "key.rotate" in kept


async def test_a_password_in_place_of_a_key_is_told_of_seldom(site: ConjurRoom, caplog: pytest.LogCaptureFixture) -> None:
    """2.2: accepted, deprecated."""
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            await site.token("o*(brien)", "transporter")
    assert caplog.text.count("corp/o*(brien) authenticates with the password, which is deprecated") == 1


async def test_a_server_that_nobody_can_be_looked_up_on(site: ConjurRoom) -> None:
    """DECISIONS 11: no API keys; a token for the password all the same."""
    base = f"/authn-ldap/blind/{ACCOUNT}"
    assert (await site.authenticate("grace", "cobol-1959", base=base)).status == 200
    assert (await site.authenticate("grace", "wrong", base=base)).status == 401
    answer = await site.login("grace", "cobol-1959", base=base)
    assert (answer.status, answer.headers["content-type"]) == (422, "application/json")
    assert answer.json["error"]["code"] == "unprocessable_entity"


async def test_a_rule_where_the_password_comes_first(slapd: Slapd, tmp_path: Path) -> None:
    """5: such a server finds nobody without their password, so only the right one is 403."""
    services = {"blind": {"allow": ["user:alan"]}}
    async with conjur_room(slapd, tmp_path, services=services) as site:
        base = f"/authn-ldap/blind/{ACCOUNT}"
        for login, secret, status in (("alan", "enigma", 200), ("grace", "cobol-1959", 403), ("grace", "wrong", 401)):
            assert (await site.authenticate(login, secret, base=base)).status == status


async def test_a_filter_that_cannot_be_used(tmp_path: Path) -> None:
    """3: 422 at login, 401 at authenticate; such a filter comes from the Vault API alone (DECISIONS 24)."""
    corp = {"corp": {"url": "ldap://127.0.0.1:1", "userdn": "dc=x"}}
    conjur = {"account": ACCOUNT, "services": {"corp": {"allow": "all"}}}
    async with house(tmp_path, people("ada", servers=corp, conjur=conjur), ".json") as one:
        await write(one, {("servers", "corp", "search_filter"): "((memberUid={{.Username}}))"})
        await write(one, {("servers", "corp", "discover_dn"): True})
        application = Application(one.runtime, one.reloader)
        runner = Runner(application.handle, one.runtime.current.configuration.http)
        await runner.setup()
        try:
            site = web.UnixSite(runner, str(tmp_path / "socket"))
            await site.start()
            for request, status in (
                (f"GET {FAMILIES['service']}/login HTTP/1.1\r\nHost: x\r\n{basic('nina', SECRET)}\r\n\r\n", 422),
                (f"POST {FAMILIES['service']}/nina/authenticate HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", 401),
            ):
                reader, writer = await asyncio.open_unix_connection(tmp_path / "socket")
                writer.write(request.encode())
                found, _, body = parsed(await one_answer(reader))
                writer.close()
                await writer.wait_closed()
                assert (found, b"unprocessable_entity" in body) == (status, status == 422)
        finally:
            await runner.cleanup()
