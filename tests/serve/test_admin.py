"""``/admin/`` of a running daemon: who may, and what it answers (DECISIONS 8, 14, 22, 26, 28; ops.md 1.2)."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config.load import load
from gateway.directory.local_users import hash_password
from gateway.store.interface import SettingChange
from gateway.store.sealing import Sealer, load_master_key
from gateway.store.sqlite import SqliteStore
from tests.admin_client import by_socket, status
from tests.daemon import Answer, Daemon, running

HASH = hash_password("lovelace")
SECRET = "planted-service-secret"
CONFIGURATION: dict[str, Any] = {
    "users": [{"username": name, "name": name.title(), "password_hash": HASH} for name in ("ada", "bob", "eve", "kim")],
    "admins": ["user:ada"],
    "login": {"floor": 0},
    "lockout": {"address_failures": 1000},
    "reload": {"poll": 0.05, "settle": 0.05},
    "clearml": {"credentials": {"service": {"role": "system", "user_key": "SERVICE", "user_secret": SECRET}}},
}


def configuration(**changes: object) -> str:
    return json.dumps({**CONFIGURATION, **changes})


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("daemon")
    (directory / "gateway.yaml").write_text(configuration())
    with running(directory, files=[directory / "gateway.yaml"]) as started:
        yield started


@pytest.fixture
def file(daemon: Daemon) -> Iterator[Path]:
    """The daemon's file, put back and in force afterwards."""
    path = daemon.directory / "gateway.yaml"
    yield path
    path.write_text(configuration())
    assert by_socket(daemon.directory, "/admin/reload", "POST").status == 200


def impersonating(daemon: Daemon) -> str:
    """A token for ada that a service has made (DECISIONS 8)."""
    ada = daemon.user(daemon.token("ada", "lovelace"))["id"]
    headers = {"X-Clearml-Impersonate-As": ada}
    token: str = daemon.login("SERVICE", SECRET, headers=headers).data["token"]
    assert daemon.user(token)["id"] == ada
    return token


def presented(daemon: Daemon, who: str) -> dict[str, Any]:
    """What a row's ``who`` sends."""
    match who.split(" ", 1):
        case ["basic", pair]:
            name, _, password = pair.partition(":")
            return {"basic": (name, password)}
        case ["bearer", "service's ada"]:
            return {"bearer": impersonating(daemon)}
        case ["bearer", name] if name in ("ada", "bob"):
            return {"bearer": daemon.token(name, "lovelace")}
        case ["bearer", text]:
            return {"bearer": text}
        case ["cookie", name]:
            return {"headers": {"Cookie": f"clearml_token_basic={daemon.token(name, 'lovelace')}"}}
        case ["header", text]:
            name, _, value = text.partition(": ")
            return {"headers": {name: value}}
    return {}


# who, status, why
WHO = [
    ("nobody", 401, "DECISIONS 26"),
    ("basic ada:lovelace", 200, "DECISIONS 8: named in admins"),
    ("basic ADA:lovelace", 200, "DECISIONS 10: names compare folded"),
    ("basic ada:wrong", 401, "DECISIONS 26"),
    ("basic ada:", 401, "an empty password is none"),
    ("basic nobody:lovelace", 401, "DECISIONS 26"),
    ("basic bob:lovelace", 403, "DECISIONS 8: not named"),
    (f"basic SERVICE:{SECRET}", 403, "DECISIONS 8: a service is no administrator"),
    ("basic SERVICE:wrong", 401, "DECISIONS 14"),
    ("bearer ada", 200, "DECISIONS 26"),
    ("bearer bob", 403, "DECISIONS 8"),
    ("bearer service's ada", 403, "DECISIONS 8: nobody becomes an administrator by impersonation"),
    ("bearer eyJhbGciOiJub25lIn0.e30.", 401, "not ours"),
    ("bearer x", 401, "not ours"),
    ("cookie ada", 401, "a cookie never administrates"),
    ("header Authorization: Digest x", 401, "only Basic and Bearer"),
    ("header Authorization: Basic !!!", 401, "no base64"),
    ("header X-Forwarded-For: junk", 400, "forward-auth.md 2: a trusted proxy said something that is no address"),
]


