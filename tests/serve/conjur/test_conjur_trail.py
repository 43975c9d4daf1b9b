"""What the Conjur dialect leaves in log and audit trail, and what it must not (conjur.md 3, DECISIONS 33, 40)."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import web

from gateway.serve.application import Application, Runner
from tests.directories.slapd import Slapd
from tests.serve.conjur.conjur_room import ACCOUNT, FAMILIES, SECRET, ConjurRoom, basic, conjur_room
from tests.serve.gateway_room import one_answer, parsed
from tests.test_configuration_writes import write
from tests.test_reloader import house, people

pytestmark = pytest.mark.asyncio(loop_scope="module")

CORP = f"authenticator authn-ldap service {ACCOUNT}:webservice:conjur/authn-ldap/corp"


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
        assert [event.outcome for event in events].count("failure") == 1
        assert events[-1].outcome == "failure"
        assert events[-1].reason
    expected = "login" if what == "login" else f"{quote(login, safe='')}/authenticate"
    assert events[-1].target == f"{base}/{expected}"


@pytest.mark.parametrize("secret", [SECRET, "wrong", "a" * 52])
async def test_the_trail_names_the_key_that_lets_somebody_not_in(site: ConjurRoom, secret: str) -> None:
    """3: no privilege, whatever the password, or a key that is nobody's."""
    assert (await site.login("grace", secret)).status == 403
    event = site.room.audit.events[-1]
    assert event.reason.startswith("conjur.services.corp.allow names neither grace nor a group of theirs")
    assert (event.server, event.user) == ("corp", "grace")


# the account that is asked for, how it is shown
STRANGE_ACCOUNTS = [
    ("myorgg", "myorgg"),
    ("my%0Aorg", "my%0Aorg"),
    ("myorg%3Auser%3Aroot%20successfully", "myorg%3Auser%3Aroot%20successfully"),
    ("%ff", "%00"),  # is no UTF-8
    ("a" * 300, "a" * 64),
]


@pytest.mark.parametrize(("account", "shown"), STRANGE_ACCOUNTS)
async def test_the_account_that_was_asked_for_is_told(
    site: ConjurRoom, caplog: pytest.LogCaptureFixture, account: str, shown: str
) -> None:
    """3: the line accuses what is wrong; hostile ones stay on it, and leave room for the login."""
    with caplog.at_level(logging.INFO):
        assert (await site.login("nina", SECRET, base=f"/authn-ldap/corp/{account}")).status == 401
    [told] = [record.getMessage() for record in caplog.records if record.name == "gateway.serve.conjur.trail"]
    assert told.startswith(f"{shown}:user:nina failed to log in with authenticator authn-ldap service {shown}:webservice:"), told
    assert told.endswith(": CONJ00008E The account is not defined")


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


async def test_a_server_that_nobody_can_be_looked_up_on(site: ConjurRoom, caplog: pytest.LogCaptureFixture) -> None:
    """DECISIONS 11: no API keys, and the trail says so after the login; a token for the password all the same."""
    base = f"/authn-ldap/blind/{ACCOUNT}"
    assert (await site.authenticate("grace", "cobol-1959", base=base)).status == 200
    assert (await site.authenticate("grace", "wrong", base=base)).status == 401
    before = len(site.room.audit.events)
    with caplog.at_level(logging.INFO):
        answer = await site.login("Grace", "cobol-1959", base=base)
    assert (answer.status, answer.headers["content-type"]) == (422, "application/json")
    assert answer.json["error"]["code"] == "unprocessable_entity"
    why = "this server gives no API keys"
    blind = CORP.replace("/corp", "/blind")
    assert f"{ACCOUNT}:user:grace failed to log in with {blind}: {why}" in caplog.messages
    events = [(event.outcome, event.user, event.reason) for event in site.room.audit.events[before:]]
    assert events == [("success", "grace", ""), ("failure", "grace", why)]


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
