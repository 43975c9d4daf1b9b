"""Sealed values: AES-256-GCM under a key derived from ``tokens.master_key`` (DECISIONS 19).

Table and row id are associated data, so a value moved to another row does not open. A sealed value is one byte of
format (1), a random 96-bit nonce (NIST SP 800-38D 8.2.2), the ciphertext and its 128-bit tag.
"""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.store import files
from gateway.store.interface import StoreError

MASTER_KEY_LENGTH: Final = 32
MASTER_KEY_FILE: Final = "master.key"
_FORMAT: Final = b"\x01"
_NONCE_LENGTH: Final = 12
_TAG_LENGTH: Final = 16
_ENCODED_LIMIT: Final = 256


class SealBroken(StoreError):
    """A sealed value does not open: another master key, another row, or changed bytes."""


class MasterKeyError(StoreError):
    """The master key cannot be had. The text says what to do and never holds the key."""


class Sealer:
    """Seals and opens values of the store with one master key of 32 bytes."""

    __slots__ = ("_cipher", "_master_key")

    def __init__(self, master_key: bytes) -> None:
        if len(master_key) != MASTER_KEY_LENGTH:
            raise MasterKeyError(f"a master key has {MASTER_KEY_LENGTH} bytes, this one {len(master_key)}")
        self._master_key = master_key
        self._cipher = AESGCM(self.derive("store sealing 1"))

    def derive(self, purpose: str) -> bytes:
        """A key of 32 bytes for one purpose, from which neither the master key nor that of another purpose follows
        (RFC 5869)."""
        info = f"ldap-gateway {purpose}".encode()
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(self._master_key)

    def seal(self, plaintext: bytes, table: str, row_id: str) -> bytes:
        """Encrypt for one row of one table; 29 bytes longer than ``plaintext``."""
        nonce = os.urandom(_NONCE_LENGTH)
        return _FORMAT + nonce + self._cipher.encrypt(nonce, plaintext, _associated(table, row_id))

    def open(self, sealed: bytes, table: str, row_id: str) -> bytes:
        """The plaintext; ``SealBroken`` when key, row or bytes differ."""
        nonce, ciphertext = sealed[1 : 1 + _NONCE_LENGTH], sealed[1 + _NONCE_LENGTH :]
        if sealed[:1] == _FORMAT and len(ciphertext) >= _TAG_LENGTH:
            try:
                return self._cipher.decrypt(nonce, ciphertext, _associated(table, row_id))
            except InvalidTag:
                pass
        raise SealBroken(f"a sealed value in table {table} does not open with this master key")


def load_master_key(state_dir: Path, given: str | None) -> bytes:
    """The 32 bytes of ``tokens.master_key``, else of ``state_dir/master.key``, which is made at the first start.

    The file holds what ``tokens.master_key`` would: base64. Several processes starting at once end with one key.
    ``MasterKeyError`` names the setting or the file, never the content.
    """
    if given is not None:
        return _decode(given, "tokens.master_key")
    path = state_dir / MASTER_KEY_FILE
    try:
        if not path.exists():
            _make(path)
        return _decode(_read_private(path), str(path))
    except OSError as error:
        where = error.filename or path
        raise MasterKeyError(f"cannot use the master key file {path}: {where}: {error.strerror}") from None


def _make(path: Path) -> None:
    files.make_private_directory(path.parent)
    with files.locked(path.parent):
        if not path.exists():
            files.write_atomically(path, base64.b64encode(os.urandom(MASTER_KEY_LENGTH)) + b"\n")


def _read_private(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not hang the start
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise MasterKeyError(f"the master key {path} is not a regular file")
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise MasterKeyError(
                f"the master key {path} has mode {mode:04o}, so others may have read it: run chmod 600 {path}, "
                f"and if they may have, replace it"
            )
        return file.read(_ENCODED_LIMIT).decode("latin-1")


def _decode(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except ValueError:  # binascii.Error, and text that is not ASCII
        key = b""
    if len(key) != MASTER_KEY_LENGTH:
        raise MasterKeyError(
            f"{where} is not base64 of exactly {MASTER_KEY_LENGTH} bytes; make one with: openssl rand -base64 32"
        )
    return key


def _associated(table: str, row_id: str) -> bytes:
    return f"{table}\0{row_id}".encode()
