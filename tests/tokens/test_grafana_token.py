"""Tokens for Grafana, read by two libraries that are not ours (grafana.md 5; RFC 7515, 7517, 7518, 7638)."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc import jwk as joserfc_jwk
from joserfc import jws

from gateway.config.schema import Configuration
from gateway.grants.organisations import Organisations
from gateway.identity import Account, Grant, Identity
from gateway.tokens.grafana import Signer, claims_of, jwk
from gateway.tokens.keys import Algorithm, new_pair

CLAIMS = {"sub": "björk", "aud": "grafana", "iat": 1, "orgs": ["o1_Admin"], "name": "Björk \u2028 \"=\r\n"}


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_two_libraries_read_it(algorithm: Algorithm) -> None:
    pair = await new_pair("jwks", algorithm, 0)
    signer = Signer(pair.private, pair.public)
    public = json.loads(json.dumps(signer.jwk))
    for _ in range(30):  # r and s of an ECDSA signature are short now and then
        token = signer.sign(CLAIMS)
        key = pyjwt.PyJWK(public)
        assert pyjwt.decode(token, key.key, algorithms=[algorithm], audience="grafana") == CLAIMS
        read = jws.deserialize_compact(token, joserfc_jwk.JWKRegistry.import_key(public), algorithms=[algorithm])
        assert json.loads(read.payload) == CLAIMS
        assert read.headers() == {"alg": algorithm, "kid": signer.key_id, "typ": "JWT"}
    assert "=" not in token


NAMES = ["Björk Ü", "Zoë 東京 𝄞", "half \ud800 of a pair"]


@pytest.mark.parametrize("name", NAMES, ids=["Latin", "beyond", "half"])
async def test_names_in_as_few_octets_as_there_are(name: str) -> None:
    """5: a header has little room; RFC 7519 3: UTF-8."""
    pair = await new_pair("jwks", "ES256", 0)
    payload = Signer(pair.private, pair.public).sign({"name": name}).split(".")[1]
    octets = base64.urlsafe_b64decode(payload + "==")
    assert json.loads(octets) == {"name": name}
    assert octets.decode() == f'{{"name":"{name}"}}' or "\ud800" in name


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_a_published_key(algorithm: Algorithm) -> None:
    """RFC 7638 3, and nothing private."""
    pair = await new_pair("jwks", algorithm, 0)
    public: Any = jwk(pair.public)
    assert public["kid"] == joserfc_jwk.JWKRegistry.import_key(dict(public)).thumbprint()
    assert (public["alg"], public["use"]) == (algorithm, "sig")
    assert not public.keys() & {"d", "p", "q", "dp", "dq", "qi", "k"}
    assert pair.private not in repr(pair).encode("latin-1", "replace")


def test_the_vector_of_rfc_7638() -> None:
    """Section 3.1: the thumbprint of an RSA key."""
    given = {
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
    }
    der = pyjwt.PyJWK(given, algorithm="RS256").key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert jwk(der)["kid"] == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_a_coordinate_keeps_its_leading_zeros() -> None:
    """RFC 7518 6.2.1.2: always 32 octets. The point of this key has a short x."""
    scalar = next(number for number in range(1, 5000) if _point(number).x >> 248 == 0)
    key = ec.derive_private_key(scalar, ec.SECP256R1())
    public = jwk(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    assert len(base64.urlsafe_b64decode(public["x"] + "=")) == 32
    assert pyjwt.PyJWK(public).key.public_numbers() == _point(scalar)


def _point(scalar: int) -> ec.EllipticCurvePublicNumbers:
    return ec.derive_private_key(scalar, ec.SECP256R1()).public_key().public_numbers()


def test_other_keys_are_refused() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ValueError, match="P-256 or RSA"):
        jwk(public)
    with pytest.raises(ValueError, match="P-256 or RSA"):
        Signer(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), public)


def test_claims() -> None:
    """5: sub, login, email and name are strings whatever is known; orgs is an array."""
    organisations = Organisations(Configuration())
    account = Account("corp", "x", "nina", "", "nina@harbor.example")
    identity = Identity("0" * 32, "u", account, Grant("c", "clearml", org_roles={1: "Editor", 2: "Admin"}), 0)
    assert claims_of(identity, organisations) == {
        "sub": "nina", "login": "nina", "email": "nina@harbor.example", "name": "", "orgs": ["o1_Editor", "o2_Admin"],
    }  # fmt: skip
