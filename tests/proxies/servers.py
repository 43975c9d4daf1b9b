"""Real proxies, run with the files of conf/proxy, and the application behind them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

FILES = Path(__file__).parents[2] / "conf" / "proxy"
START_SECONDS = 20.0
SBIN = f"{os.environ['PATH']}:/usr/sbin:/sbin"

TRUSTING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TRUSTING.check_hostname, TRUSTING.verify_mode = False, ssl.CERT_NONE

# Spellings of one name to those who make one sign of all others, as CGI does (RFC 3875 4.1.18); CVE-2025-64484.
TWINS = [
    name.replace("-", first, 1).replace("-", second)
    for name in ("Remote-User", "REMOTE-GROUPS", "X-WEBAUTH-USER", "x-webauth-role", "X-Forwarded-User")
    for first, second in itertools.product("-_.~", repeat=2)
    if first + second != "--" and (name.count("-") == 2 or first == second)
]


TOKENS = ("#tokens# ", "")
"""Lets in the lines for tokens of Grafana's service accounts."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Ports:
    https: int
    gateway: int
    application: int


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def from_application(self) -> bool:
        """Whether the request passed."""
        return b'"received"' in self.body

    @property
    def seen(self) -> dict[str, str]:
        """What the application was sent, names in lower case; repeated headers joined by ``|``."""
        found: dict[str, str] = {}
        told = json.loads(self.headers["seen"]) if self.status == 101 else json.loads(self.body)["headers"]
        for name, value in told:
            found[name.lower()] = f"{found[name.lower()]}|{value}" if name.lower() in found else value
        return found


