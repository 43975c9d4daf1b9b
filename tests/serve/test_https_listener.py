"""``https://`` listeners (configuration.md 1.2): real certificates made by openssl, the daemon as it is run."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509

from gateway.cli import main
from gateway.config.load import ConfigurationError, load
from gateway.listener_tls import server_context, tls_of
from gateway.serve.listeners import CurrentContext, HttpsSite
from tests.daemon import Daemon

CONF = Path(__file__).parents[2] / "conf"
ADA = ("ada", "lovelace")
SECONDS = 10.0


def openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def make_pair(directory: Path, name: str, *more: str, kind: str = "ec", days: int = 30) -> None:
    """A certificate that is its own authority, as docs/operations.md makes one."""
    key = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" else ["rsa:2048"]
    openssl(
        "req", "-x509", "-newkey", *key, "-noenc", "-days", str(days), "-subj", f"/CN={name}",
        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1",
        "-keyout", str(directory / f"{name}.key"), "-out", str(directory / f"{name}.pem"), *more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``first`` and ``second`` (another kind of key), and everything that can be wrong with one."""
    directory = tmp_path_factory.mktemp("pairs")
    make_pair(directory, "first")
    make_pair(directory, "second", kind="rsa")
    expired = ("-not_before", "20200101000000Z", "-not_after", "20210101000000Z")
    openssl("req", "-newkey", "rsa:2048", "-noenc", "-subj", "/CN=old", "-keyout", str(directory / "expired.key"),
            "-out", str(directory / "expired.csr"))  # fmt: skip
    _signed(directory, "expired", *expired)
    openssl("pkey", "-in", str(directory / "first.key"), "-aes256", "-passout", "pass:secret", "-out",
            str(directory / "encrypted.key"))  # fmt: skip
    (directory / "nothing.pem").write_text("nothing\n")
    return directory


def _signed(directory: Path, name: str, *dates: str) -> None:
    """Through ``openssl ca``, the only one of its commands that takes dates in the past everywhere."""
    (directory / "ca.cnf").write_text(
        f"[ca]\ndefault_ca = d\n[d]\ndir = {directory}\nnew_certs_dir = {directory}\ndatabase = {directory}/index\n"
        "rand_serial = yes\ndefault_md = sha256\npolicy = p\nunique_subject = no\n[p]\ncommonName = supplied\n"
    )
    (directory / "index").touch()
    times = [text.replace("-not_before", "-startdate").replace("-not_after", "-enddate") for text in dates]
    openssl("ca", "-batch", "-notext", "-config", str(directory / "ca.cnf"), "-selfsign",
            "-keyfile", str(directory / f"{name}.key"), "-in", str(directory / f"{name}.csr"),
            "-out", str(directory / f"{name}.pem"), *times)  # fmt: skip


