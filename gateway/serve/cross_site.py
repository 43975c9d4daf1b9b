"""Requests that a browser sends because another site asked it to (DECISIONS 29, forward-auth.md 9).

Only what is authenticated by a cookie alone is at risk: no other site can make a browser send our Authorization header.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def may_change_state(method: str, headers: Mapping[str, str], own_origins: Collection[str]) -> bool:
    """Say whether a request with nothing but a cookie may change state.

    Never by GET or HEAD; else when the browser says it comes from our own pages, or its Origin is one of ours.
    """
    if method in SAFE_METHODS:
        return False
    if headers.get("Sec-Fetch-Site", "") in ("same-origin", "none"):
        return True
    return headers.get("Origin", "") in own_origins


def comes_from_elsewhere(headers: Mapping[str, str], own_origins: Collection[str]) -> bool:
    """Say whether a browser tells that another site made it send the request; programs tell nothing."""
    if headers.get("Sec-Fetch-Site", "") in ("cross-site", "same-site"):
        return True
    return headers.get("Origin", "") not in ("", *own_origins)


def cors_headers(method: str, headers: Mapping[str, str], origins: Collection[str]) -> dict[str, str]:
    """Headers that let the pages of ``origins`` read our answers, with credentials; nothing for other origins."""
    origin = headers.get("Origin", "")
    if origin not in origins:
        return {}
    answer = {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Vary": "Origin",
    }
    if method == "OPTIONS":
        answer["Access-Control-Allow-Methods"] = "GET, POST, PUT, DELETE, HEAD, OPTIONS"
        if requested := headers.get("Access-Control-Request-Headers", ""):
            answer["Access-Control-Allow-Headers"] = requested
    return answer
