"""conjur.md 8: the unmodified ``conjur-api`` 0.2.0 with its LDAP strategy, in an environment of its own, on a real slapd."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from tests.clients.conjur_site import ALAN, NINA, OLGA, OTTO, SPELLED, ConjurApi, Site, conjur_site
from tests.clients.http_recorder import recording
from tests.daemon import running
from tests.directories.slapd import make_certificates

LOGIN = "GET /authn-ldap/corp/myorg/login Basic"
AUTHENTICATE = "POST /authn-ldap/corp/myorg/alan/authenticate -"
WHOAMI = "GET /whoami Token"
KEY = re.compile(r"[a-z2-7]{52}")


@pytest.fixture(scope="module")
def everyone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with conjur_site(tmp_path_factory.mktemp("conjur")) as site:
        yield site


@pytest.fixture
def site(everyone: Site) -> Site:
    everyone.recorder.forget()
    return everyone


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConjurApi]:
    client = ConjurApi(tmp_path_factory.mktemp("client"))
    yield client
    client.close()


def payload(token: str) -> dict[str, Any]:
    """As two clients read it: by a standard decoder (6.1)."""
    found: dict[str, Any] = json.loads(base64.b64decode(json.loads(token)["payload"], validate=True))
    return found


def test_whoami(site: Site, api: ConjurApi) -> None:
    """The first row of section 8: these three requests and no other."""
    (told,) = api.ask(site.url, "whoami")
    assert (told["account"], told["username"], told["client_ip"]) == ("myorg", "alan", "127.0.0.1")
    assert told["user_agent"].startswith("Python/")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", told["token_issued_at"])
    assert site.recorder.requests == [LOGIN, AUTHENTICATE, WHOAMI]
    login, authenticate, _ = site.recorder.heads
    assert {"content-type: text/plain; charset=utf-8", "content-length: 0"} <= set(login.lower().splitlines())
    assert "content-type: text/plain; charset=utf-8" in authenticate.lower().splitlines()
    assert all("x-cybr-telemetry: " in head.lower() for head in site.recorder.heads)


def test_each_step(site: Site, api: ConjurApi) -> None:
    """5: the key is the same until it is rotated. 6.1: what the token says."""
    key, again, (token, until) = api.ask(site.url, "login", "login", "authenticate")
    assert key == again and KEY.fullmatch(key)
    said = payload(token)
    assert (said["sub"], said["exp"] - said["iat"]) == ("alan", 480)
    kept = time.mktime(time.strptime(until, "%Y-%m-%d %H:%M:%S"))
    assert kept == said["exp"] - 180, "the client read exp, and did not fall back on five minutes"
    assert site.recorder.requests == [LOGIN, LOGIN, AUTHENTICATE]


def test_the_token_is_kept(site: Site, api: ConjurApi) -> None:
    first, second = api.ask(site.url, "whoami", "whoami")
    assert first == second
    assert site.recorder.requests == [LOGIN, AUTHENTICATE, WHOAMI, WHOAMI]


@dataclass(frozen=True)
class Row:
    """What a client is given other than Alan's password, and what comes of ``whoami``."""

    name: str
    given: dict[str, Any]
    expected: str | int
    """Who it is; or the status of the exception; or its class where nothing was sent."""
    requests: tuple[str, ...] = field(default=())


GRANTED = (
    Row("2.1-plain", {"username": NINA[0], "password": NINA[1]}, "nina"),
    Row("2.2-password-instead-of-key", {"password": None, "api_key": ALAN[1]}, "alan", (AUTHENTICATE, WHOAMI)),
    Row("3-name-in-capitals-as-stored", {"username": "ALAN"}, "alan"),
    Row("5-in-the-group", {"service": "ops", "username": OTTO[0], "password": OTTO[1]}, "otto"),
    Row("8-authn-alias", {"strategy": "authn"}, "alan",
        ("GET /authn/myorg/login Basic", "POST /authn/myorg/alan/authenticate -", WHOAMI)),
    *(Row(f"9.3-{name}", {"username": name, "password": password}, name) for name, password in SPELLED.items()),
)  # fmt: skip
REFUSED = (
    Row("3-wrong-password", {"password": "Enigma"}, 401, (LOGIN,)),
    Row("3-blank-password", {"password": "   "}, 401, (LOGIN,)),
    Row("3-unknown-name", {"username": "nobody"}, 401, (LOGIN,)),
    Row("3-admin", {"username": "admin"}, 401, (LOGIN,)),
    Row("9.2-star", {"username": "*"}, 401, (LOGIN,)),
    Row("9.2-filter", {"username": "nina)(uid=*", "password": NINA[1]}, 401, (LOGIN,)),
    Row("3-unknown-service", {"service": "other"}, 401, ("GET /authn-ldap/other/myorg/login Basic",)),
    Row("3-not-enabled", {"service": "staff"}, 401, ("GET /authn-ldap/staff/myorg/login Basic",)),
    Row("3-unknown-account", {"account": "other"}, 401, ("GET /authn-ldap/corp/other/login Basic",)),
    Row("3-no-privilege", {"service": "ops", "username": OLGA[0], "password": OLGA[1]}, 403,
        ("GET /authn-ldap/ops/myorg/login Basic",)),
    Row("9.7-no-privilege-wrong-password", {"service": "ops", "username": OLGA[0], "password": "x"}, 403,
        ("GET /authn-ldap/ops/myorg/login Basic",)),
    Row("3-unreachable", {"service": "gone"}, 503, ("GET /authn-ldap/gone/myorg/login Basic",)),
    Row("2.2-wrong-key", {"password": None, "api_key": "a" * 52}, 401, (AUTHENTICATE,)),
    Row("9.5-line-end-behind-the-secret", {"password": None, "api_key": ALAN[1] + "\n"}, 401, (AUTHENTICATE,)),
    Row("8-no-password", {"password": ""}, "MissingRequiredParameterException"),
    Row("8-no-service", {"service": ""}, "MissingRequiredParameterException"),
)  # fmt: skip


