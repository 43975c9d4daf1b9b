"""One ``ssl.SSLContext`` per server, built once from its settings. Reads files: call it in a thread.

Certificates and host names are verified unless the operator says otherwise. With ``ca_files`` only those authorities
count, and any certificate in them is an anchor, intermediate or not: what Go does, so that files which work with
Grafana or Vault work here. As there, a common name is no host name; subject alternative names alone are.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from gateway.config.reading import CERTIFICATE_SIZE, SourceError, read_bytes

_VERSIONS: Final = {
    "tls1.0": ssl.TLSVersion.TLSv1,
    "tls1.1": ssl.TLSVersion.TLSv1_1,
    "tls1.2": ssl.TLSVersion.TLSv1_2,
    "tls1.3": ssl.TLSVersion.TLSv1_3,
}
_TLS13_SUITES: Final = frozenset({"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"})
_IRREGULAR: Final = {
    "3DES_EDE_CBC_SHA": "DES-CBC3-SHA",
    "CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
    "CHACHA20_POLY1305": "CHACHA20-POLY1305",
    "RC4_128_SHA": "RC4-SHA",
}


class TlsSettingsError(ValueError):
    """A file that cannot be read or does not parse, which the text names, or versions that leave nothing."""


def tls_context(
    *,
    ca_files: Sequence[str | Path] = (),
    skip_verify: bool = False,
    client_cert: str | Path = "",
    client_key: str | Path = "",
    ca_text: str = "",
    client_cert_text: str = "",
    client_key_text: str = "",
    min_version: str = "TLS1.2",
    max_version: str = "TLS1.3",
    ciphers: Sequence[str] = (),
) -> tuple[ssl.SSLContext, list[str]]:
    """The context, and one text per setting that was ignored because nobody knows it (grafana.md 1.3: not an error).

    ``ca_files`` and ``ca_text`` empty mean the system's authorities. ``client_cert`` is used when ``client_key`` is
    given too. A ``_text`` is PEM, or base64 of that, in place of a file.
    Versions are ``TLS1.0`` to ``TLS1.3`` in any case; ciphers are Go (IANA) or OpenSSL names in any case.
    Raises ``TlsSettingsError``.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False
    _trust(context, ca_files, ca_text)
    if skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if client_cert_text or client_key_text:
        _identify_by_text(context, client_cert_text or _text_of(client_cert), client_key_text or _text_of(client_key))
    elif client_cert and client_key:
        _identify(context, Path(client_cert), Path(client_key))
    ignored = _limit_versions(context, min_version, max_version)
    return context, ignored + _choose_ciphers(context, ciphers)


def check_authorities(ca_files: Sequence[str | Path]) -> None:
    """Whether these files can be trusted, without the system's own being read. Raises ``TlsSettingsError``."""
    if ca_files:
        _trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca_files, "")


def check_identity(certificate: str | Path, key: str | Path) -> None:
    """Whether these files hold a certificate and its key. Raises ``TlsSettingsError``."""
    _identify(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), Path(certificate), Path(key))


def _trust(context: ssl.SSLContext, ca_files: Sequence[str | Path], ca_text: str) -> None:
    if not ca_files and not ca_text:
        context.load_default_certs()
        return
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if ca_text:
        try:
            context.load_verify_locations(cadata=pem_text(ca_text))
        except ssl.SSLError as error:
            raise TlsSettingsError("no usable certificate in PEM form") from error
    for name in ca_files:
        try:
            text = read_bytes(Path(name), CERTIFICATE_SIZE).decode("ascii", "ignore")
            context.load_verify_locations(cadata=text)
        except SourceError as error:
            raise TlsSettingsError(f"{name}: {error}") from error
        except ssl.SSLError as error:
            raise TlsSettingsError(f"{name}: no usable certificate in PEM form") from error
        except ValueError as error:
            raise TlsSettingsError(f"{name}: empty, a certificate in PEM form belongs there") from error


