"""conjur.md 8 replayed: what Ruby's ``conjur-api`` (5.4, read), tools of v4 and Go's ``conjur-api-go`` (read) send; the
curl commands of docs/conjur.md as bash runs them; and all of it below a path of an nginx that compresses (2, 9.15)."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import subprocess
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from cryptography.exceptions import InvalidSignature

from tests.admin_client import by_socket
from tests.clients.conjur_site import ALAN, NAME, NINA, OLGA, OTTO, SPELLED, Site, conjur_site, run
from tests.daemon import Answer
from tests.proxies.servers import SBIN, free_port

DOCUMENT = (Path(__file__).parents[2] / "docs" / "conjur.md").read_text()
REST_CLIENT = {
    "Accept": "*/*",
    "User-Agent": "rest-client/2.1.0 (linux x86_64) ruby/3.2.2p53",
    "Accept-Encoding": "gzip;q=1.0,deflate;q=0.6,identity;q=0.3",
}
V5 = ("/authn-ldap/corp/myorg", "/authn-ldap/myorg", "/authn/myorg")
"""``CONJUR_AUTHN_URL=https://gw.example/authn-ldap/corp``, the same without a service, and the alias; the account follows."""
V4 = "/api/authn-ldap/users"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with conjur_site(tmp_path_factory.mktemp("conjur")) as made:
        yield made


@dataclass(frozen=True)
class Ruby:
    """The library's own steps; ``url`` is what it joins its paths to."""

    port: int
    url: str

    def send(self, method: str, path: str, body: str | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, None if body is None else body.encode(), {**REST_CLIENT, **headers})
            response = connection.getresponse()
            return Answer(response.status, response.msg, response.read())
        finally:
            connection.close()

    def login(self, name: str, password: str, *, method: str = "GET", what: str = "login") -> Answer:
        basic = b64encode(f"{name}:{password}".encode()).decode()
        return self.send(method, f"{self.url}/{what}", "" if method == "PUT" else None, Authorization=f"Basic {basic}")

    def authenticate(self, name: str, secret: str, **headers: str) -> Answer:
        """``fully_escape`` is ``CGI.escape(name).gsub('+', '%20')``."""
        path = f"{self.url}/{quote(name, safe='')}/authenticate"
        return self.send("POST", path, secret, **{"Content-Type": "text/plain", **headers})

    def token(self, name: str, password: str) -> Any:
        key = self.login(name, password)
        assert (key.status, key.headers["Content-Type"]) == (200, "text/plain; charset=utf-8"), key.body
        answer = self.authenticate(name, key.body.decode())
        assert (answer.status, answer.headers.get_content_type()) == (200, "application/json"), answer.body
        return answer.json

    def whoami(self, token: Any) -> Answer:
        """``Base64.strict_encode64 token.to_json``: parsed, and written again in Ruby's spacing."""
        text = json.dumps(token, separators=(",", ":"))
        return self.send("GET", "/whoami", Authorization=f'Token token="{b64encode(text.encode()).decode()}"')


@pytest.mark.parametrize("name", SPELLED)
@pytest.mark.parametrize("url", V5)
def test_ruby(site: Site, url: str, name: str) -> None:
    ruby = Ruby(site.daemon.port, url)
    token = ruby.token(name, SPELLED[name])
    payload = json.loads(b64decode(token["payload"], validate=True))  # Base64.strict_decode64
    assert payload["sub"] == name
    told = ruby.whoami(token)
    assert (told.status, told.json["username"]) == (200, name), told.body


@pytest.mark.parametrize("name", SPELLED)
def test_v4(site: Site, name: str) -> None:
    """No account, no service; 6.2."""
    ruby = Ruby(site.daemon.port, V4)
    token = ruby.token(name, SPELLED[name])
    assert (list(token), token["data"]) == (["data", "timestamp", "signature", "key"], name)
    assert abs(time.time() - time.mktime(time.strptime(token["timestamp"], "%Y-%m-%d %H:%M:%S %Z")) + time.timezone) < 60
    told = ruby.whoami(token)
    assert (told.status, told.json["username"]) == (200, name), told.body


