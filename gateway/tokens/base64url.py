"""base64url without padding (RFC 4648 5, RFC 7515 2), as tokens have it."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode


def encode(content: bytes) -> bytes:
    """Write octets in ASCII."""
    return urlsafe_b64encode(content).rstrip(b"=")


def decode(text: bytes) -> bytes:
    """Read what ``encode`` wrote; encoding it again tells padding, stray characters and stray bits. ValueError."""
    content = urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    if encode(content) != text:
        raise ValueError("no base64url without padding")
    return content
