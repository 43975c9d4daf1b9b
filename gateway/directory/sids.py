"""Security identifiers of Active Directory, as it answers them: octets (MS-DTYP 2.4.2.2). Pure."""

from __future__ import annotations

from typing import Final

_REVISION: Final = 1
_MAX_SUB_AUTHORITIES: Final = 15


def is_sid(data: bytes) -> bool:
    """Say whether this is a SID: revision, count, six octets of authority, then four for each sub-authority."""
    return (
        len(data) >= 12
        and data[0] == _REVISION
        and data[1] <= _MAX_SUB_AUTHORITIES
        and len(data) == 8 + 4 * data[1]
    )


def sibling(sid: bytes, relative_id: bytes) -> bytes | None:
    """The SID in the same domain with another relative id, which comes as decimal text: ``primaryGroupID``.

    None where either is malformed.
    """
    if not is_sid(sid) or not relative_id.isdigit() or len(relative_id) > 10:
        return None
    number = int(relative_id)
    return sid[:-4] + number.to_bytes(4, "little") if number < 2**32 else None
