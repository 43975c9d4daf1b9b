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
from gateway.directory.doctor.advice import address_key, set_tls, with_limits
from gateway.directory.doctor.certificates import Certificate, faults, read_certificate, subject_of
from gateway.directory.doctor.reach import Attempt, attempt, speaks_tls

if TYPE_CHECKING:
    from gateway.config.schema import Server
    from gateway.directory.doctor.report import Mark, Report

MAX_ADDRESSES: Final = 20
"""Addresses of one host that are tried."""
_SHOWN: Final = 3
"""Authorities of ``root_ca_cert`` that are named."""
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
            if made.error and made.tcp_seconds is not None and endpoint.tls == "starttls" and not made.refused:
                made.wants_tls_first = await speaks_tls(endpoint, address, timeout)
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
        _tell_name(host, server, report)
        working = [made for made in host.attempts if not made.error]
        for made in host.attempts:
            _tell_attempt(made, bool(working), server, report)
        _tell_certificates(host, _authorities(server, context), report)
        usable += working[:1]
    return usable


def _authorities(server: Server, context: ssl.SSLContext | None) -> Sequence[str]:
    """The names of those in ``root_ca_cert``; none where the system's are trusted."""
    if context is None or not (server.root_ca_cert or server.root_ca_cert_value):
        return ()
    return [subject_of(der) for der in context.get_ca_certs(binary_form=True)]


def _tell_name(host: _Host, server: Server, report: Report) -> None:
    subject, key = str(host.endpoint), address_key(server)
    if host.error:
        advice, text = "check the host's name, and this machine's resolver", with_limits(host.error, server)
        report.add("name", "fail", text, subject=subject, seconds=host.seconds, advice=advice, key=key)
    elif list(host.addresses) != [host.endpoint.address]:
        text = ", ".join(host.addresses[:MAX_ADDRESSES])
        if (more := len(host.addresses) - MAX_ADDRESSES) > 0:
            text += f" and {more} more, which are not tried"
        report.add("name", "ok", text, subject=subject, seconds=host.seconds)


def _tell_attempt(made: Attempt, others_work: bool, server: Server, report: Report) -> None:
    subject, key, error = _where(made.endpoint, [made.address]), address_key(server), with_limits(made.error, server)
    if made.tcp_seconds is None:
        if others_work:
            report.add("connect", "warn", error, subject=subject, advice="another address of this host answers")
        else:
            port = f" and port ({report.origin('port')})" if server.port else " and port"
            advice = f"check {key}{port}, that the directory runs, and firewalls on the way"
            report.add("connect", "fail", error, subject=subject, advice=advice, key=key)
        return
    report.add("connect", "ok", "connected", subject=subject, seconds=made.tcp_seconds)
    if made.endpoint.tls == "none":
        return
    if not made.error:
        report.add("tls", "ok", f"{made.version} {made.cipher}", subject=subject, seconds=made.tls_seconds)
    elif made.refused:
        report.add("tls", "fail", error, subject=subject, advice="see the certificate below")
    elif made.wants_tls_first:
        text, (advice, key) = f"{error}; this port speaks TLS from the first octet", set_tls(server)
        report.add("tls", "fail", text, subject=subject, advice=advice, key=key)
    elif made.endpoint.tls == "starttls":
        advice = "does this port speak LDAP, and has the directory a certificate? use_ssl is the other way to TLS"
        report.add("tls", "fail", error, subject=subject, advice=advice, key="start_tls")
    else:
        advice = "does this port speak TLS from the first octet? If not, set start_tls; else compare min_tls_version"
        report.add("tls", "fail", error, subject=subject, advice=advice, key="use_ssl" if key == "host" else key)


def _tell_certificates(host: _Host, authorities: Sequence[str], report: Report) -> None:
    """Each certificate of a host once, with the addresses that have it."""
    refused = {made.address: made.refused for made in host.attempts}
    alike: dict[bytes, list[Attempt]] = {}
    for seen in host.seen:
        if seen.chain:
            alike.setdefault(seen.chain[0], []).append(seen)
    for same in alike.values():
        subject = _where(host.endpoint, [seen.address for seen in same])
        _tell_certificate(same[0], subject, refused[same[0].address], authorities, report)


def _tell_certificate(
    seen: Attempt,
    subject: str,
    refused: ssl.SSLCertVerificationError | None,
    authorities: Sequence[str],
    report: Report,
) -> None:
    """What it is stands behind its first fault, so that nothing is called well that is not."""
    try:
        own, last = read_certificate(seen.chain[0]), read_certificate(seen.chain[-1])
    except ValueError as error:
        report.add("certificate", "fail", str(error), subject=subject, advice="have another certificate made")
        return
    found: list[tuple[Mark, str, str, str]] = [
        ("fail" if fault.grave and refused else "warn", fault.text, fault.advice, "")
        for fault in faults(own, seen.endpoint.address, datetime.now(UTC))
    ]
    if refused is not None and refused.verify_code in _UNKNOWN_AUTHORITY:
        text = _not_trusted(own, last, authorities, refused.verify_message)
        found.append(("fail", text, _trust(own, last), "root_ca_cert"))
    elif refused is not None and refused.verify_code not in _SEEN_FOR_OURSELVES:
        found.append(("fail", refused.verify_message, "have another certificate made", ""))
    described = f"{own.subject or 'no subject'}, for {', '.join(own.names) or 'no host'}, issued by {own.issuer}"
    described += f", valid until {own.ends.date().isoformat()}"
    if not found:
        report.add("certificate", "ok", described, subject=subject)
    for place, (mark, text, advice, key) in enumerate(found):
        told = text if place else f"{text}: {described}"
        report.add("certificate", mark, told, subject=subject, advice=advice, key=key)


def _not_trusted(own: Certificate, last: Certificate, authorities: Sequence[str], message: str) -> str:
    if not authorities:
        return f"not signed by an authority that is trusted here ({message})"
    signer = last.subject if last.self_signed else last.issuer
    held = " | ".join(dict.fromkeys(authorities[:_SHOWN]))
    namesake = f", another {signer}" if signer in authorities else f", {signer}"
    return f"root_ca_cert holds {held}; the server's is signed by another authority{namesake} ({message})"


def _trust(own: Certificate, last: Certificate) -> str:
    """What to trust. Whether it is the right one only the directory's administrator can say."""
    if own.self_signed:
        what = f"this certificate itself in PEM form ({own.subject or 'no subject'})"
    else:
        what = f"the PEM file of its authority ({last.subject if last.self_signed else last.issuer})"
    return f"set root_ca_cert to {what}, once the directory's administrator confirms SHA-256 {last.fingerprint}"


def _where(endpoint: Endpoint, addresses: Sequence[str]) -> str:
    told = ", ".join(address for address in addresses if address != endpoint.address)
    return f"{endpoint} ({told})" if told else str(endpoint)
