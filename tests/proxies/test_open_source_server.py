"""clearml.md 4.1: the nginx routing of docs/clearml.md in front of a real nginx, the daemon and a stand-in server.

The stand-in keeps what it was asked and judges tokens as the open-source API server does, by code of its own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateway.serve.clearml.endpoints import ENDPOINTS
from tests.clients.company_site import finish, keys, start
from tests.daemon import Answer, Daemon
from tests.directories.process import free_port
from tests.serve.clearml_site import COMPANY, PASSWORD, PEOPLE, SECRET, Site, clearml_site, pair
from tests.tokens.token_judge import refusal

DOCUMENT = (Path(__file__).parents[2] / "docs/clearml.md").read_text()
SEARCHED = f"{os.environ['PATH']}:/usr/sbin"
WRAPPER = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
{user}
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
{routing}
}}
"""


def block(language: str, mark: str) -> str:
    """The one code block of the document with ``mark`` in it."""
    [found] = [text for text in re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL) if mark in text]
    return str(found)


@dataclass
class StandIn:
    """Where the open-source API server, or its web server, would be."""

    port: int
    asked: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)


@contextmanager
def standing_in() -> Iterator[StandIn]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            stand_in.asked.append(self.path)
            stand_in.bodies.append(json.loads(body or b"null"))
            _, _, token = self.headers.get("Authorization", "").partition(" ")
            token = token or self.headers.get("Cookie", "").partition("clearml_token_basic=")[2]
            answer = json.dumps({"refusal": refusal(token, SECRET.encode(), int(time.time()))}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        stand_in = StandIn(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield stand_in
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Front:
    site: Site
    api: StandIn
    pages: StandIn
    api_port: int
    web_port: int

    def call(self, port: int, path: str, **options: Any) -> Answer:
        front = Daemon(self.site.daemon.directory)
        front.port = port
        return front.call(path, **options)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    nginx = shutil.which("nginx", path=SEARCHED)
    if nginx is None:
        advice = "nginx is not installed; as root: apt-get install -y --no-install-recommends nginx"
        assert os.geteuid() != 0, advice
        pytest.skip(advice)
    folder = tmp_path_factory.mktemp("nginx")
    with clearml_site(folder) as site, standing_in() as api, standing_in() as pages:
        api_port, web_port = free_port(), free_port()
        ports = {
            "127.0.0.1:8018": f"127.0.0.1:{site.daemon.port}", "127.0.0.1:8028": f"127.0.0.1:{api.port}",
            "127.0.0.1:8090": f"127.0.0.1:{pages.port}", "listen 8008": f"listen 127.0.0.1:{api_port}",
            "listen 8080": f"listen 127.0.0.1:{web_port}",
        }  # fmt: skip
        routing = block("nginx", "clearml_api")
        for printed, real in ports.items():
            assert printed in routing
            routing = routing.replace(printed, real)
        user = "user root;" if os.geteuid() == 0 else ""
        configuration = folder / "nginx.conf"
        configuration.write_text(WRAPPER.format(folder=folder, routing=routing, user=user))
        command = [nginx, "-c", str(configuration), "-p", str(folder)]
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
        assert checked.returncode == 0 and "[warn]" not in checked.stderr, checked.stderr
        with (folder / "nginx.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_for(api_port, process)
            yield Front(site, api, pages, api_port, web_port)
        finally:
            process.terminate()
            process.wait(10)


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, "nginx does not listen"
            time.sleep(0.02)
        else:
            return


TO_THE_SERVER = {"users.get_all", "users.get_by_id", "server.info", "debug.ping"}
"""Calls that both know, and the server answers."""
OTHERS = ["tasks.get_all", "projects.get_all_ex", "events.add_batch", "users.get_all_ex", "users.create", "organization.get_tags"]


@pytest.mark.parametrize("prefix", ["", "/v2.34", "/v999.0"])
def test_every_call_has_one_owner(front: Front, prefix: str) -> None:
    """By the API's port without /api, by the web UI's port with it; the server never sees /api."""
    token = front.site.tokens["user"]
    for name in [*ENDPOINTS, *OTHERS]:
        if name.endswith("logout"):
            continue
        for port, path in ((front.api_port, f"{prefix}/{name}"), (front.web_port, f"/api{prefix}/{name}")):
            before = len(front.api.asked)
            answer = front.call(port, path, bearer=token)
            if name in TO_THE_SERVER or name in OTHERS:
                assert front.api.asked[before:] == [f"{prefix}/{name}"]
                assert answer.json == {"refusal": ""}, "the server accepts the token"
            else:
                assert front.api.asked[before:] == []
                assert answer.meta["endpoint"]["name"] == name
    assert front.pages.asked == []


# path at the web UI's port, owner
PATHS = [
    ("/", "pages"),
    ("/dashboard?x=1", "pages"),
    ("/auth.login", "pages"),  # no /api: a page, as without a gateway
    ("/apix/auth.login", "pages"),
    ("/api/vaults/merged", "gateway"),
    ("/api/auth.login/", "gateway"),
    ("/api/users.get_all?page=0", "server"),
    ("/api/users.get_current_user_ex", "server"),
    ("/api/v2.5/tasks.get_all?a=%2F", "server"),
    ("/api/authx.login", "server"),
    ("/api//v2.5//auth.login", "gateway"),  # nginx merges slashes, for both alike
    ("/api/x/../auth.login", "gateway"),
]


@pytest.mark.parametrize(("path", "owner"), PATHS)
def test_paths_of_the_web_ui(front: Front, path: str, owner: str) -> None:
    before = len(front.pages.asked), len(front.api.asked)
    answer = front.call(front.web_port, path, bearer=front.site.tokens["user"])
    found = len(front.pages.asked) - before[0], len(front.api.asked) - before[1]
    assert found == {"pages": (1, 0), "server": (0, 1), "gateway": (0, 0)}[owner]
    if owner == "gateway":
        assert answer.status == 200
    elif owner == "server":
        assert front.api.asked[-1] == path.removeprefix("/api")


def test_the_web_ui(front: Front) -> None:
    """6.5 as a browser does it: the cookie of the gateway is good at the server, too."""

    def call(name: str, **options: Any) -> Answer:
        return front.call(front.web_port, f"/api/v999.0/{name}", method="POST", **options)

    assert call("login.supported_modes", body="{}").data["basic"]["enabled"] is True
    login = call("auth.login", basic=("jane", PASSWORD))
    cookie = {"Cookie": login.headers["Set-Cookie"].partition(";")[0]}
    assert call("users.get_current_user", headers=cookie).data["user"]["name"] == "Jane Doe"
    assert call("projects.get_all_ex", headers=cookie, body="{}").json == {"refusal": ""}
    wanted = '{"preferences":{"a":1}}'
    changed = call("users.set_preferences", headers={**cookie, "Origin": "https://app.example.com"}, body=wanted)
    assert changed.data["updated"] == 1
    assert call("users.set_preferences", headers={**cookie, "Origin": "https://evil.example"}, body=wanted).status == 403


SESSION = """
import json
from clearml.backend_api import Session
from clearml.config import config
s = Session()
print("PROBE " + json.dumps([config.get("development.default_output_uri"), s.send_request("projects", "get_all").json()]))
"""


def test_the_sdk(front: Front, tmp_path: Path) -> None:
    """People, vaults: the gateway. Work: the server, with the same token."""
    text = 'sdk.development.default_output_uri: "s3://bucket/x"'
    front.site.call("user", "users.add_or_update_vault", vault={"data": text})
    before = len(front.api.asked)
    url = f"http://127.0.0.1:{front.api_port}"
    run = finish(start("clearml-2.1.12", SESSION, url, tmp_path, keys((PEOPLE["user"], PASSWORD))))
    assert run.probe == ["s3://bucket/x", {"refusal": ""}]
    assert front.api.asked[before:] == ["/projects.get_all"]


def test_the_clients_address(front: Front) -> None:
    """A made up X-Forwarded-For must not choose whose guesses are counted (DECISIONS 13)."""
    forged = {"X-Forwarded-For": "203.0.113.9"}
    assert front.call(front.api_port, "/auth.login", basic=("jane", "wrong"), headers=forged).status == 401
    assert front.site.daemon.wait_for_event(action="login", outcome="failure", user="jane")["client"] == "127.0.0.1"


def test_creating_user_records(front: Front) -> None:
    """The document's own commands copy everybody who has logged in."""
    front.api.asked.clear()
    front.api.bodies.clear()
    key, secret = pair("system")
    variables = {
        "PATH": os.environ["PATH"], "KEY": key, "SECRET": secret, "NO_PROXY": "127.0.0.1",
        "GATEWAY": f"http://127.0.0.1:{front.site.daemon.port}", "APISERVER": f"http://127.0.0.1:{front.api.port}",
    }  # fmt: skip
    script = "set -euo pipefail\n" + block("sh", "users.create")
    done = subprocess.run(["bash", "-c", script], env=variables, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert set(front.api.asked) == {"/users.create"}
    people = front.site.call("user", "users.get_all").data["users"]
    expected = [{"id": person["id"], "name": person["name"], "company": COMPANY} for person in people]
    assert front.api.bodies == expected and len(expected) == 5
    assert done.stdout == '{"refusal": ""}' * 5, "signed for the server, too"