def _identify(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    for file in (certificate, key):
        try:
            read_bytes(file, CERTIFICATE_SIZE)  # OpenSSL would wait for the writer of a FIFO
        except SourceError as error:
            raise TlsSettingsError(f"{file}: {error}") from error
    try:
        # A password must be given, or OpenSSL would ask for one on the terminal when the key is encrypted.
        context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError) as error:
        raise TlsSettingsError(f"{certificate}, {key}: no certificate with its unencrypted key in PEM form") from error


def pem_text(text: str) -> str:
    """PEM as it is, or out of its base64. Raises ``TlsSettingsError``, which quotes nothing, for any other text."""
    if "-----BEGIN " not in text:
        try:
            text = base64.b64decode("".join(text.split()), validate=True).decode("ascii")
        except (binascii.Error, ValueError):
            text = ""
    if "-----BEGIN " not in text or not text.isascii():
        raise TlsSettingsError("expected PEM (-----BEGIN ...), or base64 of that")
    return text


def _text_of(file: str | Path) -> str:
    try:
        return Path(file).read_text(encoding="ascii", errors="ignore") if file else ""
    except OSError as error:
        raise TlsSettingsError(f"{file}: {error.strerror or error}") from error


def _identify_by_text(context: ssl.SSLContext, certificate: str, key: str) -> None:
    if not certificate or not key:
        return
    with private_file(f"{pem_text(certificate)}\n{pem_text(key)}\n") as name:
        try:
            context.load_cert_chain(name, password="")
        except (OSError, ValueError) as error:
            raise TlsSettingsError("no certificate with its unencrypted key in PEM form") from error


@contextlib.contextmanager
def private_file(text: str) -> Iterator[str]:
    """Name of a file that holds ``text``. OpenSSL takes a key from a file alone; on Linux this one stays in memory."""
    in_memory = hasattr(os, "memfd_create")
    with os.fdopen(os.memfd_create("key"), "wb") if in_memory else tempfile.NamedTemporaryFile() as file:
        file.write(text.encode())
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}" if in_memory else str(file.name)


def _limit_versions(context: ssl.SSLContext, minimum: str, maximum: str) -> list[str]:
    ignored = [f"unknown TLS version {name!r}" for name in (minimum, maximum) if name.lower() not in _VERSIONS]
    lowest = _VERSIONS.get(minimum.lower(), ssl.TLSVersion.TLSv1_2)
    highest = _VERSIONS.get(maximum.lower(), ssl.TLSVersion.TLSv1_3)
    if lowest > highest:
        raise TlsSettingsError(f"minimum TLS version {minimum} is above the maximum {maximum}")
    if lowest < ssl.TLSVersion.TLSv1_2:
        # OpenSSL 3 refuses the signatures of these versions above security level 0.
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = lowest
    context.maximum_version = highest
    return ignored


def openssl_name(name: str) -> str:
    """OpenSSL's name of a Go or IANA cipher suite of TLS 1.2 and before; any other name comes back upper-cased."""
    exchange, separator, rest = name.upper().removeprefix("TLS_").partition("_WITH_")
    if not separator:
        return exchange
    bulk = _IRREGULAR.get(rest) or rest.replace("AES_", "AES").replace("_CBC", "").replace("_", "-")
    return bulk if exchange == "RSA" else f"{exchange.replace('_', '-')}-{bulk}"


def _choose_ciphers(context: ssl.SSLContext, names: Sequence[str]) -> list[str]:
    chosen, ignored = [], []
    scratch = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name in names:
        if name.upper() in _TLS13_SUITES:
            continue  # always on: OpenSSL keeps them apart from this list
        try:
            scratch.set_ciphers(openssl_name(name))
        except ssl.SSLError:
            ignored.append(f"unknown TLS cipher {name!r}")
        else:
            chosen.append(openssl_name(name))
    if chosen:
        level = [] if context.minimum_version >= ssl.TLSVersion.TLSv1_2 else ["@SECLEVEL=0"]
        context.set_ciphers(":".join(chosen + level))
    return ignored
