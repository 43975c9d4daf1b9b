"""What APIs write of the configuration: durable, in force, one at a time (DECISIONS 22, 24)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.config.load import Snapshot
from gateway.directory.realm import Outcome
from gateway.gate import AttemptGate, Turns
from gateway.settings import NotWritten, changes_to, new_settings, with_changes
from gateway.store.interface import Layer, SettingChange
from gateway.store.sealing import Sealer, load_master_key
from gateway.store.sqlite import SqliteStore
from tests.config.conftest import certificate  # noqa: F401 - a fixture
from tests.test_reloader import House, house, people

CORP = {"corp": {"url": "ldap://127.0.0.1:1", "userdn": "dc=x", "vault": {"groups": {"declared": ["a"]}}}}
GROUPS = ("servers", "corp", "vault", "groups")


def content(**more: Any) -> bytes:
    return people("ada", servers=CORP, **more)


async def write(one: House, values: dict[tuple[str, ...], object], by: str = "test") -> Snapshot:
    def plan(snapshot: Snapshot, layer: Layer) -> Sequence[SettingChange]:
        return changes_to(values, snapshot, layer)

    return await one.runtime.current.write(plan, by)


def groups(one: House) -> dict[str, list[str]]:
    given = one.runtime.current.configuration.servers[0].vault.groups
    return {name: list(policies) for name, policies in given.items()}


async def test_written_and_in_force_and_kept(tmp_path: Path) -> None:
    async with house(tmp_path, content(), ".json") as one:
        pool = one.runtime.current.servers[0].pool
        await write(one, {(*GROUPS, "ops"): ["b"]}, by="corp/ada")
        assert groups(one) == {"declared": ["a"], "ops": ["b"]}
        assert one.runtime.current.servers[0].pool is pool
        assert str(one.reloader.snapshot.origin("servers.corp.vault.groups.ops")) == "stored by corp/ada"
        assert (one.reloader.applied.trigger, one.reloader.applied.outcome) == ("stored", "applied")
        # Neither the watcher nor a reload finds anything new.
        assert (await one.reloader.reload("file")) is one.reloader.last
        assert (await one.reloader.reload()).outcome == "unchanged"
    async with house(tmp_path, content(), ".json") as one:
        await one.reloader.reload()  # a start without what is stored, as the daemon's own is not
        assert groups(one) == {"declared": ["a"], "ops": ["b"]}


async def test_a_removal_hides_what_a_file_says(tmp_path: Path) -> None:
    async with house(tmp_path, content(), ".json") as one:
        await write(one, {(*GROUPS, "ops"): ["b"]})
        await write(one, {(*GROUPS, "ops"): None, (*GROUPS, "declared"): None})
        assert groups(one) == {}
        stored = (await one.runtime.store.layer()).settings
        assert [(setting.path, setting.value) for setting in stored] == [((*GROUPS, "declared"), None)]


async def test_nothing_new_is_not_written(tmp_path: Path) -> None:
    async with house(tmp_path, content(), ".json") as one:
        await write(one, {(*GROUPS, "ops"): ["b"]})
        before = one.reloader.snapshot
        assert await write(one, {(*GROUPS, "ops"): ["b"], (*GROUPS, "nobody"): None}) is before
        assert (await one.runtime.store.layer()).generation == 1


async def test_what_cannot_be_used_changes_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, content(), ".json") as one:
        before = one.reloader.snapshot
        with pytest.raises(NotWritten, match=r"servers\.corp\.upn_domain: expected a domain"):
            await write(one, {(*GROUPS, "ops"): ["b"], ("servers", "corp", "upn_domain"): "a b"})
        assert one.reloader.snapshot is before
        assert (await one.runtime.store.layer()).settings == ()


async def test_a_broken_file_is_neither_in_the_way_nor_applied(tmp_path: Path) -> None:
    async with house(tmp_path, content(), ".json") as one:
        one.put(b'{"lockuot": {}}')
        failed = await one.reloader.reload("file")
        await write(one, {(*GROUPS, "ops"): ["b"]})
        assert groups(one) == {"declared": ["a"], "ops": ["b"]}
        assert (one.reloader.last, one.reloader.successful) == (failed, False)
        assert await one.reloader.reload("file") is failed
        one.put(content(lockout={"failures": 9}))
        assert (await one.reloader.reload("file")).outcome == "applied"
        assert one.runtime.current.configuration.lockout.failures == 9
        assert groups(one) == {"declared": ["a"], "ops": ["b"]}


async def test_a_changed_file_is_not_applied_by_a_write(tmp_path: Path) -> None:
    """Nor is it forgotten."""
    async with house(tmp_path, content(), ".json") as one:
        one.put(content(lockout={"failures": 9}))
        await write(one, {(*GROUPS, "ops"): ["b"]})
        assert one.runtime.current.configuration.lockout.failures == 5
        assert (await one.reloader.reload("file")).outcome == "applied"
        assert one.runtime.current.configuration.lockout.failures == 9


async def test_certificates_are_not_read_again(tmp_path: Path, certificate: Path) -> None:  # noqa: F811
    file = tmp_path / "ca.pem"
    file.write_bytes(certificate.read_bytes())
    servers = {"corp": {**CORP["corp"], "starttls": True, "root_ca_cert": [str(file)]}}
    async with house(tmp_path, people("ada", servers=servers), ".json") as one:
        file.write_text("broken")
        await write(one, {(*GROUPS, "ops"): ["b"]})
        assert groups(one)["ops"] == ["b"]


async def test_many_writers(tmp_path: Path) -> None:
    """Each sees what the others have written before it."""
    async with house(tmp_path, content(), ".json") as one:
        def grow(snapshot: Snapshot, _: Layer) -> list[SettingChange]:
            known = snapshot.configuration.servers[0].vault.groups.get("ops", ())
            return [SettingChange((*GROUPS, "ops"), [*known, f"p{len(known)}"])]

        await asyncio.gather(*(one.runtime.current.write(grow, "test") for _ in range(12)))
        assert groups(one)["ops"] == [f"p{number}" for number in range(12)]


async def test_two_processes(tmp_path: Path) -> None:
    """A write that another process was faster than is made anew, on what that one wrote."""
    async with house(tmp_path, content(), ".json") as one:
        sealer = Sealer(load_master_key(tmp_path / "state", None))
        other = SqliteStore.open(tmp_path / "state" / "gateway.db", sealer=sealer)
        rounds = 0
        try:
            loop = asyncio.get_running_loop()

            def plan(_: Snapshot, layer: Layer) -> list[SettingChange]:
                nonlocal rounds
                rounds += 1
                if rounds == 1:
                    changes = [SettingChange((*GROUPS, "theirs"), ["x"])]
                    writing = other.layer_write(changes, layer.generation, at=1, by="other")
                    asyncio.run_coroutine_threadsafe(writing, loop).result(10)
                return [SettingChange((*GROUPS, "ours"), ["y"])]

            await one.runtime.current.write(plan, "test")
        finally:
            await other.close()
        assert rounds == 2
        assert groups(one) == {"declared": ["a"], "theirs": ["x"], "ours": ["y"]}


async def test_who_gives_up_waiting_does_not_undo_it(tmp_path: Path) -> None:
    async with house(tmp_path, content(), ".json") as one:
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def plan(_: Snapshot, __: Layer) -> list[SettingChange]:
            loop.call_soon_threadsafe(begun.set)
            return [SettingChange((*GROUPS, "ops"), ["b"])]

        waiting = asyncio.ensure_future(one.runtime.current.write(plan, "test"))
        await begun.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await write(one, {(*GROUPS, "next"): ["c"]})
        assert groups(one) == {"declared": ["a"], "ops": ["b"], "next": ["c"]}


@pytest.mark.parametrize("key", ["search_filter", "group_search_filter"])
async def test_an_unusable_filter_fails_the_logins_of_its_server(tmp_path: Path, key: str) -> None:
    """DECISIONS 24; where nobody is searched, ``search_filter`` is not looked at (vault.md 4.2)."""
    async with house(tmp_path, content(), ".json") as one:
        await write(one, {("servers", "corp", key): "((memberUid={{.Username}}))"})
        await write(one, {("servers", "corp", "discover_dn"): True})
        live = one.runtime.current
        gate = AttemptGate(live.store, Turns(), live.configuration.lockout, "bob", None)
        async with gate:
            verdict = await live.servers[0].authenticate("bob", "secret", gate)
        assert verdict.outcome is Outcome.ERROR
        assert verdict.reason.startswith(f"{key} cannot be used: nothing to compare")
        # A file with such a filter is refused all the same.
        broken = json.loads(content())
        broken["servers"]["corp"][key] = "((x=y))"
        one.put(json.dumps(broken).encode())
        await write(one, {("servers", "corp", key): None})
        assert (await one.reloader.reload("file")).outcome == "failed"


def test_secrets_are_sealed_by_their_key(tmp_path: Path) -> None:
    layer = Layer(0, ())
    snapshot = Snapshot.__new__(Snapshot)
    made = changes_to({("servers", "x", "bind_password"): "pw", ("servers", "x", "bind_dn"): "cn=a"}, snapshot, layer)
    assert [change.secret for change in made] == [True, False]
    after = with_changes(layer, made, 1, "me")
    assert [(setting.path[-1], setting.secret) for setting in after.settings] == [("bind_dn", False), ("bind_password", True)]
    assert new_settings(made, after) == []
    assert new_settings([SettingChange(("servers", "x", "bind_dn"), forget=True)], layer) == []