async def application(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers with what it was sent; takes every upgrade and echoes."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
            headers = [tuple(line.split(": ", 1)) if ": " in line else (line.rstrip(":"), "") for line in lines]
            known = {name.lower(): value for name, value in headers}
            if protocol := known.get("upgrade"):
                if protocol.lower() != "websocket":
                    # RFC 7540 3.2: the connection is HTTP of its own from here on, and no proxy sees its requests.
                    writer.write(f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n".encode())
                    return
                seed = known["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3
                accept = base64.b64encode(hashlib.sha1(seed.encode()).digest())
                switched = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                groups, seen = known.get("remote-groups", ""), json.dumps(headers)
                told = f"\r\nSeen-Groups: {groups}\r\nSeen: {seen}\r\n\r\n".encode()
                writer.write(switched + b"Sec-WebSocket-Accept: " + accept + told)
                while data := await reader.read(4096):
                    writer.write(data)
                return
            if known.get("expect", "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            received = await body_of(reader, known)
            told = {"request": first, "headers": headers, "received": len(received), "host": known.get("host", "")}
            text = json.dumps(told).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(text))
            writer.write(b"" if first.startswith("HEAD") else text)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def body_of(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    received = b""
    while size := int(await reader.readline(), 16):
        received += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return received


def certificate(directory: Path) -> Path:
    """Key and certificate in one file."""
    names = "DNS:app.example.com,DNS:grafana.example.com,DNS:auth.example.com"
    key, text, both = directory / "site.key", directory / "site.crt", directory / "site.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=app.example.com", "-addext", f"subjectAltName={names}", "-keyout", str(key), "-out", str(text)],
        check=True, capture_output=True,
    )  # fmt: skip
    both.write_bytes(text.read_bytes() + key.read_bytes())
    return both


def replaced(text: str, *changes: tuple[str, str]) -> str:
    """The file of conf/proxy with addresses and paths of the test; each must be there."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def with_ports(text: str, ports: Ports) -> str:
    text = replaced(text, ("127.0.0.1:8080", f"127.0.0.1:{ports.application}"), ("127.0.0.1:3000", f"127.0.0.1:{ports.application}"))
    return text.replace("127.0.0.1:8008", f"127.0.0.1:{ports.gateway}")


def nginx(
    directory: Path, ports: Ports, *, unix: Path | None = None, cache: bool = False, tokens: bool = False
) -> list[str]:
    pem = certificate(directory)
    text = replaced(
        with_ports((FILES / "nginx.conf").read_text(), ports),
        ("listen 443 ssl", f"listen 127.0.0.1:{ports.https} ssl"),
        ("/etc/ssl/example.com.crt", str(pem)),
        ("/etc/ssl/example.com.key", str(pem)),
    )
    if unix is not None:
        text = replaced(text, ("#server unix:/run/ldap-gateway/http.sock;", f"server unix:{unix};"))
        text = replaced(text, (f"        server 127.0.0.1:{ports.gateway};\n", ""))
    if tokens:
        text = replaced(text, TOKENS)
    if cache:
        text = replaced(text, ("#cache# ", ""), ("/var/cache/nginx/gateway", str(directory / "cache")))
    places = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    own = "".join(f"{place}_temp_path {directory}/{place};\n" for place in places) + "access_log off;\n"
    (directory / "nginx.conf").write_text(replaced(text, ("http {\n", f"http {{\n{own}")))
    user = "user root; " if os.geteuid() == 0 else ""
    log = str(directory / "error.log")
    return [
        "nginx", "-p", str(directory), "-c", str(directory / "nginx.conf"), "-e", log,
        "-g", f"{user}daemon off; pid {directory}/nginx.pid; error_log {log};",
    ]  # fmt: skip


def caddy(
    directory: Path, ports: Ports, *, balanced: bool = False, tokens: bool = False, signed: bool = False
) -> list[str]:
    """``balanced``: whoever connects is a load balancer whose word on addresses counts. ``signed``: the line for
    grafana-jwt in the place of the other."""
    pem = certificate(directory)
    text = with_ports((FILES / "Caddyfile").read_text(), ports)
    for host in ("app", "grafana", "auth"):
        site = f"{host}.example.com {{\n"
        text = replaced(text, (f"\n{site}", f"\n{host}.example.com:{ports.https} {{\n\tbind 127.0.0.1\n\ttls {pem} {directory}/site.key\n"))
    if tokens:
        text = replaced(text, TOKENS)
    if signed:
        other = "copy_headers X-WEBAUTH-USER X-WEBAUTH-NAME X-WEBAUTH-EMAIL X-WEBAUTH-ROLE X-WEBAUTH-GROUPS"
        text = replaced(text, (other, "# nothing"), ("#jwt# ", ""))
    if balanced:
        text = replaced(text, ("forward-auth?\n", "forward-auth?\n\t\t\ttrusted_proxies 127.0.0.1\n"))
    (directory / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + text)
    return ["caddy", "run", "--config", str(directory / "Caddyfile"), "--adapter", "caddyfile"]


def haproxy(directory: Path, ports: Ports, *, tokens: bool = False) -> list[str]:
    pem = certificate(directory)
    text = replaced(
        with_ports((FILES / "haproxy.cfg").read_text(), ports),
        ("bind :443 ssl crt /etc/haproxy/certs/", f"bind 127.0.0.1:{ports.https} ssl crt {pem}"),
        ("/etc/haproxy/gateway.lua", str(FILES / "gateway.lua")),
        ("check inter 1s", "check inter 50ms"),
    )
    if tokens:
        text = replaced(text, TOKENS)
    (directory / "haproxy.cfg").write_text(text)
    return ["haproxy", "-db", "-f", str(directory / "haproxy.cfg")]


@contextmanager
def proxy(command: Sequence[str], directory: Path, port: int) -> Iterator[int]:
    """One proxy until the end of the block; its process id."""
    program = shutil.which(command[0], path=SBIN)
    if program is None:
        advice = f"{command[0]} is not installed; as root: apt-get install -y --no-install-recommends {command[0]}"
        if os.geteuid() == 0:
            raise RuntimeError(advice)
        pytest.skip(advice)
    with (directory / "proxy.log").open("wb") as output:
        process = subprocess.Popen(
            [program, *command[1:]], stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=directory,
            env={"PATH": SBIN, "HOME": str(directory), "XDG_DATA_HOME": str(directory), "XDG_CONFIG_HOME": str(directory)},
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _listens(port):
            assert process.poll() is None and time.monotonic() < deadline, (directory / "proxy.log").read_text()
            time.sleep(0.02)
        yield process.pid
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@asynccontextmanager
async def running_application() -> AsyncIterator[int]:
    server = await asyncio.start_server(application, "127.0.0.1", 0, limit=256 * 1024)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def browse(
    port: int,
    path: str = "/x",
    *headers: tuple[str, str],
    method: str = "GET",
    host: str = "app.example.com",
    body: bytes = b"",
    first: str = "",
    source: str = "127.0.0.1",
) -> Reply:
    """One request to the proxy on a connection of its own, over TLS; ``first`` is the whole request line."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=TRUSTING, server_hostname=host, limit=256 * 1024, local_addr=(source, 0)
    )
    named = {name.lower() for name, _ in headers}
    lines = [first or f"{method} {path} HTTP/1.1", *([] if "host" in named else [f"Host: {host}:{port}"])]
    lines += [f"{name}: {value}" for name, value in headers]
    try:
        async with asyncio.timeout(20):
            writer.write("".join(f"{line}\r\n" for line in lines).encode("utf-8") + b"\r\n" + body)
            status = 100
            while status == 100:
                head = await reader.readuntil(b"\r\n\r\n")
                status = int(head.split()[1])
            found: dict[str, str] = {}
            for line in head.decode("utf-8").split("\r\n")[1:-2]:
                name, _, value = line.partition(":")
                found[name.lower()] = f"{found[name.lower()]}|{value.strip()}" if name.lower() in found else value.strip()
            if status == 101 and found.get("upgrade", "").lower() != "websocket":
                return Reply(status, found, b"")
            if status == 101:
                writer.write(b"hello")
                return Reply(status, found, await reader.readexactly(5))
            return Reply(status, found, b"" if method == "HEAD" else await body_of(reader, found))
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


def log_of(directory: Path) -> str:
    return re.sub(r"\s+", " ", (directory / "proxy.log").read_text())[-2000:]
