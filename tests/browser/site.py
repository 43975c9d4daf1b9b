"""What a person meets: nginx with the file of conf/proxy on TLS, the daemon behind it, and an application with pages.

Everything listens on loopback; ``app.example.com`` and ``auth.example.com`` are one port of nginx, whose certificate is
made for the occasion.
"""

from __future__ import annotations

import html
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate

from tests.admin_client import by_socket
from tests.daemon import Daemon, running
from tests.proxies.servers import Ports, free_port, nginx, proxy
from tests.serve.test_clearml_protocol import password_hash

PASSWORD = "correct horse battery staple"
LONG_NAME = "Wolfeschlegelsteinhausenbergerdorff-Featherstonehaugh, Hubert Blaine"

CONFIGURATION = """
public_url = "https://auth.example.com:PORT"
session {
  cookies = [{ domain = "example.com", portal_url = "https://auth.example.com:PORT" }]
  expiration = 1 hour, inactivity = INACTIVITY
}
users = [
  { username = ada, name = "Ada Lovelace", email = "ada@example.com", groups = [dev, ops], password_hash = "HASH" }
  { username = bob, name = "Bob", email = "bob@example.com", groups = [guests], password_hash = "HASH" }
  { username = hubert.blaine.wolfeschlegelsteinhausenbergerdorff, name = "LONG", email = "hubert@example.com", groups = [dev], password_hash = "HASH" }
]
access_control {
  redirect_ports = [PORT]
  rules = [
    { name = public, domain = "app.example.com", resources = "^/public(/|$)", policy = bypass }
    { name = operations, domain = "app.example.com", resources = "^/operations(/|$)", subject = "group:ops", policy = authenticated }
    { name = operators, domain = "app.example.com", resources = "^/operations(/|$)", policy = deny }
    { name = app, domain = "app.example.com", policy = authenticated }
    { name = grafana, domain = "grafana.example.com", subject = "group:ops", policy = authenticated, headers = grafana-proxy }
  ]
}
portal.links = [
  { url = "https://app.example.com:PORT/", title = "Application" }
  { url = "https://grafana.example.com:PORT/", title = "Grafana" }
]
servers = [{ name = corp, urls = ["ldap://127.0.0.1:9"], search_base_dns = ["dc=example,dc=com"], timeout = 1s, realm = REALM }]
login.floor = 0
lockout { failures = 1000, address_failures = ATTEMPTS }
"""

PAGE = """<!doctype html><html lang="en"><head><title>Application</title><link rel="icon" href="data:,"></head>
<body><main><h1>Application</h1><p id="app-user">{user}</p><p id="app-target">{target}</p>
<form method="post" action="/saved"><button>Save</button></form></main></body></html>"""


class Application(BaseHTTPRequestHandler):
    """Pages that say who looks at them, and at what."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        user, target = (html.escape(text) for text in (self.headers.get("Remote-User") or "nobody", self.path))
        body = PAGE.format(user=user, target=target).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def application() -> Iterator[int]:
    """The application's port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Application) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Site:
    """Addresses, and what tests change behind them."""

    daemon: Daemon
    port: int
    key_hash: str
    """SHA-256 of the certificate's public key in base64, as browsers are told which one to trust."""
    file: Path
    """Of the gateway's configuration."""

    def app(self, path: str = "/") -> str:
        return f"https://app.example.com:{self.port}{path}"

    def portal(self, path: str = "/") -> str:
        return f"https://auth.example.com:{self.port}{path}"

    def configure(self, **values: str) -> None:
        """Apply other values of what the configuration leaves open."""
        write(self.file, self.port, **values)
        answer = by_socket(self.daemon.directory, "/admin/reload", "POST", {})
        assert answer.status == 200, answer.body

    @contextmanager
    def sessions_ended(self) -> Iterator[None]:
        """Whoever was logged in before is not, until the end of the block."""
        self.configure(inactivity="0.001")
        begun = int(time.time())
        while int(time.time()) == begun:  # uses are noted by the second
            time.sleep(0.02)
        try:
            yield
        finally:
            self.configure()


def write(
    file: Path, port: int, *, inactivity: str = "5 minutes", realm: str = "false", attempts: str = "100000"
) -> None:
    """``realm``: whether people are looked for in a directory that is gone, too."""
    values = {"PORT": str(port), "HASH": password_hash(PASSWORD), "LONG": LONG_NAME, "INACTIVITY": inactivity}
    values |= {"REALM": realm, "ATTEMPTS": attempts}
    text = CONFIGURATION
    for name, value in values.items():
        text = text.replace(name, value)
    file.write_text(text)


@contextmanager
def site_in(directory: Path) -> Iterator[Site]:
    """Everything runs, until the end of the block."""
    with application() as application_port:
        https, file = free_port(), directory / "gateway.conf"
        write(file, https)
        with running(directory, files=[file]) as daemon:
            command = nginx(directory, Ports(https, daemon.port, application_port))
            with proxy(command, directory, https):
                yield Site(daemon, https, key_hash(directory / "site.crt"), file)


def key_hash(certificate: Path) -> str:
    key = load_pem_x509_certificate(certificate.read_bytes()).public_key()
    return b64encode(sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()).decode()
