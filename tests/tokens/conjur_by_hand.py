"""Conjur's tokens made with arithmetic alone, from conjur.md 6.1 and 6.2. It shares no code with the gateway."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

SALT = bytes(range(32))
KNOWN_KEY = """
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAsYV7400XuPWdO2k0c8Og1CLlq86KkpRDnTHA0NhEuTRO1aGjXvNgrTufZPpe+0uceboqSE7Vhf8BIYyi
DBJSS+OaiOSGlbALcK80KthzHoQynj15iPgQdw/4g3H/XXIBh5wtJJGFpZNJAVf8KUN2BcjWcg/G8sKvEb2xfzILBEpxMYg2PKbk/vn7LaRfQrYuPg+c9v8Gdazi
TZ+iYQKz2Hwq5nhpU2rajTZy9REkhPOgbhujrC612aMIgsG1dr+PpQrX3T+TzXbm2V5PsWNLKrZjsDq4Ps+mitKuUE1ICXCkvVajVao/Zxz929nqJoa723oUWWuD
mEJ1Mo9pkOVzcwIDAQAB"""
KNOWN_FINGERPRINT = "1cbd21f726e4cd9cee1575473cf60cb6d59de1e031fd00384a3aadf33ad5953a"
KNOWN_V5 = {
    "protected": "eyJhbGciOiJjb25qdXIub3JnL3Nsb3NpbG8vdjIiLCJraWQiOiIxY2JkMjFmNzI2ZTRjZDljZWUxNTc1NDczY2Y2MGNiNmQ1OWRlMWUwMzFmZDAwMzg0YTNhYWRmMzNhZDU5NTNhIn0=",
    "payload": "eyJpYXQiOjE3NTAwMDAwMDAsImV4cCI6MTc1MDAwMDQ4MCwic3ViIjoibmluYSJ9",
    "signature": "IlnUEZ5nwb7Vy9dRdP027bsJJfKW0zdNM1WuN8CPLFuvv0gWGyrAqNXj1td52P65EYKQwX1gxOtbL4OfOmaMioP_7hKlB-HQS04JcST4cVPFdgc6emedgLMvwNOtptvs0Mj2SRzXY6QaBndq7YiRk1qUFzKaJAqXu8uZEOFrnjAV0obtCbKsGq17Fbb0bRWiCUpaL68JUSirgt8vhBsaIKsCR1qIJhjrzPAZyaqyfZqPmdu9hJlF6diD28TpX3OCes6CMYs3pFf41cHSULoQHQaHxGLbkMUnruELQMU8flqm5C7tE6dXjaOrSJD-UfxXwg7NgfGHfs0_amI9sSeQywcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH",
}
KNOWN_V4 = {
    "data": "nina",
    "timestamp": "2025-06-15 15:06:40 UTC",
    "signature": "FEMa1pmbipjcOrbBpc8O2V3tRhVR3hdsZNNIdyvlxgZ-yIIdLvWIkAk7aVLi98blBvlqy1PC7HerlW4QkyVj0PnoPyI8xH7I3F3SJj9qwBhgZPSJJ45S1BUJxVg131T6I5Zfl-ZfCzOi4hHLUoOkLsR08Rz9jksEVS9PaEmOAn-1SXYccQPHVlw67IuKOIrRRNTGeQzuyGpsGXIDXPqOvi3npM0Lf_1t8HPIbsl7e4mOCELHqJ_kWdLKgiHpiyTRcjeeCSGebAOJnuVoEJ076qp95UDz-ghkr1gYEKtLRLSfuEbtEIhwIQ3oTQdp3wzRrQ-goNS8kGLMHxPFlzDBeAkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ",
    "key": KNOWN_FINGERPRINT,
}
"""The vectors of 6.3, good at 1750000100."""


def base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode()


def fingerprint(key: RSAPrivateKey) -> str:
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(key.public_key().public_bytes(*form)).hexdigest()


def signature(key: RSAPrivateKey, text: bytes, salt: bytes = SALT) -> str:
    """EM = 00 01 FF...FF 00 digest, EM^d mod n (6.1)."""
    numbers = key.private_numbers()
    size = (key.key_size + 7) // 8
    digest = hashlib.sha256(salt + text).digest()
    message = b"\x00\x01" + b"\xff" * (size - 35) + b"\x00" + digest
    signed = pow(int.from_bytes(message, "big"), numbers.d, numbers.public_numbers.n)
    return base64url(signed.to_bytes(size, "big") + salt)


def header_of(kid: str, alg: str = "conjur.org/slosilo/v2") -> str:
    return json.dumps({"alg": alg, "kid": kid}, separators=(",", ":"))


def signed_v5(key: RSAPrivateKey, payload: str | bytes, header: str | None = None, salt: bytes = SALT) -> dict[str, Any]:
    """A token of any payload and header."""
    header = header_of(fingerprint(key)) if header is None else header
    content = payload.encode() if isinstance(payload, str) else payload
    protected, body = base64url(header.encode()), base64url(content)
    return {"protected": protected, "payload": body, "signature": signature(key, f"{protected}.{body}".encode(), salt)}


def signed_v4(key: RSAPrivateKey, login: str, timestamp: str, salt: bytes = SALT) -> dict[str, Any]:
    text = json.dumps([["data", login], ["timestamp", timestamp]], separators=(",", ":"), ensure_ascii=False)
    signed = signature(key, text.encode(), salt)
    return {"data": login, "timestamp": timestamp, "signature": signed, "key": fingerprint(key)}
