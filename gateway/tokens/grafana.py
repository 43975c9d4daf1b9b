"""Signed tokens for Grafana: who somebody is, and their role in each organisation (grafana.md 5; RFC 7515, 7519).

Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from gateway.grants.organisations import Organisations
from gateway.identity import Identity
from gateway.tokens.base64url import encode

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_P256_OCTETS: Final = 32
"""Of each half of a signature (RFC 7518 3.4), and of a coordinate (RFC 7518 6.2.1.2)."""


class Signer:
    """A private key that signs tokens."""

    def __init__(self, private: bytes, public: bytes) -> None:
        """``private``: PKCS #8, ``public``: SubjectPublicKeyInfo, both DER. ValueError where they are neither."""
        # Whether an RSA key is sound was checked when it was made, and takes 30 ms; since then it was sealed.
        key = load_der_private_key(private, None, unsafe_skip_rsa_key_validation=True)
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise ValueError("expected a P-256 or RSA key")
        self._key: PrivateKey = key
        self.jwk = jwk(public)
        """Of the public half, as the key set has it."""
        self.key_id: str = self.jwk["kid"]
        header = {"alg": self.jwk["alg"], "kid": self.key_id, "typ": "JWT"}
        self._header = encode(_compact(header))

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A token. ES256 takes some 30 us, RS256 250."""
        signed = self._header + b"." + encode(_compact(claims))
        return (signed + b"." + encode(self._signature(signed))).decode("ascii")

    def _signature(self, signed: bytes) -> bytes:
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(signed, PKCS1v15(), SHA256())
        halves = decode_dss_signature(self._key.sign(signed, ec.ECDSA(SHA256())))
        return b"".join(half.to_bytes(_P256_OCTETS) for half in halves)


def jwk(public: bytes) -> dict[str, str]:
    """A public key (SubjectPublicKeyInfo, DER) for a key set (RFC 7517, RFC 7518 6).

    ``kid`` is its thumbprint (RFC 7638). ValueError for other keys than P-256 and RSA.
    """
    key = load_der_public_key(public)
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        point = key.public_numbers()
        x, y = (encode(number.to_bytes(_P256_OCTETS)).decode() for number in (point.x, point.y))
        required, algorithm = {"crv": "P-256", "kty": "EC", "x": x, "y": y}, "ES256"
    elif isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        n, e = (encode(number.to_bytes((number.bit_length() + 7) // 8)).decode() for number in (numbers.n, numbers.e))
        required, algorithm = {"e": e, "kty": "RSA", "n": n}, "RS256"
    else:
        raise ValueError("expected a P-256 or RSA key")
    digest = Hash(SHA256())
    digest.update(_compact(required))  # RFC 7638 3: the required members, in the order of their names
    return {**required, "alg": algorithm, "use": "sig", "kid": encode(digest.finalize()).decode()}


def claims_of(identity: Identity, organisations: Organisations) -> dict[str, str | Sequence[str]]:
    """What a token says of somebody, whenever it is made."""
    account = identity.account
    return {
        "sub": account.username,
        "login": account.username,
        "email": account.email,
        "name": account.name,
        **organisations.claims(identity),
    }


def _compact(value: Mapping[str, Any]) -> bytes:
    """JSON in as few octets as there are: a header has little room."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return json.dumps(value, separators=(",", ":")).encode()
