"""TLS of the gateway's own listeners: from the bytes of a certificate and its key to a context. Blocks for a moment."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from gateway.directory.tls import private_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes, PublicKeyTypes

    from gateway.config.reading import Content
    from gateway.config.schema import Configuration

_VERSIONS: Final = {"TLS1.2": ssl.TLSVersion.TLSv1_2, "TLS1.3": ssl.TLSVersion.TLSv1_3}
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: forward secrecy and authenticated encryption alone (RFC 9325 4.2). TLS 1.3 knows no others."""


class UnusablePair(ValueError):
    """A certificate and a key that serve nobody; the text begins with the key of the configuration to look at."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"tls.{key} {reason}")
        self.key = key
        """``cert_file`` or ``key_file``."""
        self.reason = reason


def tls_of(configuration: Configuration, contents: Mapping[Path, Content]) -> ssl.SSLContext | None:
    """What the listeners of a configuration make handshakes with, from what its files held when it was loaded.

    None where no listener speaks TLS. Raises UnusablePair.
    """
    tls = configuration.tls
    if not configuration.serves_https or tls.cert_file is None or tls.key_file is None:
        return None
    return server_context(held(contents, tls.cert_file), held(contents, tls.key_file), tls.min_version)


def held(contents: Mapping[Path, Content], path: Path) -> bytes:
    """What a file held; nothing where it could not be read."""
    return (contents[path].data or b"") if path in contents else b""


def server_context(certificate: bytes, key: bytes, min_version: str) -> ssl.SSLContext:
    """A context of a server with this chain and key, both PEM; ``min_version`` is ``TLS1.2`` or ``TLS1.3``.

    Raises UnusablePair.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[min_version]
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    # A client may ask for one handshake after another on one connection, each dearer for us than for it.
    context.options |= ssl.OP_NO_RENEGOTIATION
    chain_text, key_text = (data.decode("ascii", "ignore") for data in (certificate, key))
    with private_file(chain_text) as chain, private_file(key_text) as own:
        try:
            # A password must be given, or OpenSSL would ask for one on the terminal when the key is encrypted.
            context.load_cert_chain(chain, own, password="")
        except (ssl.SSLError, ValueError) as error:
            raise UnusablePair(*_fault(certificate, key, getattr(error, "reason", None))) from None
    return context


def validity(certificate: bytes) -> tuple[datetime, datetime] | None:
    """From when until when the first certificate of a PEM text is valid; None where it holds none."""
    with warnings.catch_warnings(), suppress(ValueError):
        warnings.simplefilter("ignore")  # of odd but usable certificates
        leaf = x509.load_pem_x509_certificates(certificate)[0]
        return leaf.not_valid_before_utc, leaf.not_valid_after_utc
    return None


def _fault(certificate: bytes, key: bytes, said: str | None) -> tuple[str, str]:
    """Which of the two files it is, and why; OpenSSL's word alone would leave one to guess."""
    try:
        leaf = x509.load_pem_x509_certificates(certificate)[0]
    except ValueError:
        return "cert_file", "holds no certificate in PEM form"
    try:
        private = load_pem_private_key(key, None)
    except TypeError:
        return "key_file", "is encrypted, and nobody is there to type the passphrase: openssl pkey -in OLD -out NEW"
    except (ValueError, UnsupportedAlgorithm):
        return "key_file", "holds no private key in PEM form"
    if _octets(private.public_key()) != _octets(leaf.public_key()):
        return "key_file", "is not the key of the first certificate in tls.cert_file"
    return "cert_file", f"is refused by OpenSSL: {said or 'no reason given'}"


def _octets(key: PublicKeyTypes | CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