@pytest.mark.parametrize(("who", "expected", "why"), WHO)
def test_who_may(daemon: Daemon, who: str, expected: int, why: str) -> None:
    answer = daemon.call("/admin/status", **presented(daemon, who))
    assert answer.status == expected, (why, answer.body)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"
    assert (answer.headers["WWW-Authenticate"] is not None) == (expected == 401)
    assert ("generation" in answer.json) == (expected == 200)


def test_impersonation_headers_mean_nothing_here(daemon: Daemon) -> None:
    bob = daemon.user(daemon.token("bob", "lovelace"))["id"]
    for sign in ("Impersonate", "Act"):
        answer = daemon.call("/admin/status", basic=("ada", "lovelace"), headers={f"X-Clearml-{sign}-As": bob})
        assert answer.status == 200


def test_another_site_cannot_use_a_browsers_password(daemon: Daemon) -> None:
    """DECISIONS 29, and browsers add a remembered Basic password as they add a cookie."""
    before = status(daemon.directory)["generation"]
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        answer = daemon.call("/admin/reload", method="POST", basic=("ada", "lovelace"), headers=headers)
        assert answer.status == 403
    assert status(daemon.directory)["generation"] == before


def test_lockout_counts_here_too(daemon: Daemon) -> None:
    """DECISIONS 13: one counter over all dialects."""
    for _ in range(5):
        assert daemon.call("/admin/status", basic=("kim", "wrong")).status == 401
    assert daemon.login("kim", "lovelace").status == 401
    event = daemon.wait_for_event(action="login", dialect="admin", user="kim")
    assert (event["outcome"], event["target"], event["client"]) == ("failure", "/admin/status", "127.0.0.1")


def test_refused_administration_is_audited(daemon: Daemon) -> None:
    assert daemon.call("/admin/reload", method="POST", basic=("eve", "lovelace")).status == 403
    event = daemon.wait_for_event(action="admin /admin/reload")
    reason = "not an administrator: admins names neither user:eve nor one of their groups"
    assert (event["outcome"], event["user"], event["reason"]) == ("failure", "eve", reason)


# method, path, body, status, what the answer names
REQUESTS = [
    ("GET", "/admin/", None, 404, "not found"),
    ("GET", "/admin/nothing", None, 404, "not found"),
    ("GET", "/admin/status/", None, 404, "not found"),
    ("GET", "/admin/%73tatus", None, 404, "not found"),  # DECISIONS 28: decided on the raw target
    ("GET", "/admin/../admin/status", None, 404, "not found"),
    ("GET", "/admin/reload", None, 405, "POST"),
    ("HEAD", "/admin/reload", None, 405, ""),
    ("PUT", "/admin/reload", None, 405, "POST"),
    ("POST", "/admin/status", None, 405, "GET"),
    ("OPTIONS", "/admin/reload", None, 405, "POST"),
    ("GET", "/admin/config/forget", None, 405, "POST"),
    ("POST", "/admin/config/forget", "", 400, "key"),
    ("POST", "/admin/config/forget", "{", 400, "JSON"),
    ("POST", "/admin/config/forget", "[]", 400, "object"),
    ("POST", "/admin/config/forget", '{"key": 1}', 400, "key"),
    ("POST", "/admin/config/forget", '{"key": "lockout.failures"}', 404, "nothing is stored"),
    ("POST", "/admin/config/forget", "[" * 60_000, 400, "JSON"),
    ("POST", "/admin/config/forget", " " * 70_000, 413, "65536"),
    ("POST", "/admin/config/diff", '{"files": "/etc/passwd"}', 400, "absolute paths"),
    ("POST", "/admin/config/diff", '{"files": ["gateway.yaml"]}', 400, "absolute paths"),
    ("POST", "/admin/config/diff", '{"files": ["/no\\u0000where.yaml"]}', 400, "not valid text"),
    ("POST", "/admin/config/diff", '{"files": ["/a\\ud800b.yaml"]}', 400, "not valid text"),
    ("POST", "/admin/config/diff", '{"file": []}', 400, "unknown field file"),
    ("POST", "/admin/reload?dryrun", None, 400, "unknown parameter dryrun"),
    ("POST", "/admin/reload?" + "a=1&" * 100, None, 400, "parameters"),
]


