"""``ldap-gateway sessions``, ``tokens`` and ``lockout`` over the admin socket of a whole gateway (DECISIONS 26)."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from gateway.cli import main
from gateway.identity import Account
from gateway.serve.application import Runner
from tests.serve.asking import CONFIGURATION, question
from tests.serve.gateway_room import Room, parsed, room_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

URL = "https://app.example.com/x"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    text = CONFIGURATION + "lockout { failures = 2, address_failures = 1000 }\n"
    async with room_of(tmp_path_factory.mktemp("cli"), text) as opened:
        runner = Runner(opened.application.handle_by_admin_socket, opened.live.configuration.http)
        await runner.setup()
        try:
            await web.UnixSite(runner, str(opened.directory / "state" / "admin.sock")).start()
            yield opened
        finally:
            await runner.cleanup()


async def run(room: Room, *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and messages of one command, as a user gives it."""

    def command() -> tuple[int, str, str]:
        with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
            try:
                code = main([*arguments, "--state-dir", str(room.directory / "state")])
            except SystemExit as ended:
                code = int(ended.code or 0)
        return code, out.getvalue(), err.getvalue()

    return await asyncio.to_thread(command)


async def status(room: Room, name: str, value: str) -> int:
    return parsed(await room.raw(question("auth-request", URL, (name, value))))[0]


async def test_a_tour_of_sessions(room: Room) -> None:
    assert await run(room, "sessions", "list") == (0, "", "none\n")
    session = await room.session("bob", remember=True)
    cookie = f"__Secure-gw={session.value}"
    assert await status(room, "Cookie", cookie) == 200
    code, out, err = await run(room, "sessions", "list")
    moment = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    line = rf"{session.row.accessor}  session  local/bob  made {moment}, used {moment}, ends {moment}, for example\.com, remembered\n"
    assert (code, err, bool(re.fullmatch(line, out))) == (0, "", True), out
    assert session.value not in out
    [shown] = json.loads((await run(room, "sessions", "list", "bob", "--format", "json"))[1])
    assert (shown["accessor"], shown["user"]) == (session.row.accessor, "local/bob")
    done = await run(room, "sessions", "revoke", session.row.accessor)
    assert done == (0, f"revoked session {session.row.accessor} of local/bob\n", "")
    assert await status(room, "Cookie", cookie) == 401
    done = await run(room, "sessions", "revoke", session.row.accessor)
    assert done == (0, f"had ended before: session {session.row.accessor} of local/bob\n", "")


async def test_a_tour_of_tokens(room: Room) -> None:
    bob, now = await room.login("bob"), int(time.time())
    session = await room.session("bob")
    token = await room.live.personal.create(bob, "ci", hosts=["app.example.com"], paths=["/x"], now=now)
    key = await room.live.keys.create(bob, "laptop", None, now)
    _, out, _ = await run(room, "tokens", "list")
    assert {line.split()[1] for line in out.splitlines()} == {"session", "personal", "access_key"}
    assert token.text not in out and key.secret_key not in out
    _, out, _ = await run(room, "tokens", "list", "local/bob", "--kind", "personal")
    assert re.search(r"personal  local/bob  ci, made \S+, never used, ends \S+, for app\.example\.com /x\n$", out), out
    done = await run(room, "sessions", "revoke", "--user", "bob")
    assert done[:2] == (0, "revoked of local/bob: sessions 1\n")
    assert "tokens revoke --user ends those" in done[2]
    assert await status(room, "Cookie", f"__Secure-gw={session.value}") == 401
    assert await status(room, "Authorization", f"Bearer {token.text}") == 200
    code, out, err = await run(room, "tokens", "revoke", "--user", "bob")
    assert (code, out) == (0, "revoked of local/bob: sessions 0, personal tokens 1, access keys 1, ClearML tokens all\n")
    assert err == "Their password still logs in, unless the directory refuses it.\n"
    assert await status(room, "Authorization", f"Bearer {token.text}") == 401
    assert await run(room, "tokens", "list", "bob") == (0, "", "none\n")