class Https(Daemon):
    """A daemon whose certificate lies in ``directory``, with quick reloads."""

    def use(self, pairs: Path, name: str, *, key: str = "") -> None:
        for file, source in (("tls.pem", f"{name}.pem"), ("tls.key", f"{key or name}.key")):
            new = self.directory / f".{file}"
            shutil.copy(pairs / source, new)
            new.replace(self.directory / file)

    def trusting(self, ca: Path) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(ca))
        return http.client.HTTPSConnection("localhost", self.port, timeout=SECONDS, context=context)

    def certificate(self) -> str:
        """What a new handshake shows; ValueError is not raised for one that nobody trusts."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.port), SECONDS) as plain, context.wrap_socket(plain) as tls:
            return ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True) or b"")

    def wait_for_certificate(self, pem: str) -> None:
        deadline = time.monotonic() + SECONDS
        while self.certificate() != pem:
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)


@contextmanager
def https(
    directory: Path, pairs: Path, *, uvloop: bool = True, listen: Sequence[str] = ("https://127.0.0.1:0",)
) -> Iterator[Https]:
    environment = {
        "CLEARML__listen": json.dumps(listen),
        "CLEARML__tls__cert_file": str(directory / "tls.pem"),
        "CLEARML__tls__key_file": str(directory / "tls.key"),
        "CLEARML__uvloop": json.dumps(uvloop),
        "CLEARML__reload__settle": "0s",
        "CLEARML__reload__poll": "50ms",
    }
    daemon = Https(directory, files=[CONF / "quickstart.conf"], environment=environment)
    daemon.use(pairs, "first")
    try:
        daemon.start()
        yield daemon
    finally:
        code = daemon.stop()
    assert code == 0, daemon.log
    assert "Traceback" not in daemon.log, daemon.log


@pytest.fixture(scope="module", params=[True, False], ids=["uvloop", "asyncio"])
def daemon(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pairs: Path) -> Iterator[Https]:
    with https(tmp_path_factory.mktemp("daemon"), pairs, uvloop=request.param) as started:
        yield started


def curl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["curl", "-sS", "-m", "10", *arguments], capture_output=True, text=True, check=False)


def test_curl_logs_in_over_tls_and_lists_by_verb(daemon: Https, pairs: Path) -> None:
    base = ["--cacert", str(pairs / "first.pem"), "-w", " %{http_code} %{http_version}"]
    done = curl(*base, "-u", ":".join(ADA), f"https://localhost:{daemon.port}/auth.login")
    assert done.stdout.endswith(" 200 1.1"), (done, daemon.log)  # HTTP/2 was offered
    done = curl(*base, "-X", "LIST", f"https://127.0.0.1:{daemon.port}/v1/auth/local/users")
    assert done.stdout.endswith(" 403 1.1"), done  # understood: there is no token


def test_another_authority_is_not_trusted(daemon: Https, pairs: Path) -> None:
    done = curl("--cacert", str(pairs / "second.pem"), f"https://localhost:{daemon.port}/healthz/live")
    assert done.returncode == 60, done


def test_addresses_and_client_are_told(daemon: Https, pairs: Path) -> None:
    """The peer's address reaches the audit trail through TLS, and is believed as a proxy's."""
    connection = daemon.trusting(pairs / "first.pem")
    headers = {"Authorization": "Basic YWRhOndyb25n", "X-Forwarded-For": "192.0.2.9"}
    connection.request("POST", "/auth.login", headers=headers)
    assert connection.getresponse().status == 401
    connection.close()
    daemon.wait_for_event(action="login", outcome="failure", client="192.0.2.9")
    assert f"listens on https://127.0.0.1:{daemon.port}" in daemon.log
    assert f"curl -s -u ada:lovelace https://127.0.0.1:{daemon.port}/auth.login" in daemon.log


def test_cookies_are_secure(daemon: Https, pairs: Path) -> None:
    """``public_url`` follows the first listener, and cookies follow that (clearml.md 5, forward-auth.md 7)."""
    for path, body in (("/auth.login", ""), ("/api/login", json.dumps({"user": ADA[0], "password": ADA[1]}))):
        connection = daemon.trusting(pairs / "first.pem")
        headers = {"Content-Type": "application/json"} if body else {"Authorization": "Basic YWRhOmxvdmVsYWNl"}
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        assert "Secure" in response.headers.get("Set-Cookie", ""), (path, response.status, response.read())
        connection.close()


def test_known_questions_are_answered_at_once(daemon: Https, pairs: Path) -> None:
    """The fast path reads the peer from the socket beneath TLS."""
    connection = daemon.trusting(pairs / "first.pem")
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "app.example.com", "X-Forwarded-Uri": "/",
               "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Method": "GET"}  # fmt: skip
    seen = set()
    for _ in range(3):
        connection.request("GET", "/api/authz/forward-auth", headers=headers)
        response = connection.getresponse()
        seen.add((response.status, response.read()))
    connection.close()
    assert len(seen) == 1
    assert {status for status, _ in seen} <= {302, 401, 403}


# what a client speaks, whether it may
VERSIONS = [
    ("-tls1_1", False),
    ("-tls1_2", True),
    ("-tls1_3", True),
]


@pytest.mark.parametrize(("version", "welcome"), VERSIONS)
def test_versions_of_tls(daemon: Https, pairs: Path, version: str, welcome: bool) -> None:
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{daemon.port}", version, "-cipher", "ALL:@SECLEVEL=0",
         "-CAfile", str(pairs / "first.pem"), "-verify_return_error", "-alpn", "h2,http/1.1"],
        input="", capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert (done.returncode == 0) is welcome, done
    assert ("ALPN protocol: http/1.1" in done.stdout) is welcome


# a client of TLS 1.2 that offers only this
WEAK = ["AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA256", "NULL-SHA256"]


@pytest.mark.parametrize("cipher", WEAK)
def test_weak_ciphers_are_refused(daemon: Https, cipher: str) -> None:
    """RFC 9325 4.2: no key exchange without forward secrecy, no CBC, no NULL."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{daemon.port}", "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0"],
        input="", capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode, done.stdout
    assert "Cipher is (NONE)" in done.stdout, done


