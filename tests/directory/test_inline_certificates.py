"""Certificates that stand in the configuration itself (configuration.md 1.3), against a real slapd that wants them."""

from __future__ import annotations

import base64
import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config.schema import Secret, Server
from gateway.directory.pools import Pools, make_pool
from gateway.directory.tls import TlsSettingsError, pem_text, tls_context
from tests.directories.slapd import COMPANY, SERVICE_DN, SERVICE_PASSWORD, Slapd, make_certificates


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """A slapd that refuses whoever has no certificate of its CA."""
    directory = tmp_path_factory.mktemp("slapd") / "strict"
    with Slapd.start(COMPANY, directory=directory, tls=True) as slapd:
        file = directory / "slapd.conf"
        file.write_text(file.read_text().replace("database mdb", "TLSVerifyClient demand\ndatabase mdb", 1))
        slapd.restart()
        yield slapd


def coded(text: str) -> str:
    return base64.encodebytes(text.encode()).decode()


def server(slapd: Slapd, **settings: object) -> Server:
    values = {"urls": [slapd.ldaps_url], "bind_dn": SERVICE_DN, "bind_password": Secret(SERVICE_PASSWORD), **settings}
    return Server.model_validate({"name": "corp", "search_base_dns": ["dc=example,dc=com"], **values})


@pytest.mark.parametrize("kind", ["pem", "base64", "files", "certificate in a file", "key in a file", "none", "stranger"])
async def test_client_certificates(strict: Slapd, tmp_path: Path, kind: str) -> None:
    """grafana.md 1.2: ``root_ca_cert_value`` and the client's pair, as PEM or base64 of it, mixed with files."""
    place = strict.directory
    if kind == "stranger":
        make_certificates(place := tmp_path)
    own = strict.ca_file.read_text()
    certificate, key = place / "server.pem", place / "server.key"
    texts = {"client_cert_value": certificate.read_text(), "client_key_value": Secret(key.read_text())}
    files = {"client_cert": certificate, "client_key": key}
    settings: dict[str, dict[str, object]] = {
        "pem": {"root_ca_cert_value": own, **texts},
        "base64": {
            "root_ca_cert_value": coded(own),
            "client_cert_value": coded(certificate.read_text()),
            "client_key_value": Secret(coded(key.read_text())),
        },
        "files": {"root_ca_cert": [strict.ca_file], **files},
        "certificate in a file": {"root_ca_cert_value": own, "client_cert": certificate, "client_key_value": texts["client_key_value"]},
        "key in a file": {"root_ca_cert_value": own, "client_cert_value": texts["client_cert_value"], "client_key": key},
        "none": {"root_ca_cert_value": own},
        "stranger": {"root_ca_cert_value": own, **texts},
    }  # fmt: skip
    opened = len(os.listdir("/proc/self/fd"))
    pool = await make_pool(server(strict, **settings[kind]))
    assert len(os.listdir("/proc/self/fd")) == opened
    try:
        await pool.start()
        assert pool.state.up == (kind not in ("none", "stranger")), pool.state.error
    finally:
        await pool.close()


def test_authorities_in_files_and_in_the_configuration_add_up(strict: Slapd, tmp_path: Path) -> None:
    make_certificates(tmp_path)
    context, _ = tls_context(ca_files=[strict.ca_file], ca_text=(tmp_path / "ca.pem").read_text())
    assert context.cert_store_stats()["x509"] == 2
    only, _ = tls_context(ca_text=strict.ca_file.read_text())
    assert only.cert_store_stats()["x509"] == 1
    assert only.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("text", ["", "x", "bm90IFBFTQ==", "-----BEGIN", "-----BEGIN CERTIFICATE-----\nö", "\0"])
def test_what_is_no_pem(text: str) -> None:
    with pytest.raises(TlsSettingsError) as refused:
        pem_text(text)
    assert not text or text not in str(refused.value) or text in "-----BEGIN x"


def test_unusable_certificates(strict: Slapd) -> None:
    certificate, key = ((strict.directory / name).read_text() for name in ("ca.pem", "server.key"))
    with pytest.raises(TlsSettingsError, match="no usable certificate"):
        tls_context(ca_text=key)
    with pytest.raises(TlsSettingsError, match="no certificate with its unencrypted key"):
        tls_context(client_cert_text=certificate, client_key_text=key)  # another's key
    with pytest.raises(TlsSettingsError, match="No such file"):
        tls_context(client_cert="/none.pem", client_key_text=key)


async def test_a_changed_value_makes_a_new_pool(strict: Slapd, tmp_path: Path) -> None:
    """A reload keeps the connections of a server only while all that they were made of stays the same."""
    make_certificates(tmp_path)
    pools = Pools()
    texts = [strict.ca_file.read_text(), strict.ca_file.read_text(), (tmp_path / "ca.pem").read_text()]
    held = [await pools.acquire(server(strict, root_ca_cert_value=text)) for text in texts]
    assert held[0] is held[1] is not held[2]
    for pool in held:
        await pools.release(pool)
