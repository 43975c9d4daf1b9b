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
    code, text, caution = run(daemon, "rotate", "jwks")
    assert (code, caution) == (0, "") and re.fullmatch(rf"{KID} is published and signs from {TIME}\.\n", text)
    second = text.split()[0]
    assert published(daemon) == [first, second]
    _, text, _ = run(daemon, "list")
    assert re.fullmatch(
        rf"{first}  jwks  ES256  signs, counts until {TIME}\n{second}  jwks  ES256  waiting, signs from {TIME}\n", text
    )
    waiting = "error: a new key is published already and has yet to sign; force (--force) makes another one\n"
    assert run(daemon, "rotate", "jwks") == (1, "", waiting)
    assert run(daemon, "rotate", "jwks", "--force")[0] == 0
    assert states(daemon) == ["signs", "waiting", "waiting"]
    code, text, caution = run(daemon, "rotate", "jwks", "--now")
    assert (code, published(daemon)) == (0, [text.split()[0]])
    assert "Grafana refuses everybody" in caution and "cache_ttl: restart Grafana" in caution
    assert sorted(states(daemon)) == ["gone", "gone", "gone", "signs"]
    events = [(event["reason"], event["target"]) for event in daemon.events if event["action"] == "keys.rotate"]
    assert events == [("", "jwks"), ("", "jwks"), ("at once", "jwks")]


@pytest.mark.parametrize("purpose", ["clearml", "conjur:acme", "batch", "all", ""])
def test_other_purposes(daemon: Daemon, purpose: str) -> None:
    before = published(daemon)
    code, text, error = run(daemon, "rotate", purpose)
    assert (code, text) == (1, "")
    assert error.startswith("error: purpose: expected jwks or conjur; keys of other purposes are not replaced")
    assert published(daemon) == before


def test_conjur_is_off(daemon: Daemon) -> None:
    """configuration.md 1.6."""
    off = "error: the Conjur API is off, as conjur.account is empty: it has no keys\n"
    assert run(daemon, "rotate", "conjur") == run(daemon, "rotate", "conjur", "--now") == (1, "", off)


def test_a_tour_of_conjur(tmp_path: Path) -> None:
    """conjur.md 6: the new key signs at once, across a restart; the public key is that of what signs."""
    with running(tmp_path, environment={"CLEARML__conjur__account": "acme"}) as daemon:
        first, pem = fingerprints(daemon), daemon.call("/authn-ldap/acme/public_key").body
        code, text, caution = run(daemon, "rotate", "conjur")
        assert code == 0 and re.fullmatch(rf"[0-9a-f]{{64}} is published and signs from {TIME}\.\n", text)
        assert caution == "warning: programs that check Conjur tokens by the public key need the new one now\n"
        assert fingerprints(daemon) == [*first, text.split()[0]]
        assert daemon.call("/authn-ldap/acme/public_key").body != pem
        daemon.stop()
        daemon.start()
        _, listed, _ = run(daemon, "list")
        assert re.search(
            rf"jwks  ES256  signs\n{first[0]}  conjur:acme  RS256  leaving, counts until {TIME}\n"
            rf"{text.split()[0]}  conjur:acme  RS256  signs, signs from {TIME}\n$", listed
        )  # fmt: skip
        code, text, caution = run(daemon, "rotate", "conjur", "--now")
        assert code == 0 and "every Conjur token has ended" in caution
        assert states(daemon) == ["signs", "gone", "gone", "signs"]
        assert fingerprints(daemon)[-1] == text.split()[0]
        assert "PRIVATE" not in daemon.log + listed


def fingerprints(daemon: Daemon) -> list[str]:
    keys = json.loads(run(daemon, "list", "--format", "json")[1])
    return [key["id"] for key in keys if key["purpose"] == "conjur:acme"]


def test_it_finds_no_daemon(tmp_path: Path) -> None:
    with redirect_stderr(StringIO()) as err:
        assert main(["keys", "list", "--state-dir", str(tmp_path)]) == 1
    assert "no daemon answers at" in err.getvalue()


def test_no_key_is_told(daemon: Daemon) -> None:
    """DECISIONS 40: nothing private in listings and logs."""
    _, text, _ = run(daemon, "list", "--format", "json")
    assert not {"d", "private", "private_sealed"} & {name for key in json.loads(text) for name in key}
    assert "PRIVATE" not in daemon.log