@pytest.mark.parametrize(("oldest", "welcome"), [("TLS1.2", True), ("TLS1.3", False)])
def test_the_oldest_version_can_be_raised(pairs: Path, oldest: str, welcome: bool) -> None:
    server = server_context((pairs / "first.pem").read_bytes(), (pairs / "first.key").read_bytes(), oldest)
    client = ssl.create_default_context(cafile=str(pairs / "first.pem"))
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()
    answer = server.wrap_bio(to_server, to_client, server_side=True)
    with pytest.raises(ssl.SSLWantReadError if welcome else ssl.SSLError, match=None if welcome else "PROTOCOL"):
        answer.do_handshake()


def test_no_second_handshake_on_a_connection(pairs: Path) -> None:
    """RFC 5746 aside, it costs us more than the client; be it allowed by OpenSSL's own configuration or age."""
    context = server_context((pairs / "first.pem").read_bytes(), (pairs / "first.key").read_bytes(), "TLS1.2")
    context.options |= _ALLOW_CLIENT_RENEGOTIATION
    with ThreadPoolExecutor(1) as threads, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SECONDS)
        served = threads.submit(_serve_one, context, listener)
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{listener.getsockname()[1]}", "-tls1_2"],
            input="R\nQ\n", capture_output=True, text=True, check=False, timeout=SECONDS,
        )  # fmt: skip
        served.result()
    assert "RENEGOTIATING" in done.stderr
    assert "no renegotiation" in done.stderr, done.stderr
    assert done.returncode


_ALLOW_CLIENT_RENEGOTIATION = 1 << 8
"""``SSL_OP_ALLOW_CLIENT_RENEGOTIATION`` of OpenSSL 3; before, it was always so."""


def _serve_one(context: ssl.SSLContext, listener: socket.socket) -> None:
    plain, _ = listener.accept()
    plain.settimeout(SECONDS)
    with plain, suppress(OSError), context.wrap_socket(plain, server_side=True) as tls:
        while tls.recv(4096):
            pass


def test_a_write_through_an_api_needs_no_file(pairs: Path, tmp_path: Path) -> None:
    """What the files held at the last load counts (configuration.md 1.2, DECISIONS 22), for certificates too."""
    for name in ("first.pem", "first.key"):
        shutil.copy(pairs / name, tmp_path / name)
    environment = {
        "CLEARML__listen": "https://127.0.0.1:0", "CLEARML__state_dir": str(tmp_path),
        "CLEARML__tls__cert_file": str(tmp_path / "first.pem"), "CLEARML__tls__key_file": str(tmp_path / "first.key"),
    }  # fmt: skip
    before = load([CONF / "quickstart.conf"], environment)
    (tmp_path / "first.key").unlink()
    again = load([CONF / "quickstart.conf"], environment, held=before.contents)
    assert tls_of(again.configuration, again.contents) is not None
    with pytest.raises(ConfigurationError) as caught:
        load([CONF / "quickstart.conf"], environment)
    assert "tls.key_file: cannot be read: No such file or directory" in str(caught.value)


def test_a_certificate_is_swapped_under_a_living_connection(tmp_path: Path, pairs: Path) -> None:
    """DESIGN 4.5: a new handshake sees the new one, also of another kind of key; an open connection goes on."""
    first, second = ((pairs / f"{name}.pem").read_text() for name in ("first", "second"))
    for uvloop in (True, False):
        (directory := tmp_path / str(uvloop)).mkdir()
        with https(directory, pairs, uvloop=uvloop) as daemon:
            kept = daemon.trusting(pairs / "first.pem")
            kept.request("GET", "/healthz/live")
            assert kept.getresponse().read()
            assert daemon.certificate() == first

            daemon.use(pairs, "second")
            daemon.wait_for_certificate(second)
            daemon.wait_for_event(action="configuration.apply", reason="file", target="tls.cert_file, tls.key_file")
            end = x509.load_pem_x509_certificate(second.encode()).not_valid_after_utc
            daemon.wait_for(f"changed: tls.cert_file (valid until {end:%Y-%m-%d %H:%M} UTC), tls.key_file")
            before, sock = kept.sock, kept.sock
            kept.request("GET", "/healthz/live")
            assert kept.getresponse().read()
            assert kept.sock is before is sock is not None

            daemon.use(pairs, "first", key="second")  # a broken pair
            daemon.wait_for("tls.key_file: is not the key of the first certificate in tls.cert_file")
            assert daemon.certificate() == second
            daemon.use(pairs, "nothing", key="first")
            daemon.wait_for("tls.cert_file: holds no certificate in PEM form")
            assert daemon.certificate() == second

            daemon.use(pairs, "first")
            daemon.wait_for_certificate(first)
            kept.request("GET", "/healthz/live")
            assert kept.getresponse().status == 200
            kept.close()


