"""JSON Web Tokens with HS256 and nothing else (RFC 7515, 7519), for ClearML (clearml.md 4).

Written by hand because verification is on the path of every request with a token not seen before: 10 us against 89 of
PyJWT (perf.md D). Reasons of refusal are worded as PyJWT words them, since clients read them in the API's
answer. Stricter than PyJWT, on purpose: a size limit, no padding in segments (RFC 7515 2), no repeated keys
(RFC 7519 4), numeric dates are numbers of whole seconds, and any ``aud`` is refused (clearml.md 4.1).
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any, Final

from gateway.tokens import base64url

MAX_SIZE: Final = 16 * 1024
"""Characters of a token; longer ones are refused before any work."""

BAD_SIGNATURE: Final = "Signature verification failed"
"""The one reason for which another key of the ring may be tried."""

Claims = dict[str, Any]


class InvalidToken(Exception):
    """Why a token is refused, in PyJWT's words; never holds any of the token."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def encode(claims: Mapping[str, Any], secret: bytes) -> str:
    """Sign ``claims``: compact JSON, non-ASCII escaped. ``ValueError`` or ``TypeError`` for what is not JSON."""
    payload = json.dumps(claims, separators=(",", ":"), allow_nan=False).encode()
    signing_input = _HEADER + b"." + base64url.encode(payload)
    return (signing_input + b"." + _sign(signing_input, secret)).decode()


def decode(token: str, secret: bytes, now: int, leeway: int = 0, early: int = 0) -> Claims:
    """The claims of a token signed with ``secret`` and valid at ``now`` (seconds), give or take ``leeway`` seconds.

    It may be issued ``early`` seconds after ``now``, or ``leeway`` where that is more. ``InvalidToken`` otherwise. What
    the claims mean is the caller's to check.
    """
    if len(token) > MAX_SIZE:
        raise InvalidToken("Token is too long")
    try:
        signing_input, signature = token.encode("ascii").rsplit(b".", 1)
        header, payload = signing_input.split(b".", 1)
    except UnicodeEncodeError:
        raise InvalidToken("Token must be ASCII") from None
    except ValueError:
        raise InvalidToken("Not enough segments") from None
    fields = None if header == _HEADER else _parse(_unpad(header, "header"), "header")
    body = _unpad(payload, "payload")
    _unpad(signature, "crypto")
    if fields is not None:
        _check_header(fields)
    if not hmac.compare_digest(_sign(signing_input, secret), signature):
        raise InvalidToken(BAD_SIGNATURE)
    claims = _parse(body, "payload")
    _check_claims(claims, now, leeway, max(leeway, early))
    return claims


def unverified_claims(token: str) -> Claims | None:
    """The payload of what looks like a JWT, for recognising whose it is. Never trust it. None: not a JWT."""
    parts = token.split(".") if len(token) <= MAX_SIZE and token.isascii() else ()
    if len(parts) != 3:
        return None
    try:
        return _parse(_unpad(parts[1].encode(), "payload"), "payload")
    except InvalidToken:
        return None


_HEADER: Final = base64url.encode(b'{"alg":"HS256","typ":"JWT"}')


def _sign(signing_input: bytes, secret: bytes) -> bytes:
    return base64url.encode(hmac.digest(secret, signing_input, "sha256"))


def _unpad(segment: bytes, name: str) -> bytes:
    try:
        return base64url.decode(segment)
    except ValueError:
        raise InvalidToken(f"Invalid {name} padding") from None


def _parse(content: bytes, name: str) -> Claims:
    try:
        parsed = _DECODER.decode(content.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidToken(f"Invalid {name} string: {error}") from None
    if not isinstance(parsed, dict):
        raise InvalidToken(f"Invalid {name} string: must be a json object")
    return parsed


def _unique(pairs: list[tuple[str, Any]]) -> Claims:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("repeated key")
    return found


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique)


def _check_header(header: Claims) -> None:
    if not isinstance(header.get("kid", ""), str):
        raise InvalidToken("Key ID header parameter must be a string")
    if "crit" in header:
        raise InvalidToken(_critical(header["crit"]))
    if "alg" not in header:
        raise InvalidToken("Algorithm not specified")
    if header["alg"] != "HS256":
        raise InvalidToken("The specified alg value is not allowed")
    if header.get("b64", True) is False:
        raise InvalidToken("The 'b64' header parameter requires 'b64' to be listed in 'crit'.")


def _critical(extensions: object) -> str:
    """Why a ``crit`` is refused: no extension is understood here (RFC 7515 4.1.11)."""
    if not isinstance(extensions, list) or not extensions:
        return "Invalid 'crit' header: must be a non-empty list"
    if not isinstance(extensions[0], str):
        return "Invalid 'crit' header: values must be strings"
    return "Unsupported critical extension"


def _check_claims(claims: Claims, now: int, leeway: int, early: int) -> None:
    if "iat" in claims and _date(claims["iat"], "Issued At claim (iat)") > now + early:
        raise InvalidToken("The token is not yet valid (iat)")
    if "nbf" in claims and _date(claims["nbf"], "Not Before claim (nbf)") > now + leeway:
        raise InvalidToken("The token is not yet valid (nbf)")
    if "exp" in claims and _date(claims["exp"], "Expiration Time claim (exp)") <= now - leeway:
        raise InvalidToken("Signature has expired")
    if "aud" in claims:
        raise InvalidToken("Invalid audience")
    if not isinstance(claims.get("sub", ""), str):
        raise InvalidToken("Subject must be a string")
    if not isinstance(claims.get("jti", ""), str):
        raise InvalidToken("JWT ID must be a string")


def _date(value: object, claim: str) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise InvalidToken(f"{claim} must be an integer.")
