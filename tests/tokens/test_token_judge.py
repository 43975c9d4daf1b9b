"""The judge itself, on rows written by hand from clearml.md 4 and 4.1 (DECISIONS 41), signed by PyJWT."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest

from tests.tokens.token_judge import hardship, refusal

SECRET = "a secret that both of them know, of more than sixty-four octets, for HS512 wants as many"
NOW = 1_795_302_461
IDENTITY = {"user": "3cd2831cdf07aede577ec69d4671c92c", "company": "d1bd92a3b039400cbafc60a7a5b1e52b", "role": "user"}
REAL: dict[str, Any] = {
    "identity": {**IDENTITY, "user_name": "Jane Doe", "company_name": "clearml"},
    "iat": NOW,
    "exp": NOW + 2592000,
    "session_id": "07db05aa6585414d8ab0f5a198e9da43",
    "auth_type": "Bearer",
    "env": "<unknown>",
    "api_version": "2.34",
    "server_version": "2.3.0",
    "server_build": "",
    "feature_set": "vault",
    "tenant": IDENTITY["company"],
}

# claims, algorithm, refusal (clearml.md 4.1)
SERVER_ROWS: list[tuple[dict[str, Any], str, str]] = [
    (REAL, "HS256", ""),
    (REAL, "HS512", ""),
    (REAL, "HS384", "algorithm"),
    ({"identity": IDENTITY}, "HS256", ""),  # no exp, iat, session_id needed
    ({"identity": IDENTITY, "feature_set": "advanced", "tenant": "x", "iss": "x", "jti": "x", "sub": "x"}, "HS256", ""),
    ({"identity": {**IDENTITY, "groups": []}}, "HS256", "identity has groups"),
    ({"identity": {"user": "x", "company": "x"}}, "HS256", "identity lacks role"),
    ({"identity": IDENTITY, "aud": "x"}, "HS256", "aud"),
    ({"identity": IDENTITY, "sub": 5}, "HS256", "sub"),
    ({"identity": IDENTITY, "iat": NOW + 60}, "HS256", "iat in the future"),
    ({"identity": IDENTITY, "nbf": NOW + 60}, "HS256", "nbf in the future"),
    ({"identity": IDENTITY, "exp": NOW - 1}, "HS256", "expired"),
    ({"identity": IDENTITY, "exp": "tomorrow"}, "HS256", "exp is no number"),
    ({}, "HS256", "identity"),
]


@pytest.mark.parametrize(("claims", "algorithm", "expected"), SERVER_ROWS)
def test_the_server(claims: dict[str, Any], algorithm: str, expected: str) -> None:
    token = jwt.api_jws.encode(json.dumps(claims).encode(), SECRET, algorithm)
    assert refusal(token, SECRET.encode(), NOW) == expected


def test_forged() -> None:
    token = jwt.encode(REAL, SECRET, "HS256")
    assert refusal(token, b"another", NOW) == "signature"
    assert refusal(token[:-4] + "AAAA", SECRET.encode(), NOW) == "signature"
    assert refusal("opaque", SECRET.encode(), NOW) == "three parts"
    assert refusal(jwt.encode(REAL, "", "none"), SECRET.encode(), NOW) == "algorithm"


# changes, hardship (clearml.md 4, the table of claims)
SDK_ROWS: list[tuple[dict[str, Any], str]] = [
    ({}, ""),
    ({"feature_set": "foo"}, ""),
    ({"feature_set": "basic"}, "feature_set: no vaults"),
    ({"feature_set": None}, "feature_set: no vaults"),
    ({"api_version": "2.34-rc1"}, "api_version"),
    ({"api_version": None}, "api_version"),
    ({"server_version": None}, "server_version"),
    ({"exp": NOW + 3600}, "exp: a login before every request"),
    ({"exp": None}, ""),
    ({"tenant": None}, "tenant"),
    ({"tenant": "another"}, "tenant"),
]


@pytest.mark.parametrize(("changes", "expected"), SDK_ROWS)
def test_the_sdk(changes: dict[str, Any], expected: str) -> None:
    claims = {key: value for key, value in {**REAL, **changes}.items() if value is not None}
    assert hardship(jwt.encode(claims, SECRET, "HS256"), NOW) == expected