def test_ruby_renews_after_four_minutes(site: Site) -> None:
    """With the key it holds, while its token still counts: both do."""
    ruby = Ruby(site.daemon.port, V5[0])
    key = ruby.login(*ALAN).body.decode()
    tokens = [ruby.authenticate(ALAN[0], key).json for _ in range(2)]
    assert [ruby.whoami(token).status for token in tokens] == [200, 200]
    payload = json.loads(b64decode(tokens[0]["payload"], validate=True))
    assert payload["exp"] - payload["iat"] > 4 * 60


@pytest.mark.parametrize("url", [*V5, V4])
def test_ruby_refused(site: Site, url: str) -> None:
    """3: no body and no challenge, so that nothing asks for a password; the status tells."""
    ruby = Ruby(site.daemon.port, url)
    answers = [ruby.login("alan", "Enigma"), ruby.login("nobody", "x"), ruby.authenticate("alan", "Enigma")]
    if not url.startswith("/authn-ldap/corp"):
        answers += [ruby.login(*OLGA), ruby.authenticate(*OLGA)]
    assert [answer.status for answer in answers] == [401, 401, 401, 403, 403][: len(answers)]
    for answer in answers:
        assert answer.body == b"" and "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize("url", [*V5, V4])
def test_ruby_rotates(site: Site, url: str) -> None:
    """``Conjur::API.rotate_api_key``, and ``login`` with a key, which gives it back."""
    name, password = OTTO
    ruby = Ruby(site.daemon.port, url.replace("corp", "ops"))
    old = ruby.login(name, password).body.decode()
    assert ruby.login(name, old).body.decode() == old
    new = ruby.login(name, old, method="PUT", what="api_key")
    assert new.status == 200
    assert [ruby.authenticate(name, key).status for key in (old, new.body.decode())] == [401, 200]


def test_a_laptop_is_lost(site: Site) -> None:
    """``ldap-gateway tokens revoke --user``: the key and the tokens got with it."""
    ruby, person = Ruby(site.daemon.port, V5[0]), ("nomail", "paper")
    key = ruby.login(*person).body.decode()
    token = ruby.authenticate(person[0], key).json
    assert ruby.whoami(token).status == 200
    assert by_socket(site.daemon.directory, "/admin/sessions/revoke", "POST", {"user": "corp/nomail"}).status == 200
    assert (ruby.whoami(token).status, ruby.authenticate(person[0], key).status) == (401, 401)
    assert ruby.login(*person).body.decode() != key


GO = {"User-Agent": "Go-http-client/1.1", "Accept-Encoding": "gzip", "Content-Type": "text/plain"}


@pytest.mark.parametrize("name", [name for name in SPELLED if " " not in name])
def test_go(site: Site, name: str) -> None:
    """``conjur-api-go`` 0.12, which ``conjur`` 8 is built on: ``url.QueryEscape`` in the path, the payload in strict base64."""
    base, basic = "/authn-ldap/corp/myorg", b64encode(f"{name}:{SPELLED[name]}".encode()).decode()
    key = site.daemon.call(f"{base}/login", headers={**GO, "Authorization": f"Basic {basic}"})
    path = f"{base}/{quote_plus(name)}/authenticate"
    answer = site.daemon.call(path, method="POST", body=key.body, headers=GO)
    assert answer.status == 200, answer.body
    payload = json.loads(b64decode(answer.json["payload"], validate=True))
    assert (payload["sub"], payload["iat"] < payload["exp"]) == (name, True)
    shown = {**GO, "Authorization": f'Token token="{b64encode(answer.body).decode()}"'}
    assert site.daemon.call("/whoami", headers=shown).json["username"] == name


def block(language: str, contains: str) -> str:
    """The one of docs/conjur.md."""
    (found,) = [text for text in re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL) if contains in text]
    assert isinstance(found, str)
    return found


def test_curl(site: Site, tmp_path: Path) -> None:
    """By hand, as the document and section 8 have it; only where the name leads is told to curl."""
    (tmp_path / ".curlrc").write_text(f'connect-to = "{NAME}:443:127.0.0.1:{site.https_port}"\ncacert = "{site.ca}"\n')
    script = block("sh", "KEY=$(curl")
    assert f"curl -s -u {NINA[0]}:{NINA[1]} https://{NAME}/authn-ldap/corp/myorg/login" in script
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], env={"PATH": SBIN, "HOME": str(tmp_path)}, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert (told["username"], told["account"]) == (NINA[0], "myorg"), done.stderr