async def test_what_of_conjur_is_ended_is_told(room: Room) -> None:
    """Only while that dialect is on."""
    file = room.directory / "gateway.conf"
    before = file.read_text()
    await room.reload(f"{before}\nconjur.account = myorg\n")
    try:
        await room.login("bob")
        code, out, err = await run(room, "sessions", "revoke", "--user", "bob")
        assert (code, "personal tokens, access keys, ClearML tokens, Conjur API key and tokens still" in err) == (0, True)
        code, out, err = await run(room, "tokens", "revoke", "--user", "bob")
        assert (code, out.endswith(", ClearML tokens all, Conjur API key and tokens all\n")) == (0, True), out
    finally:
        await room.reload(before)


async def test_a_tour_of_the_lockout(room: Room) -> None:
    wrong = "Basic YWRhOng="  # ada:x
    assert await run(room, "lockout", "list") == (0, "", "none\n")
    for _ in range(2):
        assert await status(room, "Authorization", wrong) == 401
    code, out, _ = await run(room, "lockout", "list")
    lines = out.splitlines()
    assert (code, len(lines)) == (0, 2)
    assert {line.split()[1] for line in lines} == {"name", "entry"}
    for line in lines:
        assert re.fullmatch(r"local/ada  \w+  2 failures, the last \S+Z, locked until \S+Z", line), line
    assert json.loads((await run(room, "lockout", "list", "--all", "--format", "json"))[1])[0]["failures"] == 2
    assert await run(room, "lockout", "clear", "ada") == (0, "cleared local/ada\n", "")
    assert await room.login("ada")
    done = await run(room, "lockout", "clear", "o'hara")
    assert done[1].endswith("""this tells: ldap-gateway explain login 'o'"'"'hara'\n"""), done
    assert (await run(room, "lockout", "clear", "2001:db8::1"))[1] == "Nothing was counted here.\n"


async def test_names_of_others_reach_no_terminal(room: Room) -> None:
    account = Account(server="corp", external_id="x", username="eve\x1b[2J\n")
    saved = await room.live.store.identity_save(account, company="c", role="user", backend_id="b", granted={}, now=1)
    made = await room.live.personal.create(await room.login("ada"), "ci", now=int(time.time()))
    await room.live.store.token_label(made.row.accessor, "a\x1b[31m\nb")
    for arguments in (("tokens", "list"), ("tokens", "revoke", "--user", saved.id)):
        code, out, err = await run(room, *arguments)
        assert (code, "\x1b" in out + err) == (0, False)
    assert "eve\\x1b[2J" in out and out.count("\n") == 1


# arguments, exit code, what the message says
REFUSED = [
    (("sessions",), 2, "ACTION"),
    (("sessions", "revoke"), 2, "one of the arguments ACCESSOR --user is required"),
    (("sessions", "revoke", "a", "--user", "b"), 2, "not allowed with"),
    (("sessions", "revoke", "x"), 1, "error: accessor: there is no session or token of this name"),
    (("sessions", "revoke", "--user", ""), 1, "error: user: expected NAME"),
    (("sessions", "list", "nobody"), 1, "error: user: nobody of this name has logged in"),
    (("tokens", "list", "--kind", "vault"), 2, "invalid choice: 'vault'"),
    (("tokens", "revoke", "--user", "nobody"), 1, "error: user: nobody of this name has logged in"),
    (("lockout", "clear"), 2, "USER|ADDRESS"),
    (("lockout", "clear", "  "), 1, "error: user: expected NAME"),
]


@pytest.mark.parametrize(("arguments", "code", "text"), REFUSED, ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
async def test_refused(room: Room, arguments: tuple[str, ...], code: int, text: str) -> None:
    found, out, err = await run(room, *arguments)
    assert (found, out) == (code, "")
    assert text in err and "Traceback" not in err


async def test_without_a_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["sessions", "list"], ["tokens", "list"], ["lockout", "list"]):
        assert main([*command, "--state-dir", str(tmp_path)]) == 1
        assert "no daemon answers at" in capsys.readouterr().err
