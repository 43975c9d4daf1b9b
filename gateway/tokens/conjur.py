"""Tokens of the Conjur dialect: signed and verified exactly as Conjur's slosilo does (conjur.md 6.1, 6.2). Pure.

Slosilo signs with RSA, PKCS #1 v1.5 padding (RFC 8017 9.2) around the bare SHA-256 digest without its DigestInfo, of a
salt and the text; the salt follows the signature. Its own salts are random, those of this gateway tell whose a token is
(``conjur_salts.py``). Stricter than slosilo on purpose: size limits, no repeated or unknown members, strict base64 in
the members, whole numbers, no token of the future.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any, Final, Literal, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

Version = Literal["v4", "v5"]
PublicKeys = Mapping[str, RSAPublicKey]
"""By fingerprint."""
Salt = Callable[[bytes], bytes]
"""From the text that is to be signed to 32 bytes."""

ALGORITHM: Final = "conjur.org/slosilo/v2"
LIFETIME: Final = 480
"""Seconds for which a token counts that does not say."""
MAX_LIFETIME: Final = 5 * 3600
"""Seconds that a token may count."""
MAX_SIZE: Final = 16 * 1024
"""Characters of a token, encoded or not; longer ones are refused before any work."""
MIN_BITS: Final = 2048
CLOCK_SKEW: Final = 30
"""Seconds by which a token may be of the future: this machine's clock, or another's, was set back, or it was issued in
the second of a revocation (``Identity.issue_time``)."""
_SALT: Final = 32
_LATEST: Final = 1 << 53
_TIMESTAMP: Final = "%Y-%m-%d %H:%M:%S UTC"
_TIMESTAMP_FORM: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", re.ASCII)
_V5_MEMBERS: Final = {"protected", "payload", "signature"}
_V4_MEMBERS: Final = {"data", "timestamp", "signature", "key"}


class InvalidConjurToken(Exception):
    """Why a token is refused: not signed with a key of ours, or not as one of ours is. Never holds any of the token."""


class MalformedConjurToken(InvalidConjurToken):
    """It cannot be read as a token at all."""


class ExpiredConjurToken(InvalidConjurToken):
    """It is one of ours, and has ended."""


class UnusableKey(ValueError):
    """A text is no RSA key that could sign. The text says why and holds nothing of the key."""


@dataclass(frozen=True, slots=True)
class ConjurToken:
    """What a token that verified says."""

    login: str
    issued_at: int
    expires_at: int
    cidrs: tuple[str, ...]
    """Networks from which it may be used, each one readable; empty: from anywhere."""
    identity_id: str
    """``jti``; empty in v4, and where another program signed it with the same key."""
    version: Version
    text: bytes = field(default=b"", repr=False, compare=False)
    """What was signed, after the salt."""
    salt: bytes = field(default=b"", repr=False, compare=False)


def random_salt(_: bytes) -> bytes:
    """As slosilo makes them."""
    return os.urandom(_SALT)


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key that signs."""

    key: RSAPrivateKey = field(repr=False)
    fingerprint: str
    """Hexadecimal SHA-256 of the public half's SubjectPublicKeyInfo in DER: the key's ``kid``."""

    @classmethod
    def load(cls, private: bytes, *, own: bool = False) -> Self:
        """From PEM or DER. The numbers of an ``own`` key, one that was made here, need no check, which takes 30 ms.

        :raises UnusableKey: it is no RSA key of at least 2048 bits without a passphrase.
        """
        load = load_pem_private_key if private.lstrip().startswith(b"-----") else load_der_private_key
        try:
            key = load(private, password=None, unsafe_skip_rsa_key_validation=own)
        except TypeError:
            raise UnusableKey("is encrypted: give the key without a passphrase") from None
        except (ValueError, UnsupportedAlgorithm):
            raise UnusableKey("is no private key that can be read: an RSA key in PEM is needed") from None
        if not isinstance(key, RSAPrivateKey):
            raise UnusableKey("is no RSA key, which Conjur's tokens are signed with")
        if key.key_size < MIN_BITS:
            raise UnusableKey(f"is an RSA key of {key.key_size} bits: at least {MIN_BITS} are needed")
        return cls(key, fingerprint(key.public_key()))

    @property
    def key_id(self) -> str:
        """``kid`` in its tokens."""
        return self.fingerprint

    @property
    def public_key(self) -> RSAPublicKey:
        """What verifies."""
        return self.key.public_key()

    @property
    def public_pem(self) -> str:
        """The public half, for services that verify on their own."""
        return self.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def sign_v5(
        self, login: str, issued_at: int, lifetime: int, cidrs: Sequence[str] = (), identity_id: str = "",
        salt: Salt = random_salt,
    ) -> str:  # fmt: skip
        """The JSON text of a token; takes a millisecond, so not for the event loop. ``lifetime`` is in seconds."""
        claims: dict[str, object] = {"iat": issued_at, "exp": issued_at + lifetime, "sub": login}
        if cidrs:
            claims["cidr"] = list(cidrs)
        if identity_id:
            claims["jti"] = identity_id
        protected, payload = _member({"alg": ALGORITHM, "kid": self.fingerprint}), _member(claims)
        signature = self._sign(f"{protected}.{payload}".encode(), salt)
        return _compact({"protected": protected, "payload": payload, "signature": signature})

    def sign_v4(self, login: str, issued_at: int, salt: Salt = random_salt) -> str:
        """As ``sign_v5``, in the form of Conjur 4."""
        timestamp = datetime.fromtimestamp(issued_at, UTC).strftime(_TIMESTAMP)
        signature = self._sign(_v4_text(login, timestamp), salt)
        return _compact({"data": login, "timestamp": timestamp, "signature": signature, "key": self.fingerprint})

    def _sign(self, text: bytes, salt: Salt) -> str:
        salted = salt(text)
        signature = self.key.sign(_digest(salted, text), PKCS1v15(), NoDigestInfo())
        return urlsafe_b64encode(signature + salted).decode()