NGINX = """
daemon off;
pid nginx.pid;
error_log error.log;
events {}
http {
  access_log off;
  gzip on;
  gzip_types *;
  gzip_min_length 1;
  gzip_proxied any;
  client_body_temp_path temp1; proxy_temp_path temp2; fastcgi_temp_path temp3; uwsgi_temp_path temp4; scgi_temp_path temp5;
  server {
    listen 127.0.0.1:PORT;
LOCATION
  }
}
"""


@pytest.fixture(scope="module")
def nginx(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Its port. The location is the document's; it compresses all it can."""
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    location = block("nginx", "location /conjur/").replace("127.0.0.1:8008", f"127.0.0.1:{site.daemon.port}")
    (folder / "nginx.conf").write_text(NGINX.replace("PORT", str(port)).replace("LOCATION", location))
    command = ["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "error.log"]
    server = subprocess.Popen(command, env={"PATH": SBIN}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not (folder / "nginx.pid").exists():
            assert server.poll() is None and time.monotonic() < deadline, (folder / "error.log").read_text()
            time.sleep(0.02)
        yield port
    finally:
        server.terminate()
        server.wait(20)


@pytest.mark.parametrize("name", SPELLED)
def test_below_a_path(nginx: int, name: str) -> None:
    """2: clients are given ``https://gw.example/conjur`` and append."""
    ruby = Ruby(nginx, "/conjur/authn-ldap/corp/myorg")
    answer = ruby.authenticate(name, SPELLED[name], **{"Accept-Encoding": "identity"})
    assert answer.status == 200, answer.body
    assert json.loads(b64decode(answer.json["payload"]))["sub"] == name


def test_compression(nginx: int) -> None:
    """9.15, 9.4: base64 comes as it is, whatever else the client would take; what comes as JSON is compressed."""
    ruby = Ruby(nginx, "/conjur/authn-ldap/corp/myorg")
    encoded = ruby.authenticate(*ALAN, **{"Accept-Encoding": "gzip, base64"})
    assert (encoded.headers["Content-Encoding"], encoded.headers.get_content_type()) == ("base64", "text/plain")
    token = b64decode(encoded.body, validate=True)
    told = ruby.send("GET", "/conjur/whoami?x=%2F", Authorization=f'Token token="{b64encode(token).decode()}"')
    plain = ruby.authenticate(*ALAN, **{"Accept-Encoding": "gzip"})
    assert (told.headers["Content-Encoding"], plain.headers["Content-Encoding"]) == ("gzip", "gzip"), "it does compress"
    assert json.loads(gzip.decompress(told.body))["username"] == "alan"
    assert set(json.loads(gzip.decompress(plain.body))) == set(json.loads(token))


def test_a_service_that_verifies(site: Site) -> None:
    """6.4: the document's own verifier, by the published key; it knows no code of the gateway."""
    names: dict[str, Any] = {}
    exec(compile(block("python", "def verified("), "conjur.md", "exec"), names)  # only what the document says
    verified = names["verified"]
    ruby = Ruby(site.daemon.port, V5[0])
    published = ruby.send("GET", "/authn-ldap/myorg/public_key")
    assert published.body.startswith(b"-----BEGIN PUBLIC KEY-----\n")
    token = ruby.token(*ALAN)
    assert verified(token, published.body)["sub"] == ALAN[0]
    other = ruby.token(*NINA)
    with pytest.raises(InvalidSignature):
        verified({**token, "payload": other["payload"]}, published.body)


def test_the_documented_program(site: Site, tmp_path: Path) -> None:
    """Section "Clients", in the environment of ``conjur-api``; only the address is another."""
    program = block("python", "LdapAuthenticationStrategy").replace(f"https://{NAME}", site.https)
    (tmp_path / "ca.pem").write_bytes(site.ca.read_bytes())
    done = run("conjur-api-0.2.0/bin/python", tmp_path, "-W", "ignore", "-c", program)
    assert (done.code, done.output) == (0, f"{NINA[0]}\n")
