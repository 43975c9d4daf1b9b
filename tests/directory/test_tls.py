"""TLS settings (grafana.md 1.2, 1.3; configuration.md 1.3) without a network."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path

import pytest

from gateway.directory.tls import TlsSettingsError, openssl_name, tls_context
from tests.directories.slapd import make_certificates

# Go's list (crypto/tls) and OpenSSL's names for the same suites (openssl-ciphers(1)).
CIPHERS = [
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
    ("tls_ecdhe_ecdsa_with_aes_256_gcm_sha384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE-RSA-AES128-SHA"),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "ECDHE-RSA-AES128-SHA256"),
    ("TLS_RSA_WITH_AES_256_CBC_SHA", "AES256-SHA"),
    ("TLS_RSA_WITH_AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
    ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", "DES-CBC3-SHA"),
    ("TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", "DHE-RSA-AES256-GCM-SHA384"),
    ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certificates")
    make_certificates(directory)
    return directory


@pytest.mark.parametrize(("name", "expected"), CIPHERS)
def test_cipher_names(name: str, expected: str) -> None:
    assert openssl_name(name) == expected


def test_defaults_verify() -> None:
    context, ignored = tls_context()
    assert (context.verify_mode, context.check_hostname, ignored) == (ssl.CERT_REQUIRED, True, [])
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.maximum_version == ssl.TLSVersion.TLSv1_3


def test_a_common_name_is_no_host_name(tmp_path: Path) -> None:
    """RFC 9525 section 1.2, and what Go does: a certificate without subject alternative names names no host."""
    make_certificates(tmp_path, names=(), common_name="dc1.example.org")
    client, _ = tls_context(ca_files=[tmp_path / "ca.pem"])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(back, there, server_hostname="dc1.example.org")
    other = server.wrap_bio(there, back, server_side=True)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        for side in (here, other, here):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()


def test_skip_verify() -> None:
    context, _ = tls_context(skip_verify=True)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


def test_only_the_given_authorities_count(certificates: Path, tmp_path: Path) -> None:
    make_certificates(tmp_path)
    context, _ = tls_context(ca_files=[certificates / "ca.pem", str(tmp_path / "ca.pem")])
    assert context.cert_store_stats()["x509"] == 2


def test_ciphers_are_chosen_and_unknown_ones_named() -> None:
    context, ignored = tls_context(
        ciphers=["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_MADE_UP", "x:y"]
    )
    chosen = {cipher["name"] for cipher in context.get_ciphers() if not cipher["name"].startswith("TLS_")}
    assert chosen == {"ECDHE-RSA-AES256-GCM-SHA384"}
    assert ignored == ["unknown TLS cipher 'TLS_MADE_UP'", "unknown TLS cipher 'x:y'"]


def test_no_known_cipher_leaves_the_default() -> None:
    context, ignored = tls_context(ciphers=["nonsense"])
    assert len(context.get_ciphers()) > 3
    assert len(ignored) == 1


def test_versions() -> None:
    context, ignored = tls_context(min_version="tls1.3", max_version="TLS9")
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert ignored == ["unknown TLS version 'TLS9'"]
    with pytest.raises(TlsSettingsError, match="above"):
        tls_context(min_version="TLS1.3", max_version="TLS1.2")


def test_old_versions_are_possible_when_asked_for() -> None:
    with pytest.warns(DeprecationWarning):
        context, _ = tls_context(min_version="TLS1.0", ciphers=["TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"])
    assert context.security_level == 0


def test_client_certificate(certificates: Path) -> None:
    _, ignored = tls_context(client_cert=certificates / "server.pem", client_key=certificates / "server.key")
    assert ignored == []
    assert tls_context(client_cert="/nowhere/used.pem")[1] == []  # without a key it is not looked at


UNREADABLE = [
    ("missing CA", "ca_files", None),
    ("empty CA", "ca_files", b""),
    ("no certificate in it", "ca_files", b"hello"),
    ("broken certificate", "ca_files", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    ("missing client certificate", "client", None),
    ("broken client certificate", "client", b"hello"),
]


@pytest.mark.parametrize(("kind", "content"), [row[1:] for row in UNREADABLE], ids=[row[0] for row in UNREADABLE])
def test_bad_files_are_named(kind: str, content: bytes | None, certificates: Path, tmp_path: Path) -> None:
    file = tmp_path / "the-file.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(TlsSettingsError, match=r"the-file\.pem"):
        if kind == "ca_files":
            tls_context(ca_files=[certificates / "ca.pem", file])
        else:
            tls_context(client_cert=file, client_key=certificates / "server.key")


def test_a_key_of_another_certificate_is_refused(certificates: Path, tmp_path: Path) -> None:
    make_certificates(tmp_path)
    with pytest.raises(TlsSettingsError, match=r"server\.key"):
        tls_context(client_cert=certificates / "server.pem", client_key=tmp_path / "server.key")


def test_an_encrypted_key_is_refused_without_asking(certificates: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key((certificates / "server.key").read_bytes(), None)
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(TlsSettingsError, match=r"encrypted\.key"):
        tls_context(client_cert=certificates / "server.pem", client_key=encrypted)
