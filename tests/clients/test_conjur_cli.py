"""conjur.md 8: the ``conjur`` 7.1.0 command line and ``conjur-client`` 0.1.1, each in an environment of its own: they know
no LDAP and ask the ``/authn`` alias. Without a keyring the command line keeps the API key in ``~/.netrc``."""

from __future__ import annotations

import json
import netrc
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from tests.clients.conjur_site import ALAN, NINA, OLGA, Run, Site, conjur_site, run
from tests.daemon import running
from tests.directories.slapd import make_certificates

CONJUR = "conjur-7.1.0/bin/conjur"
OLD = "conjur-client-0.1.1/bin/conjur-cli"
LOGIN = "GET /authn/myorg/login Basic"
AUTHENTICATE = "POST /authn/myorg/alan/authenticate -"
WHOAMI = "GET /whoami Token"


@pytest.fixture(scope="module")
def everyone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with conjur_site(tmp_path_factory.mktemp("conjur")) as site:
        yield site


@pytest.fixture
def site(everyone: Site) -> Site:
    everyone.recorder.forget()
    return everyone


@pytest.fixture(scope="module")
def settings(everyone: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``init`` writes for https with the right CA."""
    folder = tmp_path_factory.mktemp("initialised")
    initialised(folder, everyone.https, everyone.ca)
    return folder / ".conjurrc"


@pytest.fixture
def home(settings: Path, tmp_path: Path) -> Path:
    """A home in which ``init`` has been run."""
    shutil.copy(settings, tmp_path)
    return tmp_path


def conjur(folder: Path, *arguments: str, typed: str = "") -> Run:
    return run(CONJUR, folder, *arguments, typed=typed)


def initialised(folder: Path, url: str, ca: Path | None = None, account: str = "myorg") -> None:
    trust = ["-c", str(ca)] if ca else []
    done = conjur(folder, *([] if ca else ["--insecure"]), "init", "-u", url, "-a", account, *trust)
    assert done.code == 0 and "Successfully initialized" in done.output, done.output


def stored_key(folder: Path) -> str:
    """What it keeps: the key, never the password."""
    ((_, _, secret),) = netrc.netrc(folder / ".netrc").hosts.values()
    assert secret and re.fullmatch(r"[a-z2-7]{52}", secret)
    return secret


def test_a_day_over_https(home: Path) -> None:
    """login, whoami, a new key, whoami with it, logout."""
    login = conjur(home, "login", "-i", ALAN[0], "-p", ALAN[1])
    assert (login.code, "Successfully logged in to Conjur" in login.output) == (0, True), login.output
    first = stored_key(home)
    told = conjur(home, "whoami")
    assert (told.code, json.loads(told.output)["username"]) == (0, "alan"), told.output
    rotated = conjur(home, "user", "rotate-api-key")
    assert (rotated.code, stored_key(home) in rotated.output) == (0, True), rotated.output
    assert stored_key(home) != first
    told = conjur(home, "whoami")
    assert (told.code, json.loads(told.output)["account"]) == (0, "myorg"), told.output
    assert conjur(home, "logout").code == 0
    assert netrc.netrc(home / ".netrc").hosts == {}


def test_what_it_sends(site: Site, tmp_path: Path) -> None:
    """By ``--insecure`` it also takes http, so that its requests can be counted."""
    initialised(tmp_path, site.url)
    assert site.recorder.requests == [], "with an account it asks nothing"
    assert conjur(tmp_path, "--insecure", "login", "-i", ALAN[0], "-p", ALAN[1]).code == 0
    assert conjur(tmp_path, "--insecure", "whoami").code == 0
    assert site.recorder.requests == [LOGIN, AUTHENTICATE, WHOAMI]
    site.recorder.forget()
    # "Provide a password or API key", says its help; the answer is the same key.
    key = stored_key(tmp_path)
    assert conjur(tmp_path, "--insecure", "login", "-i", ALAN[0], "-p", key).code == 0
    assert stored_key(tmp_path) == key
    refused = conjur(tmp_path, "--insecure", "variable", "get", "-i", "db/password")
    assert (refused.code, "404 (Not Found)" in refused.output) == (1, True), refused.output
    assert site.recorder.requests == [LOGIN, AUTHENTICATE, "GET /secrets/myorg/variable/db%2Fpassword Token"]


@pytest.mark.parametrize(
    ("person", "status"), [((ALAN[0], "Enigma"), 401), (("nobody", "x"), 401), (OLGA, 403)],
    ids=["wrong-password", "unknown-name", "no-privilege"],
)  # fmt: skip
def test_refused(home: Path, person: tuple[str, str], status: int) -> None:
    refused = conjur(home, "login", "-i", person[0], "-p", person[1])
    assert (refused.code, f"Reason: {status} (" in refused.output) == (1, True), refused.output
    assert not (home / ".netrc").exists()


def test_another_account(site: Site, tmp_path: Path) -> None:
    initialised(tmp_path, site.https, site.ca, account="other")
    refused = conjur(tmp_path, "login", "-i", ALAN[0], "-p", ALAN[1])
    assert (refused.code, "Reason: 401 (" in refused.output) == (1, True), refused.output


def test_a_ca_that_is_foreign(site: Site, tmp_path: Path) -> None:
    make_certificates(tmp_path / "foreign")
    initialised(tmp_path, site.https, tmp_path / "foreign" / "ca.pem")
    refused = conjur(tmp_path, "login", "-i", ALAN[0], "-p", ALAN[1])
    assert refused.code == 1 and "Successfully" not in refused.output
    assert not (tmp_path / ".netrc").exists()


def test_it_fetches_the_certificate_itself(tmp_path: Path) -> None:
    """``init --self-signed``: shown, taken, and trusted from then on. With a local user: it needs no directory."""
    pem, key = tmp_path / "self.pem", tmp_path / "self.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(pem)],
        check=True, capture_output=True,
    )  # fmt: skip
    user = {"username": "ada", "password_hash": bcrypt.hashpw(b"lovelace", bcrypt.gensalt(4)).decode()}
    environment = {
        "CLEARML__listen": '["https://127.0.0.1:0"]',
        "CLEARML__tls__cert_file": str(pem),
        "CLEARML__tls__key_file": str(key),
        "CLEARML__users": json.dumps([user]),
        "CLEARML__conjur__account": "myorg",
    }
    with running(tmp_path, environment=environment) as daemon:
        url = f"https://localhost:{daemon.port}"
        made = conjur(tmp_path, "init", "-u", url, "-a", "myorg", "--self-signed", typed="yes\nyes\n")
        assert (made.code, (tmp_path / "conjur-server.pem").read_text()) == (0, pem.read_text()), made.output
        login = conjur(tmp_path, "login", "-i", "ada", "-p", "lovelace")
        assert login.code == 0, login.output
        assert json.loads(conjur(tmp_path, "whoami").output)["username"] == "ada"


def test_the_old_client(site: Site, tmp_path: Path) -> None:
    """0.1.1: the same requests, the key without any Content-Type."""
    how = ("-a", "myorg", "-u", ALAN[0], "-p", ALAN[1], "whoami")
    told = run(OLD, tmp_path, "-l", site.url, *how)
    assert (told.code, json.loads(told.output)["username"]) == (0, "alan"), told.output
    assert site.recorder.requests == [LOGIN, AUTHENTICATE, WHOAMI]
    assert all("content-type" not in head.lower() for head in site.recorder.heads)
    secure = run(OLD, tmp_path, "-l", site.https, "-c", str(site.ca), *how)
    assert (secure.code, json.loads(secure.output)["username"]) == (0, "alan"), secure.output


def test_the_old_client_refused(site: Site, tmp_path: Path) -> None:
    refused = run(OLD, tmp_path, "-l", site.url, "-a", "myorg", "-u", NINA[0], "-p", "Secret", "whoami")
    assert refused.code == 1 and "401 Client Error" in refused.output, refused.output
