"""The reloader on a real runtime, without a daemon around it (ops.md 1.2, DECISIONS 25)."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.config.load import load
from gateway.directory.local_users import hash_password
from gateway.reload import Reloader
from gateway.runtime import Runtime
from gateway.telemetry.audit import SwitchedAudit

HASH = hash_password("lovelace")


@dataclass
class House:
    """A runtime with its reloader, and where their configuration and audit events lie."""

    file: Path
    audit_file: Path
    runtime: Runtime
    reloader: Reloader
    audit: SwitchedAudit

    def write(self, *names: str, **more: object) -> bytes:
        """Put a configuration with these local users in force, as far as the file goes; returns its bytes."""
        return self.put(people(*names, **more))

    def put(self, data: bytes) -> bytes:
        self.file.write_bytes(data)
        return data

    @property
    def names(self) -> list[str]:
        """Local users in force."""
        return [user.username for user in self.runtime.current.configuration.users]

    def events(self) -> list[dict[str, Any]]:
        """Audit events; ends the audit, because it is written by a thread."""
        self.audit.close()
        return [json.loads(line) for line in self.audit_file.read_text().splitlines()]


def people(*names: str, **more: object) -> bytes:
    users = [{"username": name, "password_hash": HASH} for name in names]
    return json.dumps({"login": {"floor": 0}, "reload": {"hold": 0.3}, "users": users, **more}).encode()


@asynccontextmanager
async def house(directory: Path, content: bytes, suffix: str = ".yaml") -> AsyncIterator[House]:
    file, audit_file = directory / f"gateway{suffix}", directory / "audit.json"
    file.write_bytes(content)
    environment = {
        "CLEARML__state_dir": str(directory / "state"),
        "CLEARML__audit__to": f"file:{audit_file}",
        "CLEARML__log__format": "json",
    }
    (directory / "state").mkdir(mode=0o700, exist_ok=True)
    snapshot = load([file], environment)
    audit = SwitchedAudit(f"file:{audit_file}")
    runtime = await Runtime.start(snapshot, audit)
    reloader = Reloader([file], environment, snapshot, runtime, audit, lambda _: None)
    task = asyncio.create_task(reloader.run())
    try:
        yield House(file, audit_file, runtime, reloader, audit)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await runtime.close()
        audit.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_equal_bytes_are_nothing_at_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """ops.md 1.3 row 25: touch, chmod, or the same text written again."""
    async with house(tmp_path, people("ada")) as one:
        one.write("ada")
        attempt = await one.reloader.reload("file")
        assert attempt is one.reloader.last
        assert (attempt.trigger, attempt.generation, one.reloader.counts) == ("start", 1, {})
        assert caplog.text == ""
        assert one.events() == []


async def test_a_failure_is_tried_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """ops.md 1.2 rule 3."""
    async with house(tmp_path, people("ada")) as one:
        one.put(b'{"lockuot": {"failures": 5}}')
        first = await one.reloader.reload("file")
        assert (first.outcome, first.generation, one.names) == ("failed", 1, ["ada"])
        assert "lockuot" in str(first.problems[0])
        assert not one.reloader.successful
        told = caplog.text
        assert "lockuot" in told
        os.utime(one.file)
        assert await one.reloader.reload("file") is first
        assert caplog.text == told
        # Who asks gets an answer, every time.
        second = await one.reloader.reload()
        assert (second.outcome, second.trigger) == ("failed", "api")
        one.write("ada", "bob")
        assert (await one.reloader.reload("file")).outcome == "applied"
        assert one.reloader.successful
        assert [(event["outcome"], event["generation"]) for event in one.events()] == [
            ("failure", 1),
            ("failure", 1),
            ("success", 2),
        ]


async def test_the_file_of_before_is_nothing_to_do(tmp_path: Path) -> None:
    async with house(tmp_path, people("ada")) as one:
        one.put(b"[")
        assert (await one.reloader.reload("file")).outcome == "failed"
        one.write("ada")
        attempt = await one.reloader.reload("file")
        assert (attempt.outcome, attempt.generation, one.reloader.successful) == ("unchanged", 1, True)
        assert [event["outcome"] for event in one.events()] == ["failure"]


@pytest.mark.parametrize("trigger", ["api", "signal"])
async def test_to_ask_for_what_is_in_force(tmp_path: Path, trigger: Any) -> None:
    """No generation, no audit event; it is built anew all the same, and what was applied before is still known."""
    async with house(tmp_path, people("ada")) as one:
        one.write("ada", "bob")
        first = await one.reloader.reload("file")
        before = one.runtime.current
        attempt = await one.reloader.reload(trigger)
        assert (attempt.outcome, attempt.generation, attempt.changes) == ("unchanged", 2, ())
        assert one.reloader.applied is first
        assert one.runtime.current is not before
        assert (one.runtime.current.generation, one.reloader.snapshot.generation) == (2, 2)
        one.write("ada", "eve")
        assert (await one.reloader.reload(trigger)).generation == 3
        assert [event["generation"] for event in one.events()] == [2, 3]


async def test_a_comment_makes_a_generation_of_its_own(tmp_path: Path) -> None:
    async with house(tmp_path, people("ada")) as one:
        one.put(people("ada") + b"\n# a comment\n")
        attempt = await one.reloader.reload("file")
        assert (attempt.outcome, attempt.generation, attempt.changes) == ("applied", 2, ())
        [event] = one.events()
        assert (event["target"], event["reason"]) == ("nothing", "file")


async def test_changed_keys_are_named_and_values_are_not(tmp_path: Path) -> None:
    """DECISIONS 33, 40: one event for an applied generation, never the value of a secret."""
    async with house(tmp_path, people("ada")) as one:
        credentials = {"service": {"role": "system", "user_key": "K", "user_secret": "planted-secret"}}
        one.write("ada", "bob", lockout={"failures": 7}, clearml={"credentials": credentials})
        attempt = await one.reloader.reload("signal")
        assert attempt.outcome == "applied"
        [event] = one.events()
        assert (event["action"], event["outcome"], event["reason"]) == ("configuration.apply", "success", "signal")
        assert {"lockout.failures", "users.bob"} <= set(event["target"].split(", "))
        assert "planted-secret" not in one.audit_file.read_text() + "".join(map(str, attempt.changes))


async def test_more_changes_than_an_event_names(tmp_path: Path) -> None:
    async with house(tmp_path, people("ada")) as one:
        one.write("ada", *(f"user{number}" for number in range(80)))
        assert (await one.reloader.reload("file")).outcome == "applied"
        [event] = one.events()
        assert event["target"].endswith(" and 30 more")


async def test_what_is_asked_for_during_an_attempt_is_one_more(tmp_path: Path) -> None:
    """ops.md 1.2 rule 5; the outcome is that of a run which began after the request."""
    async with house(tmp_path, people("ada")) as one:
        one.write("ada", *(f"user{number}" for number in range(200)))
        first = asyncio.create_task(one.reloader.reload())
        await until(lambda: one.reloader._loading.locked())
        one.write("ada", "new")
        others = [asyncio.create_task(one.reloader.reload()) for _ in range(10)]
        for _ in range(10):
            one.reloader.request("signal")
            one.reloader.request("file")
        attempts = await asyncio.gather(*others)
        assert (await first).generation == 2
        assert {attempt.generation for attempt in attempts} == {3}
        assert one.names == ["ada", "new"]
        assert one.reloader.counts == {("api", "applied"): 2}


# trigger, outcome, how many users are in force after
HASTY = [("signal", "applied", 1), ("api", "applied", 1), ("file", "held", 4)]


@pytest.mark.parametrize(("trigger", "outcome", "left"), HASTY)
async def test_only_automatic_reloads_wait(tmp_path: Path, trigger: Any, outcome: str, left: int) -> None:
    """DECISIONS 25: SIGHUP and POST /admin/reload apply at once."""
    async with house(tmp_path, people("ada", "bob", "eve", "kim")) as one:
        one.write("ada")
        attempt = await one.reloader.reload(trigger)
        assert (attempt.outcome, len(one.names)) == (outcome, left)


async def test_a_great_loss_is_applied_after_a_second_look(tmp_path: Path) -> None:
    async with house(tmp_path, people("ada", "bob", "eve", "kim")) as one:
        one.write("ada")
        held = await one.reloader.reload("file")
        assert held.outcome == "held"
        assert "more than half of users" in one.reloader.status
        assert await one.reloader.reload("file") is held  # a touch does not put it off
        await until(lambda: one.names == ["ada"])
        assert (one.reloader.held, one.reloader.last.outcome) == (None, "applied")
        assert one.reloader.counts == {("file", "held"): 1, ("file", "applied"): 1}


async def test_a_great_loss_that_changes_again_starts_over(tmp_path: Path) -> None:
    async with house(tmp_path, people("ada", "bob", "eve", "kim")) as one:
        one.write("ada")
        await one.reloader.reload("file")
        one.write("bob")  # nobody tells: the second look finds it
        await until(lambda: one.reloader.counts["file", "held"] == 2)
        assert len(one.names) == 4
        await until(lambda: one.names == ["bob"])


async def test_a_great_loss_that_is_taken_back(tmp_path: Path) -> None:
    async with house(tmp_path, people("ada", "bob", "eve", "kim")) as one:
        one.write("ada")
        await one.reloader.reload("file")
        one.write("ada", "bob", "eve", "kim")
        assert (await one.reloader.reload("file")).outcome == "unchanged"
        assert one.reloader.held is None
        await asyncio.sleep(0.5)
        assert one.reloader.counts == {("file", "held"): 1, ("file", "unchanged"): 1}


async def test_a_signal_beats_the_wait(tmp_path: Path) -> None:
    async with house(tmp_path, people("ada", "bob", "eve", "kim")) as one:
        one.write("ada")
        await one.reloader.reload("file")
        one.reloader.request("signal")
        await until(lambda: one.names == ["ada"])
        assert one.reloader.last.trigger == "signal"
        await asyncio.sleep(0.5)
        assert one.reloader.counts["file", "applied"] == 0


WHOLE = {
    ".conf": """{
  login { floor = 0, concurrency = 8 }   # ü
  users = [
    { username = ada, password_hash = "%s" }
    { username = bob, password_hash = "%s", disabled = true }
  ]
  lockout { failures = 7, duration = 15m }
}
""",
    ".toml": """[login]
