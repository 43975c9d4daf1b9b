"""Parameters of a call: the JSON body, overlaid by the query string, overlaid by form fields (clearml.md 2)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl

from gateway.serve.body import UnusableJson, parse_json
from gateway.serve.clearml import errors

MAX_FIELDS: Final = 1000
OWN_FIELDS: Final = 10
"""Fields of a call that there is room for besides one list of ``http.max_json_items`` items."""
MAX_PART_HEADER: Final = 1024
"""Bytes of a form part's header that are looked at."""
_BOUNDARY: Final = re.compile(r'boundary="?([^\s";,]{1,70})')
_FIELD_NAME: Final = re.compile(rb'form-data;[^\r\n]*?\bname="([^"\r\n]{0,256})"', re.IGNORECASE)
_INTEGER: Final = re.compile(r"\d{1,18}", re.ASCII)
_FLOAT: Final = re.compile(r"\d{1,18}\.\d{1,18}", re.ASCII)
_BOOLEANS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_FORM: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"


def parameters(query: str, body: bytes, content_type: str, *, max_depth: int, max_items: int) -> dict[str, Any]:
    """Collect the parameters of one request.

    The body is taken as JSON whatever its content type, so that ``curl -d '{...}'`` works; only when it is none and
    the type is a form's, as a form. Raises ApiError 400/0 for malformed text and 400/12 for JSON that is no object.
    """
    collected: dict[str, Any] = {}
    form: list[tuple[str, str]] = []
    kind = content_type.partition(";")[0].strip().lower()
    if body.strip():
        try:
            value = parse_json(body, max_depth=max_depth, max_items=max_items + OWN_FIELDS)
        except UnusableJson:
            if kind not in (_FORM, _MULTIPART):
                raise errors.malformed_body() from None
            form = _multipart(body, content_type) if kind == _MULTIPART else _pairs(body.decode("utf-8", "replace"))
        else:
            if value is not None and not isinstance(value, dict):
                raise errors.validation("the request body must be a JSON object")
            collected.update(value or {})
    if query:
        collected.update(_fold(_pairs_of_query(query)))
    collected.update(_fold(form))
    return collected


@lru_cache(maxsize=256)
def _pairs_of_query(query: str) -> tuple[tuple[str, str], ...]:
    """SDKs ask with the same few queries for ever."""
    return tuple(_pairs(query))


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise errors.malformed_body() from None


def _multipart(body: bytes, content_type: str) -> list[tuple[str, str]]:
    """Fields of a form (RFC 7578): flat parts with short headers. The standard library's reader takes any mail there
    is, nested and encoded, in quadratic time."""
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise errors.malformed_body()
    pairs = []
    for part in body.split(b"--" + boundary[1].encode("latin-1", "replace"), MAX_FIELDS + 1)[1:]:
        header, found, payload = part.partition(b"\r\n\r\n")
        name = _FIELD_NAME.search(header[:MAX_PART_HEADER])
        if found and name is not None:
            pairs.append((name[1].decode("utf-8", "replace"), payload.removesuffix(b"\r\n").decode("utf-8", "replace")))
    if len(pairs) > MAX_FIELDS:
        raise errors.malformed_body()
    return pairs


def _fold(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Repeated keys and ``key[]`` become lists, ``a.b`` nests, texts that look like numbers or booleans are those."""
    collected: dict[str, list[Any]] = {}
    listed = set()
    for key, text in pairs:
        name = key.removesuffix("[]")
        if name != key:
            listed.add(name)
        collected.setdefault(name, []).append(convert(text))
    folded: dict[str, Any] = {}
    for name, values in collected.items():
        _put(folded, name, values if name in listed or len(values) > 1 else values[0])
    return folded


def convert(text: str) -> int | float | bool | str:
    """What the API server makes of a text in a query."""
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return _BOOLEANS.get(text, text)


def _put(tree: dict[str, Any], name: str, value: Any) -> None:
    *parents, leaf = name.split(".", 16)
    for parent in parents:
        below = tree.setdefault(parent, {})
        if not isinstance(below, dict):
            return
        tree = below
    tree[leaf] = value
