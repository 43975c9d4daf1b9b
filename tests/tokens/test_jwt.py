"""HS256 tokens, judged beside PyJWT (clearml.md 4, RFC 7515, RFC 7519, RFC 8725)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import tomllib
from pathlib import Path
from typing import Any

import jwt as pyjwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tokens import jwt
from gateway.tokens.jwt import InvalidToken

SECRET = b"planted-secret-of-more-than-thirty-two-bytes"
ROWS = tomllib.loads(Path(__file__).with_name("jwt_rows.toml").read_text())["row"]
STRICTER = (
    "Token is too long", "Token must be ASCII", "Invalid header string: repeated key",
    "Invalid payload string: repeated key", "Invalid audience", "Unsupported critical extension",
)  # fmt: skip


def segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def sign(header: str, payload: str, secret: bytes = SECRET) -> str:
    """A token made without the code under test."""
    signing_input = f"{segment(header.encode())}.{segment(payload.encode())}"
    return f"{signing_input}.{segment(hmac.new(secret, signing_input.encode(), hashlib.sha256).digest())}"


def build(row: dict[str, str], now: int) -> str:
    places = {"{now}": str(now), "{past}": str(now - 3600), "{future}": str(now + 3600), "{digits}": "9" * 5000}
    payload = row.get("payload", '{"exp":{future}}')
    for place, value in places.items():
        payload = payload.replace(place, value)
    signature = row.get("signature", "right")
    secret = b"another key of more than thirty-two bytes" if signature == "other key" else SECRET
    token = sign(row.get("header", '{"alg":"HS256","typ":"JWT"}'), payload, secret)
    if not signature:
        token = token.rpartition(".")[0] + "."
    if "token" in row:
        parts = dict(zip(("{h}", "{p}", "{s}"), token.split("."), strict=True))
        token = row["token"]
        for place, value in parts.items():
            token = token.replace(place, value)
    return token


def ours(token: str, now: int) -> str | dict[str, Any]:
    try:
        return jwt.decode(token, SECRET, now)
    except InvalidToken as error:
        assert str(error) == error.reason
        assert error.__cause__ is None
        assert "planted" not in error.reason
        return error.reason


def theirs(token: str) -> str | dict[str, Any]:
    try:
        return pyjwt.decode(token, SECRET, algorithms=["HS256"])
    except pyjwt.InvalidTokenError as error:
        return str(error)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["what"])
def test_row(row: dict[str, str]) -> None:
    now = int(time.time())
    token = build(row, now)
    answer, reference = ours(token, now), theirs(token)
    assert answer == row["reason"] if "reason" in row else isinstance(answer, dict)
    expected = row.get("pyjwt", answer)
    assert isinstance(reference, dict) if expected == "accepts" else reference == expected


def test_encode_is_what_pyjwt_makes() -> None:
    claims = {"identity": {"user_name": "Zoë \U0001f600 \u2028 </script>"}, "iat": 5, "exp": 2**40, "x": None, "f": 1.5}
    token = jwt.encode(claims, SECRET)
    assert token == pyjwt.encode(claims, SECRET, algorithm="HS256")
    assert base64.urlsafe_b64decode(token.split(".")[0] + "=") == b'{"alg":"HS256","typ":"JWT"}'
    assert jwt.decode(token, SECRET, 5) == claims


@pytest.mark.parametrize("claims", [{"x": float("nan")}, {"x": b""}, {"x": {1, 2}}])
def test_what_is_not_json_is_not_signed(claims: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        jwt.encode(claims, SECRET)


def test_a_clock_that_was_set_back() -> None:
    """``early`` is for the time of issue alone."""
    token = jwt.encode({"iat": 100, "exp": 200}, SECRET)
    assert jwt.decode(token, SECRET, 70, early=30)
    for now, reason in ((69, "The token is not yet valid (iat)"), (200, "Signature has expired")):
        with pytest.raises(InvalidToken) as caught:
            jwt.decode(token, SECRET, now, early=30)
        assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("claims", "now", "leeway", "reason"),
    [
        ({"exp": 100}, 99, 0, None),
        ({"exp": 100}, 100, 0, "Signature has expired"),
        ({"exp": 100}, 104, 5, None),
        ({"exp": 100}, 105, 5, "Signature has expired"),
        ({"iat": 100}, 100, 0, None),
        ({"iat": 100}, 99, 0, "The token is not yet valid (iat)"),
        ({"iat": 100}, 95, 5, None),
        ({"iat": 100}, 94, 5, "The token is not yet valid (iat)"),
        ({"nbf": 100}, 100, 0, None),
        ({"nbf": 100}, 99, 0, "The token is not yet valid (nbf)"),
        ({"nbf": 100}, 95, 5, None),
    ],
)
def test_times(claims: dict[str, int], now: int, leeway: int, reason: str | None) -> None:
    """RFC 7519 4.1.4 to 4.1.6; the leeway is for clock skew only."""
    token = jwt.encode(claims, SECRET)
    if reason is None:
        assert jwt.decode(token, SECRET, now, leeway) == claims
    else:
        with pytest.raises(InvalidToken) as caught:
            jwt.decode(token, SECRET, now, leeway)
        assert caught.value.reason == reason


@pytest.mark.parametrize("opening", ["[", '{"a":', "[[", '{"alg":"HS256","x":['])
@pytest.mark.parametrize("count", [900, 3000, 100_000])
def test_nesting_bombs_are_refused(opening: str, count: int) -> None:
    for token in (sign(opening * count, "{}"), sign('{"alg":"HS256","typ":"JWT"}', opening * count), opening * count):
        assert isinstance(ours(token, 0), str)


def test_size_is_limited_before_any_work() -> None:
    claims = {"x": "a" * jwt.MAX_SIZE}
    assert ours(jwt.encode(claims, SECRET), 0) == "Token is too long"
    assert ours("." * 10**7, 0) == "Token is too long"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
# Two seconds from now are left out: PyJWT reads its own clock.
dates = st.integers(-(10**12), 10**12).filter(lambda at: abs(at - time.time()) > 100)
claim_sets = st.fixed_dictionaries(
    {}, optional={
        "exp": dates | json_values, "iat": dates | json_values, "nbf": dates | json_values, "aud": json_values,
        "sub": json_values, "jti": json_values, "x": json_values,
    },
)  # fmt: skip
algorithms = st.sampled_from(["HS256", "none", "HS512", "RS256", ""]) | json_values
headers = st.fixed_dictionaries(
    {}, optional={"alg": algorithms, "typ": json_values, "kid": json_values, "crit": json_values, "x": json_values}
)


def assert_same(token: str) -> None:
    answer, reference = ours(token, int(time.time())), theirs(token)
    if answer in STRICTER or (isinstance(answer, str) and answer.endswith("must be an integer.")):
        return
    if isinstance(answer, dict):
        assert json.dumps(answer) == json.dumps(reference)
    elif isinstance(reference, str) and " string: " in answer:
        # PyJWT guesses the encoding where the octets begin like UTF-16; what it says then is of the guess.
        assert answer.partition(": ")[0] == reference.partition(": ")[0]
    else:
        assert answer == reference


@given(claim_sets)
def test_signed_claims_are_judged_as_pyjwt_judges(claims: dict[str, Any]) -> None:
    assert_same(sign('{"alg":"HS256","typ":"JWT"}', json.dumps(claims)))


@given(headers)
def test_headers_are_judged_as_pyjwt_judges(header: dict[str, Any]) -> None:
    assert_same(sign(json.dumps(header), "{}"))


@given(st.data())
def test_changed_tokens_are_judged_as_pyjwt_judges(data: st.DataObject) -> None:
    token = sign('{"alg":"HS256","typ":"JWT"}', '{"identity":{"user":"u"},"session_id":"07db05aa"}')
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(token)))
        end = start + data.draw(st.integers(0, 4))
        token = token[:start] + data.draw(st.text("Aa0-_.+/!{\u00e9", max_size=4)) + token[end:]
    assert_same(token)


@given(st.text(max_size=80) | st.from_regex(r"[A-Za-z0-9_-]{0,30}(\.[A-Za-z0-9_-]{0,30}){0,4}", fullmatch=True))
def test_any_text_is_refused_quietly(token: str) -> None:
    assert isinstance(ours(token, 0), str)


@given(json_values)
def test_encoded_claims_come_back(value: Any) -> None:
    try:
        token = jwt.encode({"x": value}, SECRET)
    except ValueError:
        return
    assert jwt.decode(token, SECRET, 0) == {"x": value}


def test_a_verified_token_has_one_spelling() -> None:
    """No other text may pass as the same token, or a cache by hash would see two."""
    token = sign('{"alg":"HS256","typ":"JWT"}', "{}")
    for other in (token + "=", token + "A", token[:-1], token + "\n", " " + token, token.replace(".", "=.", 1)):
        assert isinstance(ours(other, 0), str), other
    last = {token[:-1] + character for character in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"}
    assert [text for text in last if isinstance(ours(text, 0), dict)] == [token]
