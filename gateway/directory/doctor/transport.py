"""Each host of a server, as far as its certificate: its name, every address, TCP, TLS."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gateway.directory.addresses import addresses
from gateway.directory.connection import Endpoint, reason_of
from gateway.directory.doctor.certificates import Certificate, faults, read_certificate
from gateway.directory.doctor.reach import Attempt, attempt

if TYPE_CHECKING:
    from gateway.config.schema import Server
    from gateway.directory.doctor.report import Mark, Report

MAX_ADDRESSES: Final = 20
"""Addresses of one host that are tried."""
_AT_ONCE: Final = 16
"""Addresses that are tried at the same time."""
_UNKNOWN_AUTHORITY: Final = frozenset({7, 18, 19, 20, 21})
"""OpenSSL's verify codes for an issuer that is not trusted."""
_SEEN_FOR_OURSELVES: Final = frozenset({9, 10, 62, 64})
"""OpenSSL's verify codes for dates and names, which ``certificates.faults`` tells."""


@dataclass(slots=True)
class _Host:
    """One host, looked at."""

    endpoint: Endpoint
    seconds: float = 0.0
    addresses: Sequence[str] = ()
    error: str = ""
    """Why there are no addresses."""
    attempts: Sequence[Attempt] = ()
    seen: Sequence[Attempt] = ()
    """The attempts, those with a refused certificate made again without verification."""


async def look_at_hosts(
    server: Server, context: ssl.SSLContext | None, unchecked: ssl.SSLContext | None, report: Report
) -> list[Attempt]:
    """Try every address of every host, all at once; returns the first address that works of each host.

    ``unchecked`` accepts any certificate: with it a refused one is read, and nothing is sent.
    """
    timeout, turns = server.timeout or 10.0, asyncio.Semaphore(_AT_ONCE)

    async def both(endpoint: Endpoint, address: str) -> tuple[Attempt, Attempt]:
        async with turns:
            made = await attempt(endpoint, address, context, timeout)
            return made, await attempt(endpoint, address, unchecked, timeout) if made.refused else made

    async def look(endpoint: Endpoint) -> _Host:
        host = _Host(endpoint)
        started = time.perf_counter()
        try:
            async with asyncio.timeout(timeout):
                host.addresses = await addresses(endpoint.address, endpoint.port)
        except TimeoutError:
            host.error = "not resolved in time"
        except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: no more threads
            host.error = f"cannot be resolved: {reason_of(error)}"
        host.seconds = time.perf_counter() - started
        pairs = await asyncio.gather(*(both(endpoint, address) for address in host.addresses[:MAX_ADDRESSES]))
        host.attempts, host.seen = [made for made, _ in pairs], [seen for _, seen in pairs]
        return host

    usable: list[Attempt] = []
    for host in await asyncio.gather(*(look(Endpoint(*endpoint)) for endpoint in server.endpoints)):
        key = "urls" if server.urls else "host"
        _tell_name(host, key, report)
        working = [made for made in host.attempts if not made.error]
        for made in host.attempts:
            _tell_attempt(made, bool(working), key, report)
        _tell_certificates(host, report)
        usable += working[:1]
    return usable


def _tell_name(host: _Host, key: str, report: Report) -> None:
    subject = str(host.endpoint)
    if host.error:
        advice = "check the host's name, and this machine's resolver"
        report.add("name", "fail", host.error, subject=subject, seconds=host.seconds, advice=advice, key=key)
    elif list(host.addresses) != [host.endpoint.address]:
        text = ", ".join(host.addresses[:MAX_ADDRESSES])
        if (more := len(host.addresses) - MAX_ADDRESSES) > 0:
            text += f" and {more} more, which are not tried"
        report.add("name", "ok", text, subject=subject, seconds=host.seconds)


def _tell_attempt(made: Attempt, others_work: bool, key: str, report: Report) -> None:
    subject = _where(made.endpoint, [made.address])
    if made.tcp_seconds is None:
        if others_work:
            report.add("connect", "warn", made.error, subject=subject, advice="another address of this host answers")
        else:
            advice = "check host and port, that the directory runs, and firewalls on the way"
            report.add("connect", "fail", made.error, subject=subject, advice=advice, key=key)
        return
    report.add("connect", "ok", "connected", subject=subject, seconds=made.tcp_seconds)
    if made.endpoint.tls == "none":
        return
    if not made.error:
        report.add("tls", "ok", f"{made.version} {made.cipher}", subject=subject, seconds=made.tls_seconds)
    elif made.refused:
        report.add("tls", "fail", made.error, subject=subject, advice="see the certificate below")
    elif made.endpoint.tls == "starttls":
        advice = "does this port speak LDAP, and has the directory a certificate? use_ssl is the other way to TLS"
        report.add("tls", "fail", made.error, subject=subject, advice=advice, key="start_tls")
    else:
        advice = "does this port speak TLS from the first octet? If not, set start_tls; else compare min_tls_version"
        report.add("tls", "fail", made.error, subject=subject, advice=advice, key="use_ssl" if key == "host" else key)


def _tell_certificates(host: _Host, report: Report) -> None:
    """Each certificate of a host once, with the addresses that have it."""
    refused = {made.address: made.refused for made in host.attempts}
    alike: dict[bytes, list[Attempt]] = {}
    for seen in host.seen:
        if seen.chain:
            alike.setdefault(seen.chain[0], []).append(seen)
    for same in alike.values():
        subject = _where(host.endpoint, [seen.address for seen in same])
        _tell_certificate(same[0], subject, refused[same[0].address], report)


def _tell_certificate(
    seen: Attempt, subject: str, refused: ssl.SSLCertVerificationError | None, report: Report
) -> None:
    try:
        own, last = read_certificate(seen.chain[0]), read_certificate(seen.chain[-1])
    except ValueError as error:
        report.add("certificate", "fail", str(error), subject=subject, advice="have another certificate made")
        return
    text = f"{own.subject or 'no subject'}, for {', '.join(own.names) or 'no host'}, issued by {own.issuer}"
    report.add("certificate", "ok", f"{text}, valid until {own.ends.date().isoformat()}", subject=subject)
    for fault in faults(own, seen.endpoint.address, datetime.now(UTC)):
        mark: Mark = "fail" if fault.grave and refused else "warn"
        report.add("certificate", mark, fault.text, subject=subject, advice=fault.advice)
    if refused is None:
        return
    if refused.verify_code in _UNKNOWN_AUTHORITY:
        text = f"not signed by an authority that is trusted here: {refused.verify_message}"
        report.add("certificate", "fail", text, subject=subject, advice=_trust(own, last), key="root_ca_cert")
    elif refused.verify_code not in _SEEN_FOR_OURSELVES:
        advice = "have another certificate made"
        report.add("certificate", "fail", refused.verify_message, subject=subject, advice=advice)


def _trust(own: Certificate, last: Certificate) -> str:
    """What to trust. Whether it is the right one only the directory's administrator can say."""
    if own.self_signed:
        what = f"this certificate itself in PEM form ({own.subject or 'no subject'})"
    else:
        what = f"the PEM file of its authority ({last.subject if last.self_signed else last.issuer})"
    return (
        f"set root_ca_cert to {what}; the chain ends with SHA-256 {last.fingerprint}: "
        "let the directory's administrator confirm it first"
    )


def _where(endpoint: Endpoint, addresses: Sequence[str]) -> str:
    told = ", ".join(address for address in addresses if address != endpoint.address)
    return f"{endpoint} ({told})" if told else str(endpoint)
