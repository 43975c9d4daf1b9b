"""What an attack on reloads found, each as it was mended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import pytest

from gateway.config.load import ConfigurationError, load
from gateway.config.schema import QUICKSTART_HASH
from gateway.store.interface import SettingChange
from gateway.store.sealing import Sealer, load_master_key
from gateway.store.sqlite import SqliteStore
from tests.admin_client import by_socket
from tests.daemon import running
from tests.test_reloader import HASH, house, people


async def test_to_forget_a_value_applies_no_held_file(tmp_path: Path) -> None:
    """DECISIONS 25: only a signal and POST /admin/reload override a hold."""
    whole = b"login: {floor: 0}\nlockout: {failures: 7}\nadmins: ['user:x']\n"
    async with house(tmp_path, whole) as one:
        store = one.runtime.store
        await store.layer_write([SettingChange(("lockout", "window"), 60)], 0, at=1, by="test")
        assert (await one.reloader.reload()).outcome == "applied"
        one.put(whole[:45])
        assert (await one.reloader.reload("file")).outcome == "held"
        await store.layer_write([SettingChange(("lockout", "window"), forget=True)], 1, at=2, by="test")
        attempt = await one.reloader.reload("stored")
        assert (attempt.outcome, one.runtime.current.configuration.admins) == ("held", ("user:x",))
        one.put(whole)
        assert (await one.reloader.reload("file")).outcome == "applied", "the stored value is gone all the same"
        assert one.runtime.current.configuration.lockout.window == 900


async def test_the_listener_in_force_is_what_counts(tmp_path: Path) -> None:
    """DECISIONS 27: the quickstart's password is refused while the open listener can be reached from elsewhere."""
    content = {"login": {"floor": 0}, "listen": ["0.0.0.0:0"], "trusted_proxies": ["10.0.0.0/8"]}
    async with house(tmp_path, json.dumps(content).encode()) as one:
        ada = {"username": "ada", "password_hash": QUICKSTART_HASH}
        one.put(json.dumps(content | {"listen": ["127.0.0.1:8008"], "users": [ada]}).encode())
        attempt = await one.reloader.reload()
        assert attempt.outcome == "failed"
        assert "refused while listening on 0.0.0.0:0 (that is in force until a restart: listen)" in str(attempt.problems)
        one.put(json.dumps(content | {"listen": ["127.0.0.1:8008"]}).encode())
        assert (await one.reloader.reload()).outcome == "applied"
        current = one.runtime.current.configuration
        assert [str(address) for address in current.listen] == ["0.0.0.0:0"]
        assert current.public_url == "http://localhost", "of the listener that is open, whose port the system chose"
        assert one.reloader.pending_restart == ("listen",)


@pytest.mark.parametrize("key", ["root_ca_cert", "client_cert"])
def test_a_fifo_as_certificate_is_an_error(tmp_path: Path, key: str) -> None:
    """Nobody writes to it: whoever opened it to read would wait for ever."""
    os.mkfifo(tmp_path / "x.pem")
    server = {"name": "a", "host": "h", "search_base_dns": ["dc=x"], "use_ssl": True, key: "x.pem"}
    if key == "client_cert":
        server["client_key"] = "x.pem"
    (tmp_path / "a.json").write_text(json.dumps({"servers": [server]}))
    with pytest.raises(ConfigurationError, match="not a regular file"):
        load([tmp_path / "a.json"], {}, working_directory=tmp_path)


def store_value(directory: Path, *path: str, value: object) -> None:
    """What an API will write, put into the store of a daemon that is not running."""

    async def write() -> None:
        state = directory / "state"
        store = SqliteStore.open(state / "gateway.db", synchronous="full", sealer=Sealer(load_master_key(state, None)))
        try:
            await store.migrate()
            layer = await store.layer()
            await store.layer_write([SettingChange(path, value)], layer.generation, at=int(time.time()), by="test")
        finally:
            await store.close()

    asyncio.run(write())


def file_of(directory: Path, **more: object) -> Path:
    file = directory / "gateway.json"
    users = [{"username": "ada", "password_hash": HASH}]
    server = {"name": "corp", "host": "127.0.0.1", "port": 9}
    file.write_text(json.dumps({"login": {"floor": 0}, "users": users, "servers": [server], **more}))
    return file


def test_what_is_stored_completes_the_file_at_start(tmp_path: Path) -> None:
    """DESIGN 4.5, one pipeline: what a reload accepts the next start accepts too."""
    file = file_of(tmp_path)
    (tmp_path / "state").mkdir(mode=0o700)
    store_value(tmp_path, "servers", "corp", "search_base_dns", value=["dc=x"])
    with running(tmp_path, files=[file]) as daemon:
        status = by_socket(tmp_path, "/admin/reload", "POST")
        assert status.json["outcome"] == "unchanged", status.body
        forgotten = by_socket(tmp_path, "/admin/config/forget", "POST", {"key": "servers.corp"})
        assert forgotten.status == 422, "the file cannot do without it, so it stays"
        assert forgotten.json["errors"][0]["path"] == "servers.corp.search_base_dns"
        assert by_socket(tmp_path, "/admin/reload", "POST").json["outcome"] == "unchanged"
        assert daemon.login("ada", "lovelace").status == 200


def test_a_name_with_a_dot_is_not_forgotten_with_another(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_bytes(people("ada", "ada.smith"))
    (tmp_path / "state").mkdir(mode=0o700)
    store_value(tmp_path, "users", "ada", "name", value="Ada")
    store_value(tmp_path, "users", "ada.smith", "disabled", value=True)
    with running(tmp_path, files=[file]) as daemon:
        assert daemon.login("ada.smith", "lovelace").status == 401
        done = by_socket(tmp_path, "/admin/config/forget", "POST", {"key": "users.ada"})
        assert done.json["forgotten"] == ["users.ada.name"]
        assert daemon.login("ada.smith", "lovelace").status == 401


def test_logs_are_rotated_without_a_reload(tmp_path: Path) -> None:
    """SIGUSR1 opens the audit file anew; SIGHUP would apply what is held, too."""
    file, audit = tmp_path / "gateway.yaml", tmp_path / "audit.json"
    file.write_bytes(people("ada", audit={"to": f"file:{audit}"}, lockout={"failures": 7}))
    with running(tmp_path, files=[file]) as daemon:
        audit.rename(tmp_path / "audit.1")
        file.write_bytes(people("ada", audit={"to": f"file:{audit}"}, lockout={"failures": 8}))
        daemon.signal(signal.SIGUSR1)
        deadline = time.monotonic() + 10
        while not audit.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.1, 0.15])
def test_a_sighup_behind_a_sigterm_is_nothing(tmp_path: Path, delay: float) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_bytes(people("ada"))
    with running(tmp_path, files=[file]) as daemon:
        daemon.signal(signal.SIGTERM)
        time.sleep(delay)
        daemon.signal(signal.SIGHUP)