def test_plain_http_is_cut_off_and_no_password_is_repeated(daemon: Https) -> None:
    with socket.create_connection(("127.0.0.1", daemon.port), SECONDS) as plain:
        plain.sendall(b"GET /auth.login HTTP/1.1\r\nHost: a\r\nAuthorization: Basic cGxhbnRlZA==\r\n\r\n")
        answer = b""
        while piece := plain.recv(4096):
            answer += piece
    assert b"HTTP/" not in answer
    assert "cGxhbnRlZA" not in daemon.log
    assert daemon.certificate()


@asynccontextmanager
async def listening(pairs: Path, **limits: float) -> AsyncIterator[int]:
    """The port of a listener alone, which answers ``here``."""
    context = server_context((pairs / "first.pem").read_bytes(), (pairs / "first.key").read_bytes(), "TLS1.2")

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="here")

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    try:
        await HttpsSite(runner, "127.0.0.1", 0, CurrentContext(lambda: context), **limits).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_a_handshake_has_an_end(pairs: Path) -> None:
    """A hundred clients that begin and say nothing more are let go; others are served in the meantime."""
    async with listening(pairs, handshake_seconds=0.5) as port:
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(100)]
        for _, writer in slow[:50]:
            writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")  # a ClientHello that has begun
        trusting = ssl.create_default_context(cafile=str(pairs / "first.pem"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="localhost")
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert b"here" in await reader.read()
        writer.close()
        async with asyncio.timeout(SECONDS):
            assert [await reader.read() for reader, _ in slow] == [b""] * 100
        for _, writer in slow:
            writer.close()
            await asyncio.wait_for(writer.wait_closed(), SECONDS)


async def test_a_farewell_has_an_end(pairs: Path) -> None:
    """A client that never answers our ``close_notify`` (RFC 8446 6.1) keeps no connection open."""
    async with listening(pairs, shutdown_seconds=0.5) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = ssl.create_default_context(cafile=str(pairs / "first.pem")).wrap_bio(
            received, sent, server_hostname="localhost"
        )

        async def step(do: Callable[[], object]) -> None:
            while True:
                try:
                    do()
                    return
                except ssl.SSLWantReadError:
                    writer.write(sent.read())
                    received.write(await reader.read(65536))
                finally:
                    writer.write(sent.read())

        await step(client.do_handshake)
        await step(lambda: client.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
        async with asyncio.timeout(SECONDS):
            while await reader.read(65536):
                pass  # without a word
        writer.close()
        await writer.wait_closed()


def test_the_daemon_stops_beside_unfinished_handshakes(tmp_path: Path, pairs: Path) -> None:
    with https(tmp_path, pairs) as daemon, socket.create_connection(("127.0.0.1", daemon.port), SECONDS) as silent:
        silent.sendall(b"\x16\x03\x01")
        idle = daemon.trusting(pairs / "first.pem")
        idle.request("GET", "/healthz/live")
        assert idle.getresponse().read()
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < SECONDS
        idle.close()


def test_ipv6_and_a_unix_socket_beside_it(tmp_path: Path, pairs: Path) -> None:
    socket_path = tmp_path / "http.sock"
    with https(tmp_path, pairs, listen=["https://[::1]:0", f"unix:{socket_path}"]) as daemon:
        assert f"https://[::1]:{daemon.port}" in daemon.log
        done = curl("--cacert", str(pairs / "first.pem"), f"https://[::1]:{daemon.port}/healthz/live")
        assert '"ok"' in done.stdout, done
        done = curl("--unix-socket", str(socket_path), "http://x/healthz/live")
        assert '"ok"' in done.stdout, done


# listen, the section tls, exit code, what is said (configuration.md 1.2)
CHECKED: list[tuple[str, dict[str, str], int, str]] = [
    ("https://127.0.0.1:1", {"cert_file": "first.pem", "key_file": "first.key"}, 0, ""),
    ("https://[::1]:1", {"cert_file": "second.pem", "key_file": "second.key", "min_version": "TLS1.3"}, 0, ""),
    ("https://127.0.0.1:1", {}, 78, "tls.cert_file: is needed: listen has https://127.0.0.1:1"),
    ("https://127.0.0.1:1", {}, 78, "tls.key_file: is needed"),
    ("https://127.0.0.1:1", {"cert_file": "first.pem"}, 78, "tls.key_file: is needed"),
    ("https://127.0.0.1:1", {"cert_file": "no.pem", "key_file": "first.key"}, 78, "tls.cert_file: cannot be read"),
    ("https://127.0.0.1:1", {"cert_file": "first.pem", "key_file": "."}, 78, "tls.key_file: cannot be read: Is a directory"),
    ("https://127.0.0.1:1", {"cert_file": "first.pem", "key_file": "second.key"}, 78,
     "tls.key_file: is not the key of the first certificate in tls.cert_file"),
    ("https://127.0.0.1:1", {"cert_file": "first.pem", "key_file": "encrypted.key"}, 78, "tls.key_file: is encrypted"),
    ("https://127.0.0.1:1", {"cert_file": "nothing.pem", "key_file": "first.key"}, 78, "holds no certificate"),
    ("https://127.0.0.1:1", {"cert_file": "first.pem", "key_file": "first.pem"}, 78, "holds no private key"),
    ("https://127.0.0.1:1", {"cert_file": "first.pem", "key_file": "first.key", "min_version": "TLS1.1"}, 78,
     "tls.min_version: expected"),
    ("https://127.0.0.1:1", {"cert_file": "expired.pem", "key_file": "expired.key"}, 0,
     "tls.cert_file: expired on 2021-01-01"),
    ("https://127.0.0.1:1", {"cert_file": "first.pem", "key_file": "open.key"}, 0,
     "tls.key_file: can be read by everybody"),
    ("127.0.0.1:1", {"cert_file": "first.pem", "key_file": "first.key"}, 0, "tls.cert_file: has no effect"),
    ("https://0.0.0.0:1", {"cert_file": "first.pem", "key_file": "first.key"}, 0, ""),
    ("0.0.0.0:1", {}, 0, "listen: passwords cross the network in clear text on 0.0.0.0:1"),
    ("https://127.0.0.1", {}, 78, "listen: expected host:port, [v6]:port, https://host:port or unix:PATH"),
    ("https://unix:/x", {}, 78, "listen: expected host:port"),
    ("HTTPS://127.0.0.1:1/", {}, 78, "listen: expected host:port"),
]  # fmt: skip


@pytest.mark.parametrize(("listen", "tls", "code", "said"), CHECKED)
def test_what_is_wrong_is_said_by_key(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], listen: str, tls: dict[str, str], code: int,
    said: str,
) -> None:  # fmt: skip
    shutil.copy(pairs / "first.key", pairs / "open.key")
    (pairs / "open.key").chmod(0o644)
    file = tmp_path / "gateway.json"
    files = {key: str(pairs / name) if key.endswith("file") else name for key, name in tls.items()}
    users = [{"username": "grace", "password_hash_file": str(tmp_path / "hash")}]
    (tmp_path / "hash").write_text("$2b$04$CCCCCCCCCCCCCCCCCCCCCuTvLvrsoOoLRDBbDBZ2r0wMO.SHcHnjq")
    file.write_text(json.dumps({"listen": [listen], "tls": files, "users": users, "state_dir": str(tmp_path)}))
    assert main(["config", "check", "-c", str(file)]) == code
    output = capsys.readouterr()
    told = output.out + output.err
    assert said in told, told
    if not said:
        assert "warning" not in told, told
    assert "PRIVATE" not in told


LISTENERS: list[tuple[str, str]] = [
    ("https://auth.example.com:443", "https://auth.example.com"),
    ("https://0.0.0.0:8443", "https://localhost:8443"),
    ("https://[::1]:0", "https://[::1]"),
    ("127.0.0.1:80", "http://127.0.0.1"),
]


@pytest.mark.parametrize(("listen", "public_url"), LISTENERS)
def test_public_url_follows_the_first_listener(listen: str, public_url: str) -> None:
    from gateway.config.schema import Configuration

    configuration = Configuration.model_validate({"listen": [listen, "127.0.0.1:1"]})
    assert configuration.public_url == public_url
    assert [str(address) for address in configuration.listen] == [listen, "127.0.0.1:1"]
    assert configuration.secure_cookies is public_url.startswith("https")