@pytest.mark.parametrize(("method", "path", "body", "expected", "names"), REQUESTS)
def test_requests(daemon: Daemon, method: str, path: str, body: str | None, expected: int, names: str) -> None:
    answer = by_socket(daemon.directory, path, method, body)
    assert answer.status == expected, answer.body
    assert names in answer.body.decode()
    if expected == 405:
        assert answer.headers["Allow"] in ("GET", "POST")


def test_files_are_compared_for_the_socket_alone(daemon: Daemon) -> None:
    """They are read as the daemon's user."""
    answer = daemon.call("/admin/config/diff", method="POST", basic=("ada", "lovelace"), body='{"files": ["/etc/passwd"]}')
    assert answer.status == 403


def test_the_socket_serves_nobody_else(daemon: Daemon) -> None:
    directory = daemon.directory
    assert stat.S_IMODE((directory / "state" / "admin.sock").stat().st_mode) == 0o600
    for path, expected in (("/", 404), ("/auth.login", 404), ("/v2.5/debug.ping", 404), ("/healthz/live", 200), ("/healthz/ready", 200)):
        assert by_socket(directory, path).status == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_kernel_says_who_is_at_the_socket(tmp_path: Path) -> None:
    """DECISIONS 26: root and the daemon's user, even where the file's mode lets others in."""
    ask = (
        "import os, socket, sys\nos.setgroups([])\nos.setgid(65534)\nos.setuid(65534)\n"
        "connection = socket.socket(socket.AF_UNIX)\nconnection.connect('admin.sock')\n"
        "connection.sendall(b'GET /admin/status HTTP/1.1\\r\\nHost: x\\r\\nX-Forwarded-For: 127.0.0.1\\r\\n\\r\\n')\n"
        "sys.stdout.buffer.write(connection.recv(65536))\n"
    )
    with running(tmp_path) as daemon:
        assert by_socket(daemon.directory, "/admin/status").status == 200
        (tmp_path / "state" / "admin.sock").chmod(0o666)
        (tmp_path / "state").chmod(0o711)
        done = subprocess.run([sys.executable, "-c", ask], cwd=tmp_path / "state", capture_output=True, check=True)
        assert done.stdout.startswith(b"HTTP/1.1 403 "), done.stdout


def test_reload_waits_and_tells(daemon: Daemon, file: Path) -> None:
    """ops.md 1.2 rule 5."""
    before = status(daemon.directory)["generation"]
    file.write_text(configuration(lockout={"failures": 9, "address_failures": 1000}, uvloop=False))
    answer = daemon.call("/admin/reload", method="POST", basic=("ada", "lovelace"))
    assert answer.status == 200
    assert answer.json["outcome"] in ("applied", "unchanged")  # the watcher may have been first
    assert answer.json["errors"] == []
    assert answer.json["generation"] > before
    assert answer.json["pending_restart"] == ["uvloop"]
    event = daemon.wait_for_event(action="configuration.reload", user="ada")
    assert (event["dialect"], event["outcome"]) == ("admin", "success")


def test_reload_names_every_error(daemon: Daemon, file: Path) -> None:
    before = status(daemon.directory)["generation"]
    file.write_text('lockuot: {}\nlogin:\n  floor: never\n')
    answer = daemon.call("/admin/reload", method="POST", bearer=daemon.token("ada", "lovelace"))
    assert (answer.status, answer.json["outcome"], answer.json["generation"]) == (422, "failed", before)
    places = [(error["file"], error["line"], error["column"], error["path"]) for error in answer.json["errors"]]
    assert places == [(str(file), 1, 1, "lockuot"), (str(file), 3, 3, "login.floor")]
    for path in ("/healthz/live", "/healthz/ready"):
        assert daemon.call(path).status == 200  # ops.md 1.2 rule 4: a restart would fail for good
    shown = status(daemon.directory)
    assert (shown["last_reload_successful"], shown["last_reload"]["outcome"]) == (False, "failed")
    assert len(shown["last_reload"]["errors"]) == 2


