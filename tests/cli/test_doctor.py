"""``ldap-gateway doctor`` as operators run it: what is printed, in which form, and the exit code."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli import main
from tests.directories.process import free_port
from tests.directories.slapd import BASE_DN, COMPANY, SERVICE_DN, SERVICE_PASSWORD, Slapd

ROOT = Path(__file__).parents[2]
WRONG_PASSWORD = "planted-wrong-password"


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, directory=tmp_path_factory.mktemp("doctor") / "slapd") as started:
        yield started


def doctor(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-m", "gateway", "doctor", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, input=stdin, start_new_session=True,
    )  # fmt: skip
    for output in (done.stdout, done.stderr):
        assert SERVICE_PASSWORD not in output
        assert WRONG_PASSWORD not in output
        assert "Traceback" not in output
    return done


@pytest.fixture
def file(slapd: Slapd, tmp_path: Path) -> Path:
    """Three servers: one that is dead, one whose password is wrong, one that is well."""
    path = tmp_path / "gateway.conf"
    common = f'search_base_dns = ["ou=people,{BASE_DN}"], bind_dn = "{SERVICE_DN}", timeout = 10s'
    path.write_text(
        f"""\
servers = [
  {{ name = "dead", urls = ["ldap://127.0.0.1:{free_port()}"], {common},
    bind_password = "{SERVICE_PASSWORD}" }}
  {{ name = "Wrong", urls = ["{slapd.url}"], {common},
    bind_password = "{WRONG_PASSWORD}" }}
  {{ name = "corp", urls = ["{slapd.url}"], {common},
    bind_password = "{SERVICE_PASSWORD}" }}
]
"""
    )
    return path


def test_all_servers_are_examined_and_advice_names_the_line(file: Path) -> None:
    done = doctor("-c", str(file))
    assert (done.returncode, done.stderr) == (1, "")
    blocks = done.stdout.strip().split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == ["dead: fail", "Wrong: fail", "corp: ok"]
    assert f"servers.dead.urls: {file}:2:" in blocks[0]
    assert f"servers.wrong.bind_password: {file}:5:" in blocks[1]
    assert "49 invalidCredentials" in blocks[1]
    assert " ms  " in blocks[2]


def test_one_server_that_is_well(file: Path) -> None:
    done = doctor("-c", str(file), "--server", "corp", "--user", "alan")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("corp: ok\n")
    assert "username alan" in done.stdout


def test_a_failure_is_the_exit_code(file: Path) -> None:
    assert doctor("-c", str(file), "--server", "corp", "--user", "nobody-here").returncode == 1


def test_a_person_of_one_of_two_directories(slapd: Slapd, tmp_path: Path) -> None:
    """Not a failure of the other one, with no advice to have them in both; of nobody's person it stays one."""
    path = tmp_path / "gateway.json"
    elsewhere = slapd.server(name="branch", search_base_dns=[f"ou=groups,{BASE_DN}"])
    path.write_text(json.dumps({"servers": [elsewhere, slapd.server(name="corp")]}))
    done = doctor("-c", str(path), "--user", "alan")
    assert done.returncode == 0, done.stdout
    branch, corp = done.stdout.strip().split("\n\n")
    assert "skipped  person" in branch and "alan: not here, found on corp: " in branch and "that part" not in branch
    assert "username alan" in corp and "found on" not in corp
    told = json.loads(doctor("-c", str(path), "--user", "alan", "--json").stdout)
    assert (told["mark"], [one["mark"] for one in told["servers"][0]["steps"] if one["step"] == "person"]) == ("ok", ["skipped"])
    done = doctor("-c", str(path), "--user", "nobody-here")
    assert (done.returncode, done.stdout.count("nobody-here: is not found")) == (1, 2)


def test_warnings_are_no_failure(slapd: Slapd) -> None:
    done = doctor(CLEARML__servers=json.dumps([slapd.server(attributes={"email": "mial"})]))
    assert done.returncode == 0
    assert done.stdout.startswith("corp: warn\n")
    assert "no attribute mial" in done.stdout


