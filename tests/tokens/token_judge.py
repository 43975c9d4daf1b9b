"""What an open-source ClearML API server and the SDK say to a token (clearml.md 4, 4.1), in code of its own.

    refusal(token, secret, now)     why the server refuses it, empty where it accepts
    hardship(token, now)            why the SDK cannot work with it, empty where it can
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

ALGORITHMS = {"HS256": hashlib.sha256, "HS512": hashlib.sha512}
REQUIRED = {"user", "company", "role"}
KNOWN = REQUIRED | {"user_name", "company_name"}
RENEWAL = 12 * 3600
"""An agent renews a token with less left, before every request."""


def part(text: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def refusal(token: str, secret: bytes, now: int) -> str:
    parts = token.split(".")
    if len(parts) != 3:
        return "three parts"
    algorithm = ALGORITHMS.get(part(parts[0]).get("alg"))
    if algorithm is None:
        return "algorithm"
    signature = hmac.new(secret, ".".join(parts[:2]).encode(), algorithm).digest()
    if base64.urlsafe_b64encode(signature).decode().rstrip("=") != parts[2]:
        return "signature"
    claims = part(parts[1])
    return _of_identity(claims.get("identity")) or _of_dates(claims, now) or _of_others(claims)


def _of_identity(identity: object) -> str:
    if not isinstance(identity, dict):
        return "identity"
    if missing := REQUIRED - identity.keys():
        return f"identity lacks {min(missing)}"
    return f"identity has {min(extra)}" if (extra := identity.keys() - KNOWN) else ""


def _of_dates(claims: dict[str, Any], now: int) -> str:
    for name in ("exp", "iat", "nbf"):
        value = claims.get(name, now)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"{name} is no number"
        if name != "exp" and value > now:
            return f"{name} in the future"
    return "expired" if claims.get("exp", now + 1) <= now else ""


def _of_others(claims: dict[str, Any]) -> str:
    if "aud" in claims:
        return "aud"
    return "" if isinstance(claims.get("sub", ""), str) else "sub"


def hardship(token: str, now: int) -> str:
    claims = part(token.split(".")[1])
    for name in ("api_version", "server_version"):
        if not all(number.isdecimal() for number in claims.get(name, "x").split(".")):
            return name
    if claims.get("feature_set", "") in ("", "basic"):
        return "feature_set: no vaults"
    if "exp" in claims and claims["exp"] - now < RENEWAL:
        return "exp: a login before every request"
    return "" if claims.get("tenant") == claims["identity"]["company"] else "tenant"
