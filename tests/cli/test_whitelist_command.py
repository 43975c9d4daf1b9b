"""DECISIONS 7: ``ldap-gateway whitelist`` makes the first entry, over the admin socket."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from gateway.cli import main
from tests.admin_client import by_socket
from tests.daemon import Daemon, running


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    server = {"name": "corp", "host": "127.0.0.1", "port": 1, "search_base_dns": ["dc=example"]}
    environment = {"CLEARML__servers": json.dumps([server]), "CLEARML__clearml__registration": "whitelist"}
    with running(tmp_path_factory.mktemp("whitelist"), environment=environment) as started:
        yield started


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def run(state_dir: Path, *arguments: str) -> Done:
    """One command as a user runs it, in this process: each of its own would take a second."""
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        try:
            code = main(["whitelist", *arguments, "--state-dir", str(state_dir)])
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def test_a_tour(daemon: Daemon) -> None:
    state = daemon.directory / "state"
    daemon.wait_for("the whitelist is empty")
    added = run(state, "add", "Ada@example.com", "ada@EXAMPLE.com", "@bücher.example")
    assert (added.returncode, added.stdout) == (0, "added ada@example.com\nadded @xn--bcher-kva.example\n")
    assert run(state, "add", "ada@example.com").stdout == "Nothing changed.\n"
    run(state, "add", "--role", "admin", "grace@example.com")
    listed = run(state, "list")
    lines = listed.stdout.splitlines()
    assert lines[0] == "@xn--bcher-kva.example  everyone, role user"
    assert lines[1].startswith("ada@example.com  pending since 20") and lines[1].endswith(", role user")
    assert lines[2].endswith(", role admin")
    assert listed.stderr == "Whitelist mode: corp\n"
    shown = json.loads(run(state, "list", "--format", "json").stdout)
    assert list(shown) == ["entries", "domains", "servers"]
    assert list(shown["entries"][0]) == ["email", "role", "added", "added_by", "accepted"]
    assert shown["entries"][0]["added_by"].startswith("/uid ")
    removed = run(state, "remove", "ada@example.com", "@bücher.example", "nobody@example.com")
    assert removed.stdout == "removed ada@example.com\nremoved @xn--bcher-kva.example\n"
    assert daemon.wait_for_event(action="whitelist.add", dialect="admin", target="ada@example.com, @xn--bcher-kva.example")
    assert daemon.wait_for_event(action="whitelist.remove", dialect="admin")


def test_more_than_one_request_holds(daemon: Daemon) -> None:
    state = daemon.directory / "state"
    entries = [f"{'x' * 60}{number}@{'y' * 60}.{'z' * 60}.example" for number in range(500)]
    assert run(state, "add", *entries).stdout.count("added ") == 500
    assert run(state, "remove", *entries).stdout.count("removed ") == 500


def test_what_stays_as_it_was_is_told(daemon: Daemon) -> None:
    state = daemon.directory / "state"
    run(state, "add", "stays@x.org", "comes@x.org")
    again = run(state, "add", "--role", "admin", "stays@x.org")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == "unchanged stays@x.org: invited with role user; for another one remove the entry and add it again\n"
    assert run(state, "add", "stays@x.org").returncode == 0
    with closing(sqlite3.connect(state / "gateway.db")) as connection:
        # Who came in by this entry is known no more by anything but its id.
        connection.execute("UPDATE whitelist SET accepted_at = 1, identity = 'ada' WHERE email = 'comes@x.org'")
        connection.commit()
    removed = run(state, "remove", "comes@x.org", "stays@x.org")
    assert (removed.returncode, removed.stdout) == (1, "removed stays@x.org\n")
    assert removed.stderr.startswith("unchanged comes@x.org: accepted by ")


# arguments, exit code, what the message says
REFUSED = [
    (("add", "nonsense"), 1, "error: invalid email address 'nonsense'"),
    (("add", "*@x.org"), 1, "error: invalid email address '*@x.org' (everyone of a domain: domain x.org, @x.org on the command line)"),
    (("add", "x.org"), 1, "@x.org on the command line)"),
    (("add", "@"), 1, "error: invalid domain ''"),
    (("add", "--role", "root", "a@x.org"), 2, "invalid choice: 'root'"),
    (("add", "--role", "admin", "@x.org"), 1, "error: role: people who are invited by their domain have the role user"),
    (("add",), 2, "the following arguments are required"),
]


@pytest.mark.parametrize(("arguments", "code", "text"), REFUSED)
def test_refused(daemon: Daemon, arguments: tuple[str, ...], code: int, text: str) -> None:
    done = run(daemon.directory / "state", *arguments)
    assert done.returncode == code
    assert text in done.stderr and "Traceback" not in done.stderr


def test_without_a_daemon(tmp_path: Path) -> None:
    done = run(tmp_path, "list")
    assert (done.returncode, "no daemon answers at" in done.stderr) == (1, True)


def test_the_endpoint_itself(daemon: Daemon) -> None:
    for fields in ({}, {"entries": "a@x.org"}, {"entries": [5]}, {"entries": ["a@x.org"], "role": "system"}, {"entries": ["\ud800@x.org"]}):
        assert by_socket(daemon.directory, "/admin/whitelist/add", "POST", fields).status == 400
    assert by_socket(daemon.directory, "/admin/whitelist/add", "GET").status == 405
    assert daemon.call("/admin/whitelist").status == 401


def test_where_it_lets_nobody_in(tmp_path: Path) -> None:
    with running(tmp_path):
        done = run(tmp_path / "state", "add", "a@x.org")
        assert done.stderr == "note: no server is in whitelist mode, so this lets nobody in nor out\n"