def test_a_dry_run_applies_nothing(daemon: Daemon, file: Path) -> None:
    before = status(daemon.directory)
    assert daemon.call("/admin/reload?dry_run", method="POST", basic=("ada", "lovelace")).json["changes"] == []
    other = daemon.directory / "other.yaml"
    other.write_text(configuration(lockout={"failures": 9, "address_failures": 1000}))
    answer = by_socket(daemon.directory, "/admin/config/diff", "POST", {"files": [str(other)]})
    assert answer.status == 200
    [change] = answer.json["changes"]
    assert (change["key"], change["old"], change["new"], change["restart"]) == ("lockout.failures", "5", "9", False)
    other.write_text("[")
    assert by_socket(daemon.directory, "/admin/config/diff", "POST", {"files": [str(other)]}).status == 422
    assert by_socket(daemon.directory, "/admin/config/diff", "POST", {}).json["changes"] == []
    after = status(daemon.directory)
    assert (after["generation"], after["reloads"]) == (before["generation"], before["reloads"])


def test_status_and_configuration_hold_no_secret(daemon: Daemon) -> None:
    """DECISIONS 40."""
    shown, keys = (by_socket(daemon.directory, path) for path in ("/admin/status", "/admin/config"))
    for answer in (shown, keys):
        assert SECRET.encode() not in answer.body
        assert HASH.encode() not in answer.body
    assert shown.json["watch"]["mode"] in ("events", "poll")
    assert shown.json["files"] == [str(daemon.directory / "gateway.yaml")]
    by_key = {row["key"]: row for row in keys.json["keys"]}
    assert by_key["login.floor"]["origins"][0].startswith(str(daemon.directory / "gateway.yaml:1:"))
    assert by_key["clearml.credentials.service.user_secret"]["value"] == "******"
    assert by_key["state_dir"]["origins"][0] == "CLEARML__state_dir"


async def write_stored(daemon: Daemon, *changes: SettingChange) -> None:
    """As an API of a later version would."""
    state = daemon.directory / "state"
    store = SqliteStore.open(state / "gateway.db", synchronous="full", sealer=Sealer(load_master_key(state, None)))
    try:
        await store.migrate()
        layer = await store.layer()
        await store.layer_write(changes, layer.generation, at=1, by="test")
    finally:
        await store.close()


def test_stored_values_come_and_are_forgotten(tmp_path: Path) -> None:
    """DECISIONS 22: files < what an API wrote < environment; ``config forget`` drops it; a restart keeps it."""
    file = tmp_path / "gateway.yaml"
    file.write_text(configuration())
    with running(tmp_path, files=[file]) as daemon:
        asyncio.run(
            write_stored(
                daemon,
                SettingChange(("lockout", "failures"), 8),
                SettingChange(("lockout", "window"), "20m"),
                SettingChange(("users", "mia"), {"username": "mia", "password_hash": HASH}),
            )
        )
        answer = by_socket(tmp_path, "/admin/reload", "POST").json
        changes = answer.get("in_force", answer)["changes"]  # the watcher may have been first
        assert {change["key"] for change in changes} == {"lockout.failures", "lockout.window", "users.mia"}
        assert daemon.login("mia", "lovelace").status == 200
        daemon.stop()
        daemon.start()
        assert daemon.login("mia", "lovelace").status == 200
        rows: Answer = by_socket(tmp_path, "/admin/config")
        by_key = {row["key"]: row for row in rows.json["keys"]}
        assert by_key["lockout.failures"]["value"] == 8
        assert by_key["lockout.failures"]["origins"][0] == "stored by test"
        answer = by_socket(tmp_path, "/admin/config/forget", "POST", {"key": "lockout"})
        assert answer.json["forgotten"] == ["lockout.failures", "lockout.window"]
        assert daemon.login("mia", "lovelace").status == 200
        assert by_socket(tmp_path, "/admin/config/forget", "POST", {"key": "lock"}).status == 404
        assert by_socket(tmp_path, "/admin/config/forget", "POST", {"key": "users.mia"}).status == 200
        assert daemon.login("mia", "lovelace").status == 401
        assert daemon.wait_for_event(action="configuration.forget", target="users.mia")


def test_the_state_that_start_and_files_make_is_what_load_makes(daemon: Daemon) -> None:
    """One pipeline (DESIGN 4.5): the daemon's hash is that of the files as they are."""
    from gateway.config.reading import digest

    snapshot = load([daemon.directory / "gateway.yaml"], {"CLEARML__state_dir": str(daemon.directory / "state")})
    assert status(daemon.directory)["hash"] == digest(snapshot.contents)