floor = 0
[[users]]
username = "ada"  # ü
password_hash = "%s"
[[users]]
username = "bob"
password_hash = "%s"
disabled = true
[lockout]
failures = 7
""",
    ".yaml": """login: {floor: 0}
users:
  - username: ada  # ü
    password_hash: "%s"
  - username: bob
    password_hash: "%s"
    disabled: true
lockout:
  failures: 7
""",
}


@pytest.mark.parametrize("suffix", WHOLE)
async def test_a_file_cut_at_every_byte(tmp_path: Path, suffix: str) -> None:
    """Issue 3, acceptance 3; DECISIONS 25: what is left may well be valid, and is never applied by itself."""
    whole = (WHOLE[suffix] % (HASH, HASH)).encode()
    async with house(tmp_path, whole, suffix) as one:
        for length in range(len(whole)):
            one.put(whole[:length])
            attempt = await one.reloader.reload("file")
            assert (attempt.outcome, attempt.generation) == ("held", 1), (length, attempt.problems)
            assert one.reloader.held is not None
            assert one.reloader.held.file == one.file
            assert "looks cut short" in one.reloader.status
        assert one.names == ["ada", "bob"]
        one.put(whole)
        assert (await one.reloader.reload("file")).outcome == "unchanged"
        assert one.reloader.held is None
        one.put(whole.replace(b"bob", b"eve"))
        assert (await one.reloader.reload("file")).outcome == "applied"
        assert one.names == ["ada", "eve"]


async def test_a_cut_file_is_applied_on_demand(tmp_path: Path) -> None:
    whole = b"login: {floor: 0}\nlockout: {failures: 7}\n"
    async with house(tmp_path, whole) as one:
        one.put(whole[:18])
        assert (await one.reloader.reload("file")).outcome == "held"
        assert (await one.reloader.reload("api")).outcome == "applied"
        assert one.reloader.held is None
        assert one.runtime.current.configuration.lockout.failures == 5


async def test_a_missing_file_is_a_failure_that_names_it(tmp_path: Path) -> None:
    async with house(tmp_path, people("ada")) as one:
        one.file.unlink()
        attempt = await one.reloader.reload("file")
        assert attempt.outcome == "failed"
        assert "cannot be read" in str(attempt.problems[0])
        assert one.names == ["ada"]


async def test_a_changed_secret_file_is_a_change(tmp_path: Path) -> None:
    """ops.md 1.2 rule 8: what ``_file`` names is watched like the file itself."""
    secret = tmp_path / "secret"
    secret.write_text("one-secret-of-32-characters-or-so")
    async with house(tmp_path, people("ada", clearml={"token_secret_file": str(secret)})) as one:
        assert secret in one.reloader.snapshot.contents
        secret.write_text("another-secret-of-32-characters")
        attempt = await one.reloader.reload("file")
        assert attempt.outcome == "applied"
        assert [change.path for change in attempt.changes] == ["clearml.token_secret"]


async def test_keys_for_the_next_start(tmp_path: Path) -> None:
    """ops.md 1.2 rule 6: the rest is applied; compared with what the process started with, not with the last reload."""
    async with house(tmp_path, people("ada")) as one:
        one.write("ada", "bob", uvloop=False, listen=["127.0.0.1:9"])
        for outcome in ("applied", "unchanged"):
            assert (await one.reloader.reload()).outcome == outcome
            assert one.reloader.pending_restart == ("listen", "uvloop")
        assert one.names == ["ada", "bob"]
        one.write("ada")
        await one.reloader.reload()
        assert one.reloader.pending_restart == ()


async def test_what_cannot_be_built_leaves_everything_as_it_is(tmp_path: Path) -> None:
    async with house(tmp_path, people("ada")) as one:
        ca = tmp_path / "ca.pem"
        ca.write_text("no certificate")
        server = {"name": "corp", "urls": ["ldaps://127.0.0.1:1"], "search_base_dns": ["dc=x"], "root_ca_cert": str(ca)}
        one.write("ada", "bob", servers=[server])
        before = one.runtime.current
        attempt = await one.reloader.reload("file")
        assert (attempt.outcome, one.runtime.current) == ("failed", before)
        assert "ca.pem" in str(attempt.problems[0])
        assert await one.reloader.reload("file") is attempt


async def test_to_compare_applies_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, people("ada")) as one:
        one.write("ada", "bob")
        other = tmp_path / "other.yaml"
        other.write_bytes(people("ada", uvloop=False))
        assert [change.path for change in (await one.reloader.compare()).changes] == ["users.bob"]
        [change] = (await one.reloader.compare([other])).changes
        assert (change.path, change.restart) == ("uvloop", True)
        other.write_text("[")
        tried = await one.reloader.compare([other])
        assert (tried.snapshot, len(tried.problems)) == (None, 1)
        assert (one.names, one.reloader.counts) == (["ada"], {})


async def test_audit_goes_over_to_another_file(tmp_path: Path) -> None:
    """``audit.to`` needs no restart; one that cannot be opened fails the reload, and the old one goes on."""
    new = tmp_path / "new.json"
    audit = SwitchedAudit(f"file:{tmp_path}/old.json")
    with pytest.raises(OSError):
        async with audit.switching(f"file:{tmp_path}/none/audit.json"):
            raise AssertionError("not reached")
    with pytest.raises(ValueError):
        async with audit.switching(f"file:{new}"):
            raise ValueError
    assert (new.read_text(), audit._to) == ("", f"file:{tmp_path}/old.json")
    async with audit.switching(f"file:{new}"):
        pass
    assert audit._to == f"file:{new}"
    audit.close()


async def test_to_stop_in_the_middle(tmp_path: Path) -> None:
    """Whoever waits is let go; nothing is left behind (pytest turns leaks into errors)."""
    async with house(tmp_path, people("ada")) as one:
        one.write("ada", *(f"user{number}" for number in range(300)))
        waiting = asyncio.create_task(one.reloader.reload())
        await until(lambda: one.reloader._loading.locked())
        later = asyncio.create_task(one.reloader.reload())
        await asyncio.sleep(0)
    for each in (waiting, later):
        with pytest.raises(asyncio.CancelledError):
            await each


async def test_a_store_that_fails_is_asked_again(tmp_path: Path) -> None:
    """No file has to change for that; whoever asks is told."""
    async with house(tmp_path, people("ada")) as one:
        await one.runtime.store.close()
        one.write("ada", "bob")
        for trigger in ("file", "api"):
            attempt = await one.reloader.reload(trigger)  # type: ignore[arg-type]
            assert (attempt.outcome, attempt.digest, one.names) == ("failed", "", ["ada"])
        assert one.reloader._second_look is not None


async def test_reloads_leave_nothing_behind(tmp_path: Path) -> None:
    """Acceptance 2: no task and no descriptor; the interpreter's settings are as they were."""
    settings = (gc.isenabled(), sys.getswitchinterval())
    async with house(tmp_path, people("ada")) as one:
        one.write("ada", "first")
        await one.reloader.reload()
        tasks, descriptors = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
        for number in range(30):
            one.put(people("ada", f"user{number}") if number % 3 else b"[")
            await one.reloader.reload("file" if number % 2 else "api")
        await until(lambda: len(asyncio.all_tasks()) == tasks)
        assert len(os.listdir("/proc/self/fd")) == descriptors
        assert (gc.isenabled(), sys.getswitchinterval()) == settings
