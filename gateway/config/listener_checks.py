"""What can be checked about the certificate of our own listeners. Looks at the mode of a file, and at the clock."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from gateway.listener_tls import UnusablePair, held, server_context, validity

from .reading import CERTIFICATE_SIZE, Reading, SourceError, read_bytes
from .schema import Configuration
from .schema.section import Finding


def listener_findings(configuration: Configuration, reading: Reading) -> Iterator[Finding]:
    """Findings about ``tls``, with places from the root. Files count as ``reading`` has them."""
    tls = configuration.tls
    if not configuration.serves_https or tls.cert_file is None or tls.key_file is None:
        return
    unreadable = [
        Finding(("tls", key), _why_unreadable(path, reading))
        for key, path in (("cert_file", tls.cert_file), ("key_file", tls.key_file))
        if reading.contents[path].data is None
    ]
    if unreadable:
        yield from unreadable
        return
    certificate = held(reading.contents, tls.cert_file)
    try:
        server_context(certificate, held(reading.contents, tls.key_file), tls.min_version)
    except UnusablePair as error:
        rests_on = (("tls", "cert_file"),) if error.key == "key_file" else ()
        yield Finding(("tls", error.key), error.reason, rests_on=rests_on)
        return
    yield from _date_findings(certificate, datetime.now(UTC))
    if not reading.by_heart and _open_to_all(tls.key_file):
        message = f"can be read by everybody on this machine: chmod o= {tls.key_file}"
        yield Finding(("tls", "key_file"), message, "warning")


def _why_unreadable(path: Path, reading: Reading) -> str:
    if not reading.by_heart:
        try:
            read_bytes(path, CERTIFICATE_SIZE)
        except SourceError as error:
            return str(error)
    return "could not be read when the configuration was loaded"


def _date_findings(certificate: bytes, now: datetime) -> Iterator[Finding]:
    """Clients refuse it then, and their message goes to whoever reads it there."""
    if (valid := validity(certificate)) is None:
        return
    begins, ends = valid
    if ends <= now:
        yield Finding(("tls", "cert_file"), f"expired on {ends.date().isoformat()}: clients refuse it", "warning")
    elif begins > now:
        message = f"is valid only from {begins:%Y-%m-%d %H:%M} UTC on: check this machine's clock"
        yield Finding(("tls", "cert_file"), message, "warning")


def _open_to_all(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
