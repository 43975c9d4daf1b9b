"""What the store keeps of wrapped answers (vault.md 10). Times as in ``interface``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

MOST_WRAPPED: Final = 1000
"""Wrapped answers of one holder that may wait at once,"""
MOST_WRAPPED_BYTES: Final = 16 * 2**20
"""and how much they may take together."""


@dataclass(frozen=True, slots=True)
class WrappedRow:
    """An answer kept for whoever brings the wrapping token first (vault.md 10); the answer itself is apart."""

    hash: bytes = field(repr=False)
    """Of the wrapping token."""
    accessor: str
    creation_path: str
    wrapped_accessor: str
    """Of the token that the answer holds; empty when it holds none."""
    holder: str
    """Who had it wrapped; empty: one whose answers are not counted."""
    created_at: int
    expires_at: int
