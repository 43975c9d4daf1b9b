"""Sealed values and the master key (DECISIONS 19)."""

from __future__ import annotations

import base64
import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.sealing import MasterKeyError, SealBroken, Sealer, load_master_key

KEY = bytes(range(32))
PLANTED = b"planted-secret"


@given(plaintext=st.binary(max_size=300), table=st.text(max_size=9), row_id=st.text(max_size=9))
def test_what_is_sealed_opens(plaintext: bytes, table: str, row_id: str) -> None:
    sealed = Sealer(KEY).seal(plaintext, table, row_id)
    assert Sealer(KEY).open(sealed, table, row_id) == plaintext
    assert len(sealed) == len(plaintext) + 29
    assert Sealer(KEY).seal(plaintext, table, row_id) != sealed


@pytest.mark.parametrize(
    ("key", "table", "row_id"),
    [
        (KEY, "signing_keys", "b"),
        (KEY, "vaults", "a"),
        (KEY, "signing_key", "sa"),
        (bytes(32), "signing_keys", "a"),
    ],
)
def test_another_row_table_or_key_does_not_open(key: bytes, table: str, row_id: str) -> None:
    sealed = Sealer(KEY).seal(PLANTED, "signing_keys", "a")
    with pytest.raises(SealBroken) as caught:
        Sealer(key).open(sealed, table, row_id)
    assert "planted" not in repr(caught.value)
    assert caught.value.__cause__ is None


@given(st.data())
def test_any_changed_byte_or_length_does_not_open(data: st.DataObject) -> None:
    sealed = Sealer(KEY).seal(PLANTED, "t", "r")
    place = data.draw(st.integers(0, len(sealed) - 1))
    bit = data.draw(st.integers(0, 7))
    flipped = sealed[:place] + bytes([sealed[place] ^ 1 << bit]) + sealed[place + 1 :]
    for broken in (flipped, sealed[:place], sealed + b"\0"):
        with pytest.raises(SealBroken):
            Sealer(KEY).open(broken, "t", "r")


def test_key_is_derived_and_does_not_show() -> None:
    sealer = Sealer(KEY)
    assert KEY.hex() not in repr(sealer)
    with pytest.raises(MasterKeyError, match="has 32 bytes, this one 31"):
        Sealer(KEY[:31])


def test_key_is_made_once_and_private(tmp_path: Path) -> None:
    state_dir = tmp_path / "a" / "state"
    key = load_master_key(state_dir, None)
    file = state_dir / "master.key"
    assert len(key) == 32
    assert load_master_key(state_dir, None) == key
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(state_dir.stat().st_mode) == 0o700
    assert list(state_dir.iterdir()) == [file]
    assert load_master_key(tmp_path, file.read_text()) == key, "the file holds what tokens.master_key would"


def test_threads_starting_at_once_get_one_key(tmp_path: Path) -> None:
    keys: list[bytes] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        keys.append(load_master_key(tmp_path / "state", None))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


def test_a_crash_before_the_key_was_whole_leaves_no_key(tmp_path: Path) -> None:
    (tmp_path / "master.key.new").write_bytes(b"half")
    (tmp_path / "master.key.new").chmod(0o644)
    assert len(load_master_key(tmp_path, None)) == 32
    assert [file.name for file in tmp_path.iterdir()] == ["master.key"]
    assert stat.S_IMODE((tmp_path / "master.key").stat().st_mode) == 0o600


def test_a_given_key_wins_and_touches_no_file(tmp_path: Path) -> None:
    given_key = base64.b64encode(KEY).decode()
    assert load_master_key(tmp_path / "none", f" {given_key}\n") == KEY
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "text",
    [
        "", "planted", "planted!" * 8, "plänted", "\ud800", KEY.hex(),
        base64.b64encode(KEY[:31]).decode(), base64.b64encode(KEY * 2).decode(),
    ],
)  # fmt: skip
def test_an_unusable_given_key_is_named_and_not_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(MasterKeyError, match=r"tokens\.master_key is not base64 of exactly 32 bytes") as caught:
        load_master_key(tmp_path, text)
    assert "pl" not in str(caught.value).replace("openssl", "")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("content", [b"", b"planted", bytes(range(224, 256)), base64.b64encode(KEY) * 9, b"\0" * 10**6])
def test_an_unusable_key_file_is_named_and_left_alone(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "master.key"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(MasterKeyError, match="is not base64 of exactly 32 bytes") as caught:
        load_master_key(tmp_path, None)
    assert str(file) in str(caught.value)
    assert "planted" not in str(caught.value)
    assert file.read_bytes() == content


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o610])
def test_a_key_others_can_read_is_refused_with_advice(tmp_path: Path, mode: int) -> None:
    load_master_key(tmp_path, None)
    file = tmp_path / "master.key"
    file.chmod(mode)
    with pytest.raises(MasterKeyError, match=f"has mode {mode:04o}.*chmod 600 {file}"):
        load_master_key(tmp_path, None)


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "master.key", 0o600)
    with pytest.raises(MasterKeyError, match="is not a regular file"):
        load_master_key(tmp_path, None)
    (tmp_path / "file").write_text("")
    with pytest.raises(MasterKeyError, match="cannot use the master key file"):
        load_master_key(tmp_path / "file", None)
    (tmp_path / "dir" / "master.key").mkdir(parents=True)
    with pytest.raises(MasterKeyError, match=r"is not a regular file|directory"):
        load_master_key(tmp_path / "dir", None)
