"""Vaults as the API shows them (clearml.md 7.1)."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from gateway.hocon import HoconError, Value, parse
from gateway.store.interface import VaultRow
from gateway.vaults.model import GROUP
from gateway.vaults.ready import Ready, compressed

MASK: Final = "******"
"""What a preview shows of every string."""

_encode: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How vaults are shown to one caller."""

    groups: Mapping[str, str]
    """Their names by id."""
    delivered: bool
    """Texts as they were made for clients; else as somebody wrote them."""
    preview: bool
    """Strings masked."""
    companies: bool
    """Whether they are of several companies, and say of which."""
    editable: Collection[str]
    """Ids of what the caller may change."""


def render(vaults: Iterable[VaultRow], style: Style) -> Ready:
    """JSON of vaults with commas between; takes long for many, and longer for previews."""
    return compressed(",".join(_encode(_shown(vault, style)) for vault in vaults).encode())


def _shown(vault: VaultRow, style: Style) -> dict[str, Any]:
    """One vault, keys in the documented order."""
    text = vault.delivered if style.delivered else vault.text
    shown: dict[str, Any] = {
        "id": vault.id,
        "scope": vault.scope,
        "enabled": vault.enabled,
        "type": vault.type,
        "format": vault.format if text == vault.text else "hocon",
        "description": vault.description,
        "data": preview(vault.delivered) if style.preview else text,
    }
    if vault.scope == GROUP:
        shown["group"] = vault.owner
        if vault.owner in style.groups:
            shown["group_name"] = style.groups[vault.owner]
    if style.companies and vault.company:
        shown["company"] = vault.company
    if vault.updated_at:
        shown["last_update"] = datetime.fromtimestamp(vault.updated_at, UTC).isoformat(timespec="microseconds")
    if vault.damaged:
        shown["damaged"] = True
    shown["editable"] = vault.id in style.editable
    return shown


def preview(text: str) -> str:
    """A text as JSON with every string masked; all of it where it cannot be read."""
    if not text.strip():
        return ""
    try:
        return _encode(_masked(parse(text, dialect="pyhocon", resolve=False)))
    except (HoconError, RecursionError, ValueError):
        return MASK


def _masked(value: Value) -> Any:
    content = value.value
    if isinstance(content, dict):
        return {key: _masked(item) for key, item in content.items()}
    if isinstance(content, list):
        return [_masked(item) for item in content]
    finite = isinstance(content, float) and math.isfinite(content)  # JSON has no other numbers
    return content if content is None or finite or isinstance(content, bool | int) else MASK
