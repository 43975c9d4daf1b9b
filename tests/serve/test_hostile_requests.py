"""Bad input ends in a clear answer at once, loses nothing, and costs no memory (issue text 8; DECISIONS 28, 30)."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.daemon import Daemon, running
from tests.serve.test_clearml_protocol import password_hash

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    users = [{"username": "ada", "name": "Ada", "password_hash": password_hash("lovelace")}]
    environment = {
        "CLEARML__users": json.dumps(users),
        "CLEARML__login__floor": "0",
        "CLEARML__lockout__failures": "1000",
        "CLEARML__lockout__address_failures": "100000",
    }
    with running(tmp_path_factory.mktemp("daemon"), environment=environment) as started:
        yield started


def raw(daemon: Daemon, *pieces: bytes, pause: float = 0.0) -> bytes:
    """Send bytes as they are, and read until the daemon closes or has nothing more to say."""
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=10) as connection:
        for piece in pieces:
            try:
                connection.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                break
            time.sleep(pause)
        connection.settimeout(0.5)
        answer = b""
        try:
            while chunk := connection.recv(65536):
                answer += chunk
        except (TimeoutError, ConnectionResetError):
            pass
        return answer


def test_a_ten_megabyte_login_is_refused_before_reading(daemon: Daemon) -> None:
    head = b"POST /auth.login HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YWRhOng=\r\nContent-Length: 10485760\r\n\r\n"
    answer = raw(daemon, head)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"result_code":413' in answer


def test_a_login_body_without_length_is_cut_off(daemon: Daemon) -> None:
    head = b"POST /auth.login HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YWRhOmxvdmVsYWNl\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    answer = raw(daemon, head, chunk, chunk)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_the_smaller_limit_is_for_logins_alone(daemon: Daemon) -> None:
    body = json.dumps({"padding": "x" * 100_000})
    assert daemon.call("/auth.login", basic=("ada", "lovelace"), method="POST", body=body).verdict == (413, 0)
    assert daemon.call("/debug.ping", method="POST", body=body).status == 200
    assert daemon.call("/debug.ping", method="POST", body=" " * (MIB + 1)).verdict == (413, 0)


@pytest.mark.parametrize("body", [b"[" * 60_000, b'{"a":' * 10_000, b"[" * 60_000 + b"]" * 3], ids=["lists", "maps", "cut"])
def test_nested_json(daemon: Daemon, body: bytes) -> None:
    assert daemon.call("/auth.login", basic=("ada", "lovelace"), method="POST", body=body).verdict == (400, 0)


def test_a_hundred_thousand_nested_lists(daemon: Daemon) -> None:
    body = b"[" * 100_000 + b"]" * 100_000
    assert daemon.call("/debug.ping", method="POST", body=body).verdict == (400, 0)
    assert daemon.call("/auth.login", basic=("ada", "lovelace"), method="POST", body=body).verdict == (413, 0)


def test_a_nul_in_the_name(daemon: Daemon) -> None:
    assert daemon.login("a\0da", "lovelace").verdict == (400, 12)
    assert daemon.login("ada\0", "lovelace").verdict == (400, 12)


# bytes on the wire, how the answer begins
RAW = [
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 "),
    (b"GET http://x/auth.login HTTP/1.1\r\nHost: y\r\n\r\n", b"HTTP/1.1 401 "),
    (b"GET /%ff%fe.x HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 400 "),
    (b"GET /a\xffb.c HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.0 400 "),
    (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 404 "),
    (b"GET /auth.login HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe.\xfd.x\r\n\r\n", b"HTTP/1.1 401 "),
    (b"GET /auth.login HTTP/1.1\r\nHost: x\r\nAuthorization: Basic \xff\xfe\r\n\r\n", b"HTTP/1.1 401 "),
    (b"GET /auth.login HTTP/1.1\r\nHost: x\r\nCookie: clearml_token_basic=\xff; =; ;;\r\n\r\n", b"HTTP/1.1 401 "),
    (b"GET /auth.login HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: junk\r\nAuthorization: Basic YWRhOng=\r\n\r\n", b"HTTP/1.1 400 "),
    (b"GET /debug.ping?" + b"a=1&" * 2000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 400 "),
    (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 404 "),
    (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.0 431 "),  # forward-auth.md 6
    (b"GET /debug.ping HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", b"HTTP/1.0 431 "),
    (b"GET /debug.ping HTTP/1.1\r\n" + b"X: " + b"a" * 20_000 + b"\r\n\r\n", b"HTTP/1.0 400 "),
    (b"GET /debug.ping HTTP/1.1\r\n" + b"X: a\r\n" * 500 + b"\r\n", b"HTTP/1.0 431 "),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40, b"HTTP/1.0 400 "),
    (b"GET /debug.ping HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", b"HTTP/1.0 400 "),
    (b"POST /debug.ping HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", b"HTTP/1.0 400 "),
    (b"POST /debug.ping HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}", b"HTTP/1.1 100 "),
    (b"GET /debug.ping HTTP/1.1\r\nHost: x\r\nX-Clearml-Trx: " + b"t" * 5000 + b"\r\n\r\n", b"HTTP/1.1 200 "),
]


@pytest.mark.parametrize(("sent", "begins"), RAW)
def test_bytes(daemon: Daemon, sent: bytes, begins: bytes) -> None:
    answer = raw(daemon, sent)
    assert answer.startswith(begins), answer[:300]
    assert b"Traceback" not in answer


def test_an_unreadable_request_is_not_repeated(daemon: Daemon) -> None:
    """Its Authorization header may be what made it unreadable."""
    secret = b"YWRhOmxvdmVsYWNlLXBsYW50ZWQ"
    answer = raw(daemon, b"GET /auth.login HTTP/1.1\r\nHost: x\r\nAuthorization: Basic " + secret + b"\0\r\n\r\n")
    assert b" 400 " in answer.splitlines()[0]
    assert secret not in answer
    assert secret.decode() not in daemon.log


def test_lone_surrogates_are_answered(daemon: Daemon) -> None:
    answer = daemon.call("/debug.ping", method="POST", body=b'{"a":"\\ud800"}')
    assert answer.status == 200
    bad = daemon.call("/users.get_vaults", basic=("ada", "lovelace"), method="POST", body=b'{"types":["\\ud800"]}')
    assert bad.verdict == (400, 12)


def test_floods_leave_memory_flat(daemon: Daemon) -> None:
    """Forged tokens, unknown names and oversized bodies by the thousand."""

    def attack(number: int) -> int:
        daemon.call("/users.get_current_user", bearer=f"eyJhbGciOiJIUzI1NiJ9.{number}.x")
        daemon.login(f"nobody-{number}", "x" * 1000)
        return daemon.call("/debug.ping", method="POST", body=b" " * 200_000).status

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(attack, range(150))) == {200}
        before = daemon.memory_kib()
        assert set(threads.map(attack, range(150, 900))) == {200}
    assert daemon.memory_kib() - before < 12 * 1024
    assert daemon.login("ada", "lovelace").status == 200


def test_nothing_of_it_reached_the_log_as_a_traceback(daemon: Daemon) -> None:
    assert "Traceback" not in daemon.log
    assert daemon.process.poll() is None