def test_json(file: Path) -> None:
    """The shape is fixed: programs read it."""
    done = doctor("-c", str(file), "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert set(told) == {"mark", "servers"}
    assert [(server["server"], server["mark"]) for server in told["servers"]] == [
        ("dead", "fail"), ("Wrong", "fail"), ("corp", "ok"),
    ]  # fmt: skip
    fields = {"step", "subject", "mark", "text", "advice", "key", "origin", "milliseconds"}
    steps = [step for server in told["servers"] for step in server["steps"]]
    assert all(set(step) == fields for step in steps)
    assert {step["mark"] for step in steps} == {"ok", "fail", "skipped"}
    bind = next(step for step in told["servers"][1]["steps"] if step["step"] == "bind")
    assert bind["origin"].startswith(f"{file}:5:")
    assert bind["milliseconds"] > 0


def test_a_password_is_asked_for_where_people_bind_as_themselves(slapd: Slapd, tmp_path: Path) -> None:
    """Without it nothing about people is known, which is not well."""
    path = tmp_path / "gateway.json"
    path.write_text(json.dumps({"servers": [slapd.server(bind_dn=f"uid=%s,ou=people,{BASE_DN}", bind_password="")]}))
    without = doctor("-c", str(path), "--user", "alan")
    assert (without.returncode, without.stdout.splitlines()[0]) == (0, "corp: warn")
    assert "nothing about people was examined" in without.stdout
    entered = doctor("-c", str(path), "--user", "alan", "--password-stdin", stdin="enigma\n")
    assert (entered.returncode, entered.stdout.splitlines()[0]) == (0, "corp: ok"), entered.stdout
    assert "username alan" in entered.stdout and "enigma" not in entered.stdout
    wrong = doctor("-c", str(path), "--user", "alan", "--password-stdin", stdin=f"{WRONG_PASSWORD}\n")
    assert wrong.returncode == 1 and "wrong password or name" in wrong.stdout


def test_a_password_that_cannot_be_asked_for(slapd: Slapd, tmp_path: Path) -> None:
    """Without a terminal it would be shown as it is typed."""
    path = tmp_path / "gateway.json"
    path.write_text(json.dumps({"servers": [slapd.server()]}))
    done = doctor("-c", str(path), "--user", "alan", "--password", stdin="enigma\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: there is no terminal to ask for the password on: use --password-stdin\n"


def test_an_api_key_in_place_of_a_password(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """DECISIONS 14: told before anything is connected; without the dialect it is a password like others."""
    monkeypatch.setenv("CLEARML__servers", ONE["CLEARML__servers"])
    for account, code in (("myorg", 2), ("", 1)):
        monkeypatch.setenv("CLEARML__conjur__account", account)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a" * 52 + b"\n")))
        assert main(["doctor", "--user", "alan", "--password-stdin"]) == code
        told = capsys.readouterr()
        assert ("has the form of an API key" in told.err) is bool(account)
        assert "a" * 52 not in told.out + told.err


ONE = {"CLEARML__servers": '[{"name": "x", "host": "127.0.0.1", "port": 1, "search_base_dns": "dc=x"}]'}


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "text"),
    [
        (["--server", "typo"], ONE, 2, "error: there is no server typo; known: x"),
        ([], {"GF_AUTH_LDAP_CONFIG_FILE": "x"}, 2, "no servers are configured: give -c FILE; GF_AUTH_LDAP_CONFIG_FILE: auth.ldap.enabled"),
        (["--user", "\udcff"], ONE, 2, "not valid UTF-8"),
        (["--password-stdin"], ONE, 2, "say whose with --user"),
        ([], {"CLEARML__servers": "{"}, 78, "CLEARML__servers"),
        ([], {"CLEARML__servers": '[{"name": "x"}]'}, 78, "is needed"),
        (["-c", "/no/such/file.conf"], {}, 78, "/no/such/file.conf"),
        ([], {}, 2, "error: no servers are configured: give -c FILE"),
    ],
)
def test_nothing_to_examine(
    arguments: list[str], environment: dict[str, str], code: int, text: str,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x\n")))
    assert main(["doctor", *arguments]) == code
    assert text in "".join(capsys.readouterr())
