"""TLS to a directory (vault.md 4.1, grafana.md 1.2, configuration.md 1.3): what is enforced, and what the operator reads."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.directory.connection import Endpoint, Unreachable
from gateway.directory.hosts import connect
from gateway.directory.realm import Outcome
from gateway.directory.tls import tls_context
from tests.directories.directory_logins import configured, logins
from tests.directories.faulty import ADA_PASSWORD, SERVICE_PASSWORD, Faulty
from tests.directories.process import free_port
from tests.directories.slapd import COMPANY, Slapd
from tests.directories.test_broken_directories import settings

SECONDS = 10.0
DAY = datetime.timedelta(days=1)


# Versions and ciphers, against a slapd that speaks one version alone


@pytest.fixture(scope="module", params=["TLS1.2", "TLS1.3"])
def one_version(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Slapd]]:
    directory = tmp_path_factory.mktemp("slapd") / "one-version"
    with Slapd.start(COMPANY, directory=directory, tls=True) as slapd:
        file = directory / "slapd.conf"
        line = f"TLSCipherSuite NORMAL:-VERS-ALL:+VERS-{request.param}\n"
        file.write_text(file.read_text().replace("database mdb", f"{line}database mdb", 1))
        slapd.restart()
        yield request.param, slapd


VERSION = "check min_tls_version, max_tls_version and tls_ciphers"
# Our settings, then the versions of the server with which they work.
VERSIONS: list[tuple[dict[str, object], set[str]]] = [
    ({}, {"TLS1.2", "TLS1.3"}),
    ({"min_tls_version": "TLS1.2", "max_tls_version": "TLS1.2"}, {"TLS1.2"}),
    ({"min_tls_version": "TLS1.3"}, {"TLS1.3"}),
    ({"max_tls_version": "TLS1.2", "tls_ciphers": ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]}, {"TLS1.2"}),
    ({"max_tls_version": "TLS1.2", "tls_ciphers": ["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]}, set()),  # its key is no RSA
    ({"tls_ciphers": ["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]}, {"TLS1.3"}),  # whose suites are a list of their own
    ({"preset": "vault", "bind_dn": None, "bind_password": None, "discover_dn": True, "search_filter": "(uid=%s)"},
     {"TLS1.2"}),  # vault.md 3: both versions are tls12
]  # fmt: skip


@pytest.mark.parametrize("start_tls", [False, True], ids=["ldaps", "starttls"])
@pytest.mark.parametrize(("changes", "works"), VERSIONS)
async def test_versions_and_ciphers(
    changes: dict[str, object], works: set[str], start_tls: bool, one_version: tuple[str, Slapd]
) -> None:
    version, slapd = one_version
    url = f"ldap://localhost:{slapd.port}" if start_tls else slapd.ldaps_url
    server = slapd.server(urls=[url], start_tls=start_tls, root_ca_cert=[str(slapd.ca_file)], **changes)
    async with logins(configured(**server)) as made:
        verdict = await made.verdict("alan", "enigma")
        if version in works:
            assert verdict.outcome is Outcome.OK, verdict
        else:
            assert (verdict.outcome, VERSION in verdict.reason) == (Outcome.UNREACHABLE, True), verdict


# Client certificates


@pytest.fixture(scope="module")
def demanding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """A slapd that refuses whoever has no certificate of its CA."""
    directory = tmp_path_factory.mktemp("slapd") / "demanding"
    with Slapd.start(COMPANY, directory=directory, tls=True) as slapd:
        file = directory / "slapd.conf"
        file.write_text(file.read_text().replace("database mdb", "TLSVerifyClient demand\ndatabase mdb", 1))
        slapd.restart()
        yield slapd


@pytest.mark.parametrize("start_tls", [False, True], ids=["ldaps", "starttls"])
@pytest.mark.parametrize("given", [True, False], ids=["given", "missing"])
async def test_a_client_certificate_is_demanded(given: bool, start_tls: bool, demanding: Slapd) -> None:
    pair = {"client_cert": str(demanding.directory / "server.pem"), "client_key": str(demanding.directory / "server.key")}
    url = f"ldap://localhost:{demanding.port}" if start_tls else demanding.ldaps_url
    changes: dict[str, Any] = {"urls": [url], "start_tls": start_tls, "root_ca_cert": [str(demanding.ca_file)]}
    async with logins(configured(**demanding.server(**changes, **(pair if given else {})))) as made:
        verdict = await made.verdict("alan", "enigma")
        if given:
            assert verdict.outcome is Outcome.OK, verdict
        else:
            assert verdict.outcome is Outcome.UNREACHABLE  # slapd hangs up after the handshake and gives no reason


async def test_a_server_that_says_that_it_wants_a_certificate(demanding: Slapd) -> None:
    """RFC 8446 section 4.4.2.4: its alert comes when the client takes the handshake for done."""
    port, directory = free_port(), demanding.directory
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-Verify", "1", "-verify_return_error", "-quiet"]
    command += ["-cert", str(directory / "server.pem"), "-key", str(directory / "server.key"), "-CAfile", str(demanding.ca_file)]
    silent = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE, stdout=silent, stderr=silent)
    try:
        own = demanding.server(urls=[f"ldaps://localhost:{port}"], root_ca_cert=[str(demanding.ca_file)], pool={"backoff": 0.1})
        async with logins(configured(**own)) as made, asyncio.timeout(SECONDS):
            while "refused" in (reason := (await made.verdict("alan", "enigma")).reason):
                await asyncio.sleep(0.05)
            assert "set client_cert and client_key" in reason
    finally:
        process.terminate()
        await process.wait()


# The server's certificate


class Authority:
    """Signs certificates with any names and dates; ``file`` is its own."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = directory / "ca.pem"
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        own = self._signed(self._key.public_key(), constraints, -DAY, 30 * DAY)
        self.file.write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def _signed(
        self, key: Any, extension: x509.ExtensionType, begins: datetime.timedelta, ends: datetime.timedelta
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        is_ca = isinstance(extension, x509.BasicConstraints)
        subject, issuer = (
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("CA" if is_ca else "server", "CA")
        )
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now + begins).not_valid_after(now + ends)
        return builder.add_extension(extension, critical=is_ca).sign(self._key, hashes.SHA256())

    def context(
        self, names: Sequence[str], begins: datetime.timedelta = -DAY, ends: datetime.timedelta = 30 * DAY
    ) -> ssl.SSLContext:
        """Of a server with a certificate for ``names``."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(key.public_key(), x509.SubjectAlternativeName(map(_name, names)), begins, ends)
        file = self._directory / "server.pem"
        private = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*private))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


def _name(text: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(text))
    return x509.DNSName(text)


NAME_IT = "name the server in host or urls as its certificate does"
# Names of the certificate, when it begins and ends, whether we trust its CA; what the operator reads where it fails.
CERTIFICATES: list[tuple[str, list[str], datetime.timedelta, datetime.timedelta, bool, str]] = [
    ("good", ["localhost"], -DAY, DAY, True, ""),
    ("good by wildcard, but for no one label", ["*.localhost"], -DAY, DAY, True, NAME_IT),
    ("expired", ["localhost"], -2 * DAY, -DAY, True, "certificate refused: certificate has expired"),
    ("not valid yet", ["localhost"], DAY, 2 * DAY, True, "certificate refused: certificate is not yet valid"),
    ("for another host", ["other.example"], -DAY, DAY, True, NAME_IT),
    ("for the address alone", ["127.0.0.1"], -DAY, DAY, True, NAME_IT),
    ("of an unknown authority", ["localhost"], -DAY, DAY, False, "(set root_ca_cert)"),
]


@pytest.mark.parametrize("row", CERTIFICATES, ids=[row[0] for row in CERTIFICATES])
async def test_certificates(row: Any, tmp_path: Path) -> None:
    """A refused one ends in no login and no password on the wire; ``ssl_skip_verify`` takes any of them."""
    _, names, begins, ends, trusted, told = row
    authority, other = Authority(tmp_path / "one"), Authority(tmp_path / "other")
    directory = await Faulty.start(tls=authority.context(names, begins, ends))
    own = settings(
        directory, urls=[f"ldaps://localhost:{directory.port}"], root_ca_cert=[str((authority if trusted else other).file)]
    )
    try:
        async with logins(configured(**own)) as made:
            verdict = await made.verdict("ada", ADA_PASSWORD)
            if told:
                assert (verdict.outcome, told in verdict.reason) == (Outcome.UNREACHABLE, True), verdict
                assert directory.received == b""
            else:
                assert verdict.outcome is Outcome.OK, verdict
        async with logins(configured(**own, ssl_skip_verify=True)) as made:
            assert (await made.verdict("ada", ADA_PASSWORD)).outcome is Outcome.OK
            assert SERVICE_PASSWORD.encode() in directory.received
    finally:
        await directory.close()


@asynccontextmanager
async def speaking_tls(address: str, context: ssl.SSLContext) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read()
        writer.transport.abort()

    server = await asyncio.start_server(serve, address, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


# Address to listen on, host as configured, names of the certificate, whether that will do, and the SNI that is sent.
NAMES: list[tuple[str, str, list[str], bool, str | None]] = [
    ("127.0.0.1", "localhost", ["localhost"], True, "localhost"),
    ("127.0.0.1", "LOCALHOST", ["localhost"], True, "LOCALHOST"),
    ("127.0.0.1", "127.0.0.1", ["127.0.0.1"], True, None),  # RFC 6066 section 3: no addresses there
    ("127.0.0.1", "127.0.0.1", ["localhost"], False, None),
    ("::1", "::1", ["::1"], True, None),
    ("::1", "[::1]", ["::1"], True, None),
    ("::1", "0:0:0:0:0:0:0:1", ["::1"], True, None),
    ("::1", "[::1]", ["localhost", "127.0.0.1"], False, None),
]


@pytest.mark.parametrize(("address", "host", "names", "fits", "sni"), NAMES)
async def test_names_and_addresses(
    address: str, host: str, names: list[str], fits: bool, sni: str | None, tmp_path: Path
) -> None:
    """RFC 4513 section 3.1.3: against what is configured, never against what a name resolves to."""
    authority = Authority(tmp_path)
    context, asked = authority.context(names), []
    context.sni_callback = lambda connection, name, own: asked.append(name)
    ours = tls_context(ca_files=[authority.file])[0]
    async with speaking_tls(address, context) as port:
        if fits:
            await (await connect(Endpoint(host, port, "ldaps"), ours, timeout=SECONDS)).close()
        else:
            with pytest.raises(Unreachable, match=NAME_IT):
                await connect(Endpoint(host, port, "ldaps"), ours, timeout=SECONDS)
    assert asked == [sni]


async def test_tls_where_none_is_spoken() -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        await reader.read()
        writer.transport.abort()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    try:
        endpoint = Endpoint("127.0.0.1", server.sockets[0].getsockname()[1], "ldaps")
        with pytest.raises(Unreachable, match="no TLS is spoken there: check use_ssl, start_tls and port"):
            await connect(endpoint, tls_context()[0], timeout=SECONDS)
    finally:
        server.close()
        await server.wait_closed()