@pytest.mark.parametrize("row", GRANTED, ids=[row.name for row in GRANTED])
def test_granted(site: Site, api: ConjurApi, row: Row) -> None:
    (told,) = api.ask(site.url, "whoami", **row.given)
    assert told["username"] == row.expected
    assert row.requests in ((), tuple(site.recorder.requests))


@pytest.mark.parametrize("row", REFUSED, ids=[row.name for row in REFUSED])
def test_refused(site: Site, api: ConjurApi, row: Row) -> None:
    ((error, status, text),) = api.ask(site.url, "whoami", **row.given)
    if isinstance(row.expected, int):
        assert (error, status) == ("HttpStatusError", row.expected), text
    else:
        assert (error, status) == (row.expected, None), text
    assert tuple(site.recorder.requests) == row.requests


def test_a_directory_that_comes_back(site: Site, api: ConjurApi) -> None:
    """9.12: 503 as long as nobody answers, then a login again, and never a 401."""
    site.slapd.kill()
    try:
        ((_, status, text),) = api.ask(site.url, "login")
        assert status == 503, text
    finally:
        site.slapd.run()
    deadline = time.monotonic() + 20
    while not isinstance(found := api.ask(site.url, "login")[0], str):
        assert found[1] == 503 and time.monotonic() < deadline, found
        time.sleep(0.1)  # the server rests for pool.backoff
    assert KEY.fullmatch(found)


def test_rotation(site: Site, api: ConjurApi) -> None:
    """9.14: the old key is refused at once, by the client that holds it, too."""
    how = {"username": NINA[0], "password": NINA[1]}
    old, new, current = api.ask(site.url, "login", ["rotate_personal_api_key", *NINA], "login", **how)
    assert new == current != old
    assert "PUT /authn/myorg/api_key Basic" in site.recorder.requests
    ((_, status, _),) = api.ask(site.url, "whoami", username=NINA[0], password=None, api_key=old)
    assert status == 401
    (told,) = api.ask(site.url, "whoami", username=NINA[0], password=None, api_key=new)
    assert told["username"] == NINA[0]


def test_version(site: Site, api: ConjurApi) -> None:
    """2: ``GET /`` has it for programs."""
    assert api.ask(site.url, "server_version") == ["1.21.3"]


def test_no_secrets_here(site: Site, api: ConjurApi) -> None:
    """6.4: it is a way in; there is nothing behind it."""
    ((_, status, _),) = api.ask(site.url, ["get", "db/password"])
    assert status == 404


def test_https(site: Site, api: ConjurApi) -> None:
    told, token = api.ask(site.https, "whoami", "authenticate", ca=str(site.ca))
    assert (told["username"], payload(token[0])["sub"]) == ("alan", "alan")
    ((_, status, _),) = api.ask(site.https, "whoami", ca=str(site.ca), password="wrong")
    assert status == 401


def test_a_ca_that_is_foreign(site: Site, api: ConjurApi, tmp_path: Path) -> None:
    make_certificates(tmp_path)
    for how in ({"ca": str(tmp_path / "ca.pem")}, {}):
        ((error, status, text),) = api.ask(site.https, "login", **how)
        assert (error, status) == ("HttpSslError", None), text


def test_short_lifetimes(tmp_path: Path, api: ConjurApi) -> None:
    """6.1: 180 s and less make it authenticate anew each time. With a local user: it needs no directory."""
    user = {"username": "ada", "password_hash": bcrypt.hashpw(b"lovelace", bcrypt.gensalt(4)).decode()}
    conjur = {"account": "myorg", "token_lifetime": 180}
    environment = {"CLEARML__users": json.dumps([user]), "CLEARML__conjur": json.dumps(conjur)}
    with running(tmp_path, environment=environment) as daemon, recording(daemon.port) as recorder:
        url = f"http://127.0.0.1:{recorder.port}"
        first, second = api.ask(url, "whoami", "whoami", strategy="authn", username="ada", password="lovelace")
        assert first["username"] == second["username"] == "ada"
        authenticate = "POST /authn/myorg/ada/authenticate -"
        assert recorder.requests == ["GET /authn/myorg/login Basic", authenticate, WHOAMI, authenticate, WHOAMI]
