"""Reloads of a running daemon, by file, signal, API and command line, while people log in (issue 3, acceptance 2)."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from tests.admin_client import by_socket, status
from tests.daemon import Daemon, running
from tests.directories.slapd import COMPANY, Slapd

ROOT = Path(__file__).parents[2]
RELOADS = 200 if os.environ.get("GATEWAY_SOAK") == "1" else 20
CLIENTS = 16
WARM_UP = 8
PEOPLE = (("alan", "enigma"), ("grace", "cobol-1959"), ("mary", "forty-two"), ("lovelace", "notes,on#engine"))
HASH = bcrypt.hashpw(b"lovelace", bcrypt.gensalt(4)).decode()
"""Cheap, because argon2's 19 MiB a login would hide what the reloads themselves keep."""
BROKEN = ("users: [", '{"lockuot": {}}', '{"login": {"floor": "never"}}', "\tx: 1")


def command(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", "config", *arguments],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environment},
        cwd=cwd, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def configuration(name: str = "Ada", **more: object) -> str:
    users = [{"username": "ada", "name": name, "password_hash": HASH}]
    quick = {"poll": 0.05, "settle": 0.05, "hold": 0.2, "missing_grace": 0.2}
    return json.dumps({"login": {"floor": 0, "cache": 0}, "reload": quick, "users": users, "admins": ["user:ada"], **more})


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found


class Crowd:
    """Clients that log in without a pause, and remember what they were told."""

    def __init__(self, daemon: Daemon) -> None:
        self.answers: Counter[int | str] = Counter()
        self._daemon = daemon
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._log_in, args=PEOPLE[n % len(PEOPLE)]) for n in range(CLIENTS)]

    def _log_in(self, name: str, password: str) -> None:
        while not self._stop.is_set():
            try:
                self.answers[self._daemon.login(name, password).status] += 1
            except OSError as error:
                self.answers[repr(error)] += 1

    @contextmanager
    def at_work(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()


class Reloading:
    """One reload after another, each checked before the next."""

    def __init__(self, daemon: Daemon, file: Path, server: object) -> None:
        self.daemon = daemon
        self.file = file
        self.server = server
        self.name = "Ada"

    def good(self, number: int, trigger: str) -> None:
        self.name = f"Ada {number}"
        # One reload in four changes the server, so that its connections are made anew.
        server = {**self.server, "max_groups": 5000 + number % 4 // 3}  # type: ignore[dict-item]
        self.file.write_text(configuration(self.name, servers=[server]))
        generation = self.now["generation"]
        self.tell(trigger, 200)
        until(lambda: self.now["generation"] > generation, "the good file is not applied")
        self.check()

    def broken(self, number: int, trigger: str) -> None:
        before = self.now["reloads"]
        self.file.write_text(BROKEN[number % len(BROKEN)] + f"\n# {number}\n")
        self.tell(trigger, 422)
        until(lambda: self.now["reloads"] != before, "the broken file is not noticed")
        assert self.now["last_reload_successful"] is False
        self.check()

    def tell(self, trigger: str, expected: int) -> None:
        if trigger == "signal":
            self.daemon.signal(signal.SIGHUP)
        elif trigger == "api":
            assert by_socket(self.daemon.directory, "/admin/reload", "POST").status == expected

    def check(self) -> None:
        """No stale answer: what was acknowledged holds for the very next request."""
        assert self.daemon.user(self.daemon.token("ada", "lovelace"))["name"] == self.name

    @property
    def now(self) -> Any:
        return status(self.daemon.directory)

    def run(self, first: int, count: int) -> None:
        for number in range(first, first + count):
            trigger = ("file", "signal", "file", "api")[number // 2 % 4]
            (self.broken if number % 2 else self.good)(number, trigger)
        self.good(first + count, "api")


def held_by(daemon: Daemon) -> tuple[int, int]:
    """Open descriptors and threads of the daemon."""
    process = Path(f"/proc/{daemon.process.pid}")
    threads = re.search(r"Threads:\s+(\d+)", (process / "status").read_text())
    assert threads
    return len(list((process / "fd").iterdir())), int(threads[1])


def test_reloads_while_a_crowd_logs_in(tmp_path: Path) -> None:
    """Acceptance 2: half by file, half by signal or API, alternating good and broken."""
    file = tmp_path / "gateway.yaml"
    with Slapd.start(COMPANY, directory=tmp_path / "slapd") as slapd:
        server = slapd.server(pool={"idle": "1s"})
        file.write_text(configuration(servers=[server]))
        environment = {"CLEARML__lockout__address_failures": "1000000"}
        with running(tmp_path, files=[file], environment=environment) as daemon:
            reloading = Reloading(daemon, file, server)
            with Crowd(daemon).at_work():
                reloading.run(0, WARM_UP)
            time.sleep(2)  # pool.idle, and what is drained
            descriptors, threads = held_by(daemon)
            memory = daemon.memory_kib()
            crowd = Crowd(daemon)
            with crowd.at_work():
                reloading.run(WARM_UP + 1, RELOADS)
            assert set(crowd.answers) == {200}, crowd.answers
            assert crowd.answers[200] > RELOADS
            until(lambda: held_by(daemon)[0] <= descriptors + 2, f"{descriptors} descriptors grew to {held_by(daemon)}")
            assert held_by(daemon)[1] <= threads + 4
            assert daemon.memory_kib() - memory < 16 * 1024
            print(f"{RELOADS} reloads, {crowd.answers[200]} logins, {daemon.memory_kib() - memory} KiB more")


@pytest.mark.parametrize("events", [True, False])
def test_a_changed_file_is_applied_by_itself(tmp_path: Path, events: bool) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(configuration())
    with running(tmp_path, files=[file], environment={"CLEARML__reload__watch": str(events)}) as daemon:
        file.write_text(configuration("Countess"))
        daemon.wait_for_event(action="configuration.apply", generation=2, reason="file", target="users.ada.name")
        assert daemon.user(daemon.token("ada", "lovelace"))["name"] == "Countess"
        assert status(tmp_path)["watch"] == {"mode": "events" if events else "poll", "errors": 0}
        file.unlink()
        daemon.wait_for_event(action="configuration.apply", generation=2, outcome="failure")
        file.write_text(configuration("Countess"))
        until(lambda: status(tmp_path)["last_reload_successful"], "the file is back")
        assert status(tmp_path)["generation"] == 2


def test_a_file_cut_short_is_held(tmp_path: Path) -> None:
    """Acceptance 3 in the daemon: shown everywhere, healthy all the while, undone by the whole file."""
    file = tmp_path / "gateway.conf"
    whole = configuration(lockout={"failures": 7}) + "\n# the end\n"
    file.write_text(whole)
    with running(tmp_path, files=[file]) as daemon:
        for length in (len(whole) - 1, len(whole) // 2, 1, 0):
            file.write_text(whole[:length])
            until(lambda: status(tmp_path)["held"], f"{length} bytes")
            shown = command("status", "--state-dir", str(tmp_path / "state"))
            assert (shown.returncode, "looks cut short" in shown.stdout) == (1, True)
            assert daemon.call("/healthz/ready").status == 200
            file.write_text(whole)
            until(lambda: status(tmp_path)["held"] is None, "the whole file")
        assert status(tmp_path)["generation"] == 1


def test_keepalive_and_audit_need_no_restart(tmp_path: Path) -> None:
    """``http.keepalive`` holds for connections that come after the reload, ``audit.to`` at once."""
    file = tmp_path / "gateway.yaml"
    file.write_text(configuration())
    with running(tmp_path, files=[file]) as daemon:
        file.write_text(configuration(http={"keepalive": "200ms"}, audit={"to": f"file:{tmp_path}/audit.json"}))
        answer = by_socket(tmp_path, "/admin/reload", "POST")
        assert answer.json["pending_restart"] == []
        with socket.create_connection(("127.0.0.1", daemon.port), timeout=20) as connection:
            connection.sendall(b"GET /healthz/live HTTP/1.1\r\nHost: x\r\n\r\n")
            while connection.recv(4096):
                pass  # by default it would be kept for 90 s
        assert daemon.login("ada", "lovelace").status == 200
    actions = [json.loads(line)["action"] for line in (tmp_path / "audit.json").read_text().splitlines()]
    assert actions == ["configuration.apply", "login"]


def test_commands(tmp_path: Path) -> None:
    """``config reload|status|diff|forget`` against a running daemon."""
    file = tmp_path / "gateway.yaml"
    file.write_text(configuration())
    where = {"CLEARML__state_dir": str(tmp_path / "state")}
    quiet = {"CLEARML__reload__settle": "60s"}
    with running(tmp_path, files=[file], environment=quiet):
        shown = command("status", **where)
        assert (shown.returncode, "generation 1, serving" in shown.stdout) == (0, True), shown
        assert json.loads(command("status", "--format", "json", **where).stdout)["generation"] == 1
        file.write_text(configuration("Countess", uvloop=False))
        for arguments in (("diff",), ("diff", "-c", str(file)), ("reload", "--dry-run")):
            done = command(*arguments, **where)
            assert (done.returncode, done.stderr) == (0, ""), arguments
            assert '~ users.ada.name: "Ada" -> "Countess"\n' in done.stdout
            assert "uvloop" in done.stdout
            assert "(needs a restart)" in done.stdout
        done = command("reload", **where)
        assert done.returncode == 0
        assert done.stdout.endswith("Generation 2 is in force.\nIn force only after a restart: uvloop\n")
        done = command("reload", **where)
        assert re.fullmatch(
            r"Already in force: generation 2 was applied by another reload, [0-9]+s ago\.\n"
            r"(~ .*\n){2}In force only after a restart: uvloop\n", done.stdout
        ), done.stdout  # fmt: skip
        assert command("diff", **where).stdout == "In force only after a restart: uvloop\nNothing would change.\n"
        done = command("forget", "users.ada", **where)
        assert (done.returncode, done.stderr) == (1, "error: nothing is stored for users.ada\n")
        shown = command("show", "--running", "--origin", **where)
        assert f'users.ada.name = "Countess"  # {file}:' in shown.stdout
        file.write_text("lockuot: {}\nadmins: 7\n")
        for arguments in (("reload",), ("diff",), ("status", "-c", str(file))):
            done = command(*arguments, **where)
            assert done.returncode == 78, (arguments, done)
            told = done.stdout if arguments[0] == "status" else done.stderr
            assert f"error: {file}:1:1: lockuot: unknown key" in told
            assert f"error: {file}:2:1: admins: " in told
        lines = command("status", **where).stdout.splitlines()
        failed = next(place for place, line in enumerate(lines) if line.startswith("last reload      failed"))
        assert [line.split()[:2] for line in lines[failed + 1 : failed + 3]] == [["error:", f"{file}:{n}:1:"] for n in (1, 2)]


def test_a_reload_that_the_watcher_has_overtaken(tmp_path: Path) -> None:
    """What was applied, when and by whom, instead of nothing."""
    file = tmp_path / "gateway.yaml"
    file.write_text(configuration())
    where = {"CLEARML__state_dir": str(tmp_path / "state")}
    with running(tmp_path, files=[file]) as daemon:
        shown = command("reload", **where).stdout
        assert re.fullmatch(r"Already in force: generation 1 was applied at the start, [0-9]+[sm] ago\.\n", shown), shown
        file.write_text(configuration("Countess"))
        daemon.wait_for_event(action="configuration.apply", generation=2, reason="file")
        shown = command("reload", **where).stdout
        assert shown.startswith("Already in force: generation 2 was applied by the watcher, "), shown
        assert shown.endswith('~ users.ada.name: "Ada" -> "Countess"\n'), shown
        applied = [event for event in daemon.events if event["action"] == "configuration.apply"]
        assert [(event["generation"], event["reason"]) for event in applied] == [(1, "start"), (2, "file")]


def test_status_tells_what_logins_fail_of(tmp_path: Path) -> None:
    """A directory that answers is up, and may yet be asked for what it does not have."""
    file = tmp_path / "gateway.yaml"
    where = {"CLEARML__state_dir": str(tmp_path / "state")}
    with Slapd.start(COMPANY, directory=tmp_path / "slapd") as slapd:
        file.write_text(configuration(servers=[slapd.server(search_base_dns=["ou=typo,dc=example,dc=com"])]))
        with running(tmp_path, files=[file]) as daemon:
            assert "last failure" not in command("status", **where).stdout
            assert daemon.login("alan", "enigma").status == 500
            shown = command("status", **where).stdout
            assert "directory corp   up since" in shown
            found = re.search(r"  last failure (\S+Z): (.*)", shown)
            assert found and "ou=typo,dc=example,dc=com" in found[2] and "32 noSuchObject" in found[2], shown


def test_no_daemon(tmp_path: Path) -> None:
    for arguments in (("reload",), ("status",), ("diff",), ("forget", "x")):
        done = command(*arguments, STATE_DIRECTORY=str(tmp_path))
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: no daemon answers at {tmp_path}/admin.sock: No such file or directory")
    file = tmp_path / "gateway.conf"
    file.write_text('state_dir = "here"\nusers = []\n')
    done = command("status", "-c", str(file))
    assert f"{tmp_path}/here/admin.sock" in done.stderr


def test_two_sets_of_files_are_compared_without_a_daemon(tmp_path: Path) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.toml"
    old.write_text(configuration())
    new.write_text('[lockout]\nfailures = 9\n')
    done = command("diff", "-c", str(old), "-c", str(new), "--against", str(old))
    assert (done.returncode, done.stdout) == (0, "~ lockout.failures: 5 -> 9\n")
    assert command("diff", "-c", str(old), "--against", str(old)).stdout == "Nothing would change.\n"
    new.write_text("lockuot = 1\n")
    done = command("diff", "-c", str(old), "--against", str(new))
    assert (done.returncode, f"{new}:1:1: lockuot" in done.stderr) == (78, True)


def test_an_end_in_the_middle_of_reloads(tmp_path: Path) -> None:
    """SIGTERM while reloads are under way: an orderly end, and the socket is gone."""
    file = tmp_path / "gateway.yaml"
    users = [{"username": f"user{number}", "password_hash": HASH} for number in range(500)]
    file.write_text(configuration(users=users))
    for delay in (0.0, 0.05, 0.1):
        with running(tmp_path, files=[file]) as daemon:
            daemon.signal(signal.SIGHUP)
            time.sleep(delay)
            daemon.signal(signal.SIGTERM)
        assert not (tmp_path / "state" / "admin.sock").exists()


def test_the_place_of_the_socket_is_taken(tmp_path: Path) -> None:
    """Logins are served without it; what is there stays."""
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "admin.sock").write_text("precious")
    with running(tmp_path, environment={"CLEARML__users__ada__password_hash": HASH}) as daemon:
        assert daemon.login("ada", "lovelace").status == 200
        assert "the command line cannot reach this daemon" in daemon.log
    assert (tmp_path / "state" / "admin.sock").read_text() == "precious"
