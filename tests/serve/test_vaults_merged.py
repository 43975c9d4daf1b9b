"""``GET /api/vaults/merged``, ``/admin/vaults/merged`` and ``ldap-gateway vaults merged`` on a running daemon."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.admin_client import by_socket
from tests.daemon import Answer, Daemon, running
from tests.serve.clearml_site import PASSWORD, PEOPLE, environment

ORGANIZATION = "# for all\nsdk:\n  uri: s3://all\n  level: 1\n"
PERSONAL = 'sdk.uri = "s3://"${HOME}\nsdk.tags = [a]\n'
TREE = {"sdk": {"uri": "s3://${HOME}", "level": 1, "tags": ["a"]}}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("merged")


@pytest.fixture(scope="module")
def daemon(directory: Path) -> Iterator[Daemon]:
    with running(directory, environment=environment()) as started:
        save(started, "ada", {"scope": "organization", "format": "yaml", "data": ORGANIZATION, "description": "base"})
        save(started, "ada", {"scope": "organization", "enabled": False, "data": "sdk.hidden = 1"})
        save(started, "jane", {"scope": "user", "data": PERSONAL})
        yield started


def save(daemon: Daemon, name: str, vault: dict[str, Any]) -> Answer:
    body = json.dumps({"vault": vault})
    answer = daemon.call("/users.add_or_update_vault", method="PUT", body=body, bearer=daemon.token(name, PASSWORD))
    assert answer.status == 200, answer.body
    return answer


def ask(daemon: Daemon, query: str = "", name: str = "jane", **options: Any) -> Answer:
    return daemon.call(f"/api/vaults/merged{query}", bearer=daemon.token(name, PASSWORD), **options)


def user_id(daemon: Daemon, name: str) -> str:
    found: str = daemon.user(daemon.token(name, PASSWORD))["id"]
    return found


def test_the_own_vaults(daemon: Daemon) -> None:
    answer = ask(daemon)
    assert (answer.status, answer.headers["Content-Type"], answer.headers["Cache-Control"]) == (200, "application/json", "no-store")
    data = answer.json
    assert list(data) == ["user", "vaults", "config", "keys", "more_keys", "dropped"]
    assert data["user"] == {"id": user_id(daemon, "jane"), "name": "local/jane"}
    assert data["config"] == TREE
    base, own = (vault["id"] for vault in data["vaults"])
    assert [(vault["scope"], vault["needs"]) for vault in data["vaults"]] == [("organization", []), ("user", ["HOME"])]
    by_key = {".".join(row.pop("key")): row for row in data["keys"]}
    overridden = [{"vault": base, "line": 3, "column": 3}]
    assert by_key["sdk.uri"] == {"value": "s3://${HOME}", "written": '"s3://"${HOME}', "vault": own, "line": 1, "column": 1, "overrides": overridden}
    assert by_key["sdk.level"] == {"value": 1, "vault": base, "line": 4, "column": 3, "overrides": []}
    assert (data["more_keys"], data["dropped"]) == (0, [])


# query, Accept, content type
FORMATS = [
    ("", None, "application/json"),
    ("", "*/*", "application/json"),
    ("?format=json", "application/yaml", "application/json"),
    ("?format=hocon", None, "text/plain; charset=utf-8"),
    ("", "text/html, application/hocon;q=0.9", "text/plain; charset=utf-8"),
    ("?format=yaml", None, "application/yaml"),
    ("", "application/YAML", "application/yaml"),
]


@pytest.mark.parametrize(("query", "accept", "content_type"), FORMATS)
def test_formats(daemon: Daemon, query: str, accept: str | None, content_type: str) -> None:
    answer = ask(daemon, query, headers={"Accept": accept} if accept else None)
    assert (answer.status, answer.headers["Content-Type"]) == (200, content_type)
    if "json" in content_type:
        assert answer.json["config"] == TREE
    elif "yaml" in content_type:
        assert yaml.safe_load(answer.body) == TREE
    else:
        assert b'uri = "s3://"${HOME}\n' in answer.body


# query, who asks, status, words of the error
REFUSALS = [
    ("?format=toml", "jane", 400, "format"),
    ("?user=x&users=y", "ada", 400, "unknown parameter users"),
    ("?" + "&".join(f"a{n}=1" for n in range(30)), "jane", 400, "too many"),
    ("?user=no-such-id", "ada", 404, "no such user"),
    ("?user=", "ada", 404, "no such user"),
    ("?user=no-such-id", "jane", 403, "only administrators"),
    ("?user=no-such-id", "sue", 403, "only administrators"),
]


@pytest.mark.parametrize(("query", "name", "status", "words"), REFUSALS)
def test_refusals(daemon: Daemon, query: str, name: str, status: int, words: str) -> None:
    answer = ask(daemon, query, name)
    assert answer.status == status
    assert words in answer.json["error"]


def test_credentials_are_needed(daemon: Daemon) -> None:
    for options in ({}, {"bearer": "x.y.z"}, {"basic": ("jane", "wrong")}, {"headers": {"Authorization": "Digest x"}}):
        answer = daemon.call("/api/vaults/merged", **options)  # type: ignore[arg-type]
        assert answer.status == 401 and answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert daemon.call("/api/vaults/merged", basic=("jane", PASSWORD)).status == 200
    cookie = {"Cookie": f"clearml_token_basic={daemon.token('jane', PASSWORD)}"}
    assert daemon.call("/api/vaults/merged", headers=cookie).json["config"] == TREE


def test_only_get_and_only_this_path(daemon: Daemon) -> None:
    assert ask(daemon, method="POST").status == 405
    assert ask(daemon, method="POST").headers["Allow"] == "GET, HEAD"
    assert daemon.call("/api/vaults/other").status == 404


def test_administrators_see_what_others_get(daemon: Daemon) -> None:
    """Never more than those get themselves: the disabled vault stays out."""
    jane = user_id(daemon, "jane")
    assert ask(daemon, f"?user={jane}", "ada").json["config"] == TREE
    event = daemon.wait_for_event(action="vault.merged", outcome="success", user="ada")
    assert (event["target"], event["dialect"]) == ("local/jane", "clearml")
    for name in ("gail", "anna", "sue"):
        assert ask(daemon, f"?user={jane}", name).status == 403
        daemon.wait_for_event(action="vault.merged", outcome="failure", user=name)
    assert ask(daemon, f"?user={jane}").status == 200, "the own id names nobody else"


def test_by_the_admin_socket(daemon: Daemon, directory: Path) -> None:
    for named in ("jane", "JANE", "local/jane", user_id(daemon, "jane")):
        answer = by_socket(directory, f"/admin/vaults/merged?user={named}&format=hocon")
        assert (answer.status, answer.json["config"]) == (200, TREE)
        assert "${HOME}" in answer.json["text"]
    for query, status in (("user=nobody", 404), ("", 404), ("user=jane&format=x", 400), ("name=jane", 400)):
        assert by_socket(directory, f"/admin/vaults/merged?{query}").status == status
    daemon.wait_for_event(action="vault.merged", dialect="admin", target="local/jane")


def command(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "gateway", "vaults", "merged", "--state-dir", str(directory / "state"), *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


def test_the_command(daemon: Daemon, directory: Path) -> None:
    printed = command(directory, "jane")
    [needs] = printed.stderr.splitlines()
    assert printed.returncode == 0 and needs.startswith("needs HOME: user ") and needs.endswith("clients without lose it")
    assert 'uri = "s3://"${HOME}' in printed.stdout
    assert yaml.safe_load(command(directory, "jane", "--format", "yaml").stdout) == TREE
    own = ask(daemon).json["vaults"][1]["id"]
    assert command(directory, "jane", "--origin").stdout.splitlines() == [
        f'sdk.uri = "s3://"${{HOME}}  # user {own}:1:1 (overrides organization base:3:3)',
        "sdk.level = 1  # organization base:4:3",
        f'sdk.tags = ["a"]  # user {own}:2:1',
    ]
    assert json.loads(command(directory, "jane", "--origin", "--format", "json").stdout)["keys"][1]["line"] == 4
    unknown = command(directory, "nobody")
    assert unknown.returncode == 1 and "nobody of this name" in unknown.stderr


def test_hostile_texts_hold_up_nobody(daemon: Daemon) -> None:
    """A worker that reads such a text, several times at once, leaves the event loop to others."""
    fine = "\n".join(f"key{n} = {n}" for n in range(10_000))
    texts = [fine, "k = " + "word " * 50_000, "\n".join(f"k{n} = {{a = TRUE}}" for n in range(15_000)), "a = " + "[" * 100_000]
    token = daemon.token("gail", PASSWORD)
    answers: list[int] = []

    def write(text: str) -> None:
        body = json.dumps({"vault": {"data": text}})
        answers.append(daemon.call("/users.add_or_update_vault", method="PUT", body=body, bearer=token).status)

    writers = [threading.Thread(target=write, args=(text,)) for text in texts * 3]
    for writer in writers:
        writer.start()
    pings = 0
    while any(writer.is_alive() for writer in writers):
        started = time.monotonic()
        assert daemon.call("/debug.ping").status == 200
        assert time.monotonic() - started < 5
        pings += 1
    for writer in writers:
        writer.join()
    assert pings > 1 and sorted(set(answers)) == [200, 400]
    assert set(PEOPLE.values()) >= {"gail"}
