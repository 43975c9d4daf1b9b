"""Opaque tokens and the recognition of forms (configuration.md 3)."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tokens import jwt, opaque
from gateway.tokens.opaque import Form

FORMS = tomllib.loads(Path(__file__).with_name("opaque_forms.toml").read_text())["form"]


@pytest.mark.parametrize("row", FORMS, ids=lambda row: row["what"])
def test_form_of(row: dict[str, str]) -> None:
    assert opaque.form_of(row["presented"]) is Form(row["form"])


def test_our_own_tokens_are_recognised() -> None:
    assert opaque.form_of(opaque.mint(opaque.PERSONAL_PREFIX)) is Form.PERSONAL
    assert opaque.form_of(opaque.mint("hvs.")) is Form.VAULT_SERVICE
    assert opaque.form_of(opaque.mint()) is Form.FOREIGN
    assert opaque.form_of(jwt.encode({"session_id": "0" * 32}, b"any")) is Form.CLEARML
    assert opaque.form_of(jwt.encode({"session_id": 5}, b"any")) is Form.FOREIGN
    assert opaque.form_of(jwt.encode({"sub": "x"}, b"any")) is Form.FOREIGN


@pytest.mark.parametrize("size", [opaque.MAX_SIZE, opaque.MAX_SIZE + 1, 10**7])
def test_bombs_are_foreign(size: int) -> None:
    for presented in ("[" * size, "e30." * (size // 4), "W1tb" * (size // 4), "lgp_" + "x" * size, "." * size):
        assert opaque.form_of(presented) in (Form.FOREIGN, Form.PERSONAL)
    assert opaque.form_of("lgp_" + "x" * opaque.MAX_SIZE) is Form.FOREIGN


@given(st.text(max_size=60) | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*", fullmatch=True))
def test_any_text_has_a_form(presented: str) -> None:
    assert isinstance(opaque.form_of(presented), Form)
    assert len(opaque.digest(presented)) == 32


def test_minted_tokens() -> None:
    minted = {opaque.mint("hvs.") for _ in range(1000)}
    assert len(minted) == 1000
    assert all(re.fullmatch(r"hvs\.[A-Za-z0-9_-]{43}", token) for token in minted)
    accessors = {opaque.mint_accessor() for _ in range(1000)}
    assert len(accessors) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9]{24}", accessor) for accessor in accessors)


def test_digest_is_sha256_of_the_text() -> None:
    assert opaque.digest("lgp_ü") == hashlib.sha256("lgp_ü".encode()).digest()
    assert len(opaque.digest("\ud800")) == 32


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("EXAMPLEKEY0123456789ABCDEFGHIJ", True),
        ("0" * 30, True),
        ("A" * 29, False),
        ("A" * 31, False),
        ("A" * 29 + "a", False),
        ("A" * 29 + "É", False),
        ("A" * 29 + "٣", False),
        ("A" * 30 + "\n", False),
        ("", False),
    ],
)
def test_is_access_key(text: str, is_one: bool) -> None:
    """configuration.md 3, DECISIONS 14."""
    assert opaque.is_access_key(text) is is_one