def fingerprint(key: RSAPublicKey) -> str:
    """The name of a key: hexadecimal SHA-256 of its SubjectPublicKeyInfo in DER."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def decode(encoded: str) -> str:
    """The JSON text of a token as it comes in a header: base64 of either alphabet, padded (conjur.md 2.3).

    :raises MalformedConjurToken: it is too long, no base64, or no UTF-8.
    """
    if len(encoded) > MAX_SIZE:
        raise MalformedConjurToken("the token is too long")
    standard = encoded.replace("-", "+").replace("_", "/")
    try:
        content = b64decode(standard, validate=True)
        if b64encode(content).decode() == standard:
            return content.decode()
    except ValueError:
        pass
    raise MalformedConjurToken("the token is no base64 of a text")


def verify(text: str, keys: PublicKeys, now: int, lifetime: int = LIFETIME) -> ConjurToken:
    """Read the JSON text of a token of v4 or v5 that one of ``keys`` has signed and that counts at ``now``.

    One of v4, which does not say, counts ``LIFETIME`` seconds, or ``lifetime`` where that is less (conjur.md 6.2).
    Whom it was made for is told by its salt, which is handed out. Cheap enough for the event loop.

    :raises MalformedConjurToken: it is no token.
    :raises ExpiredConjurToken: the signature is good, and the time is over.
    :raises InvalidConjurToken: for any other reason.
    """
    if len(text) > MAX_SIZE:
        raise MalformedConjurToken("the token is too long")
    members = _object(text)
    if not all(isinstance(value, str) for value in members.values()):
        raise MalformedConjurToken("a member of the token is no text")
    if members.keys() == _V5_MEMBERS:
        token = _verified_v5(members, keys)
    elif members.keys() == _V4_MEMBERS:
        token = _verified_v4(members, keys, lifetime)
    else:
        raise MalformedConjurToken("the token has not the members of one")
    if token.issued_at > now + CLOCK_SKEW:
        raise InvalidConjurToken("the token is of the future")
    if now >= token.expires_at:
        raise ExpiredConjurToken("the token has expired")
    return token


def _verified_v5(members: Mapping[str, str], keys: PublicKeys) -> ConjurToken:
    header, claims = _object(_content(members["protected"])), _object(_content(members["payload"]))
    if header.keys() != {"alg", "kid"} or header["alg"] != ALGORITHM:
        raise InvalidConjurToken("the token is signed by another algorithm")
    signed = f"{members['protected']}.{members['payload']}".encode()
    salt = _check(members["signature"], signed, header["kid"], keys)
    return _of_claims(claims, signed, salt)


def _verified_v4(members: Mapping[str, str], keys: PublicKeys, lifetime: int) -> ConjurToken:
    signed = _v4_text(members["data"], members["timestamp"])
    salt = _check(members["signature"], signed, members["key"], keys)
    issued_at = _seconds(members["timestamp"])
    return ConjurToken(members["data"], issued_at, issued_at + min(lifetime, LIFETIME), (), "", "v4", signed, salt)


def _check(signature: str, text: bytes, key_id: object, keys: PublicKeys) -> bytes:
    """The salt of a signature that is good."""
    key = keys.get(key_id) if isinstance(key_id, str) else None
    if key is None:
        raise InvalidConjurToken("the token is signed with another's key")
    content = _bytes(signature)
    if len(content) != (key.key_size + 7) // 8 + _SALT:
        raise InvalidConjurToken("the signature has another length")
    try:
        signed = key.recover_data_from_signature(content[:-_SALT], PKCS1v15(), NoDigestInfo())
    except InvalidSignature:
        signed = b""
    if signed != _digest(content[-_SALT:], text):
        raise InvalidConjurToken("the signature is wrong")
    return content[-_SALT:]


def _of_claims(claims: Mapping[str, Any], signed: bytes, salt: bytes) -> ConjurToken:
    issued_at = _whole(claims.get("iat"))
    expires_at = _whole(claims.get("exp", issued_at + LIFETIME))
    login, identity_id, cidrs = claims.get("sub"), claims.get("jti", ""), claims.get("cidr", [])
    if not isinstance(login, str) or not login or not isinstance(identity_id, str):
        raise InvalidConjurToken("sub or jti is no text")
    if not 0 <= expires_at - issued_at <= MAX_LIFETIME:
        raise InvalidConjurToken("the token counts for too long, or ends before it begins")
    if not isinstance(cidrs, list) or not all(map(_is_network, cidrs)):
        raise InvalidConjurToken("cidr is no list of networks")
    return ConjurToken(login, issued_at, expires_at, tuple(cidrs), identity_id, "v5", signed, salt)


def _is_network(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(ip_network(value))
    except ValueError:
        return False


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _LATEST:
        raise InvalidConjurToken("a time is no whole number of seconds")
    return value


def _seconds(timestamp: str) -> int:
    try:
        if _TIMESTAMP_FORM.fullmatch(timestamp):
            return _whole(int(datetime.strptime(timestamp, _TIMESTAMP).replace(tzinfo=UTC).timestamp()))
    except ValueError:
        pass  # such as the 31st of June
    raise InvalidConjurToken("the timestamp is no time")


def _digest(salt: bytes, text: bytes) -> bytes:
    return hashlib.sha256(salt + text).digest()


def _v4_text(login: str, timestamp: str) -> bytes:
    pairs = [["data", login], ["timestamp", timestamp]]
    return json.dumps(pairs, separators=(",", ":"), ensure_ascii=False).encode()


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


_ESCAPES: Final = {ord(letter): f"\\u{ord(letter):04x}" for letter in "~?>\x7f"}
"""Of ASCII, these alone can become ``-`` or ``_``, which two clients cannot read (conjur.md 6.1)."""


def _member(value: object) -> str:
    return urlsafe_b64encode(_compact(value).translate(_ESCAPES).encode()).decode()


def _bytes(member: str) -> bytes:
    """Decode base64url with padding; encoding it again tells stray characters and stray bits."""
    try:
        content = urlsafe_b64decode(member)
        if urlsafe_b64encode(content).decode() == member:
            return content
    except ValueError:
        pass
    raise MalformedConjurToken("a member of the token is no base64url with padding")


def _content(member: str) -> str:
    try:
        return _bytes(member).decode()
    except UnicodeDecodeError:
        raise MalformedConjurToken("a member of the token is no UTF-8") from None


def _object(text: str) -> dict[str, Any]:
    """A JSON object that can be written as UTF-8 again: JSON can spell halves of surrogate pairs."""
    try:
        value = _DECODER.decode(text)
        _compact_utf8(value)
    except (ValueError, RecursionError):
        raise MalformedConjurToken("the token, or a member of it, is no JSON") from None
    if not isinstance(value, dict):
        raise MalformedConjurToken("the token, or a member of it, is no JSON object")
    return value


def _compact_utf8(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("repeated member")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
