"""What a server's certificate says of itself, and what is wrong with it. Pure.

Whether it is trusted is OpenSSL's word; it stops at the first fault, so dates and names are looked at here too.
"""

from __future__ import annotations

import hashlib
import ipaddress
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

SOON: Final = timedelta(days=30)
"""An end that is nearer is worth a warning."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate of a chain."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    """Hosts that it is for: DNS names and addresses, else the common name."""
    begins: datetime
    ends: datetime
    fingerprint: str
    """SHA-256, in pairs of hexadecimal digits with colons, as browsers and ``openssl x509`` show it."""

    @property
    def self_signed(self) -> bool:
        """Whether it names itself as its issuer."""
        return self.subject == self.issuer

    def covers(self, host: str) -> bool:
        """Whether it is for ``host``, a name or an address (RFC 6125 6.4: ``*`` only as the whole first label)."""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            wanted = host.lower().rstrip(".")
            wildcard = f"*.{wanted.partition('.')[2]}"
            return any(name.lower() in (wanted, wildcard) for name in self.names)
        return str(address) in self.names


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with a certificate."""

    text: str
    advice: str
    grave: bool
    """Whether it keeps people out now."""


def read_certificate(der: bytes) -> Certificate:
    """Raises ``ValueError`` for what cannot be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd but readable certificates
        try:
            parsed = x509.load_der_x509_certificate(der)
            names = _names(parsed)
            subject, issuer = parsed.subject.rfc4514_string(), parsed.issuer.rfc4514_string()
            begins, ends = parsed.not_valid_before_utc, parsed.not_valid_after_utc
        except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
            raise ValueError("a certificate that cannot be read") from error
    return Certificate(subject, issuer, names, begins, ends, hashlib.sha256(der).digest().hex(":").upper())


def subject_of(der: bytes) -> str:
    """Whose certificate it is; ``?`` where it cannot be read."""
    try:
        return read_certificate(der).subject
    except ValueError:
        return "?"


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return tuple(str(name.value) for name in common)
    addresses = map(str, found.get_values_for_type(x509.IPAddress))
    return (*found.get_values_for_type(x509.DNSName), *addresses)


def faults(certificate: Certificate, host: str, now: datetime) -> Sequence[Fault]:
    """What is wrong with its dates and names for ``host`` at ``now``."""
    found = []
    day = certificate.ends.date().isoformat()
    if certificate.ends <= now:
        found.append(Fault(f"expired on {day}", "renew the directory's certificate", grave=True))
    elif certificate.ends - now < SOON:
        left = (certificate.ends - now).days
        found.append(Fault(f"expires on {day}, in {left} days", "renew the directory's certificate", grave=False))
    if certificate.begins > now:
        advice = "check this machine's clock and the directory's"
        wait = certificate.begins - now
        when = f"in {wait.days} days" if wait.days else f"in {wait.seconds // 3600} hours"
        found.append(Fault(f"valid only from {certificate.begins.date().isoformat()} on, {when}", advice, grave=True))
    if not certificate.covers(host):
        names = ", ".join(certificate.names) or "no host"
        advice = f"write one of these names in place of {host}, or have a certificate made that names it"
        found.append(Fault(f"it is for {names}, not for {host}", advice, grave=True))
    return found
