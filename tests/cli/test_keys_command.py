"""``ldap-gateway keys list|rotate``, as an operator uses it (grafana.md 5)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from gateway.cli import main
from tests.daemon import Daemon, running

KID = r"[A-Za-z0-9_-]{43}"
TIME = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\S*"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running(tmp_path_factory.mktemp("keys")) as started:
        yield started


def run(daemon: Daemon, *arguments: str) -> tuple[int, str, str]:
    """One command, in this process."""
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        code = main(["keys", *arguments, "--state-dir", str(daemon.directory / "state")])
    return code, out.getvalue(), err.getvalue()


def published(daemon: Daemon) -> list[str]:
    return [key["kid"] for key in daemon.call("/.well-known/jwks.json").json["keys"]]


def states(daemon: Daemon) -> list[str]:
    code, text, _ = run(daemon, "list", "--format", "json")
    assert code == 0
    return [key["state"] for key in json.loads(text)]


def test_a_tour(daemon: Daemon) -> None:
    [first] = published(daemon)
    assert run(daemon, "list") == (0, f"{first}  jwks  ES256  signs\n", "")
    code, text, _ = run(daemon, "rotate", "jwks")
    assert code == 0 and re.fullmatch(rf"{KID} is published and signs from {TIME}\.\n", text)
    second = text.split()[0]
    assert published(daemon) == [first, second]
    _, text, _ = run(daemon, "list")
    assert re.fullmatch(
        rf"{first}  jwks  ES256  signs, published until {TIME}\n{second}  jwks  ES256  waiting, signs from {TIME}\n", text
    )
    waiting = "error: a new key is published already and has yet to sign; force to make another one\n"
    assert run(daemon, "rotate", "jwks") == (1, "", waiting)
    assert run(daemon, "rotate", "jwks", "--force")[0] == 0
    assert states(daemon) == ["signs", "waiting", "waiting"]
    code, text, _ = run(daemon, "rotate", "jwks", "--now")
    assert (code, published(daemon)) == (0, [text.split()[0]])
    assert sorted(states(daemon)) == ["gone", "gone", "gone", "signs"]
    events = [(event["reason"], event["target"]) for event in daemon.events if event["action"] == "keys.rotate"]
    assert events == [("", "jwks"), ("", "jwks"), ("at once", "jwks")]


@pytest.mark.parametrize("purpose", ["clearml", "conjur:acme", "batch", ""])
def test_other_purposes(daemon: Daemon, purpose: str) -> None:
    before = published(daemon)
    code, text, error = run(daemon, "rotate", purpose)
    assert (code, text) == (1, "")
    assert error.startswith("error: purpose: expected jwks; keys of other purposes are not replaced")
    assert published(daemon) == before


def test_it_finds_no_daemon(tmp_path: Path) -> None:
    with redirect_stderr(StringIO()) as err:
        assert main(["keys", "list", "--state-dir", str(tmp_path)]) == 1
    assert "no daemon answers at" in err.getvalue()


def test_no_key_is_told(daemon: Daemon) -> None:
    """DECISIONS 40: nothing private in listings and logs."""
    _, text, _ = run(daemon, "list", "--format", "json")
    assert not {"d", "private", "private_sealed"} & {name for key in json.loads(text) for name in key}
    assert "PRIVATE" not in daemon.log
