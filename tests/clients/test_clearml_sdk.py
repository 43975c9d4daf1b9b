"""clearml.md 11.1: the unmodified SDKs 2.1.12 and 1.16.5, in environments of their own, against a real slapd."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.company_site import DEVELOPER, EVERYONE, OTHER, Run, Site, company_site, finish, keys, start

SDK = "clearml-2.1.12"
SDKS = (SDK, "clearml-1.16.5")
PROBE = """
import json
from clearml.backend_api import Session
from clearml.config import config
s = Session()
print("PROBE " + json.dumps({"api": s.api_version, "feature_set": s.feature_set,
      "server": s.server_version, "uri": config.get("development.default_output_uri", None)}))
"""
KEY = "sdk.development.default_output_uri"
TEAM = {"scope": "group", "group": EVERYONE, "data": f'{KEY}: "s3://bucket/x"'}
URI = "s3://bucket/x"
VAULTS = "/users.get_vaults?enabled=true&types=config&types=config"
ASKED = ["GET /auth.login Basic", f"GET {VAULTS} Bearer"]
"""All that a session asks (6.1)."""


def expected(uri: str) -> dict[str, str]:
    return {"api": "2.34", "feature_set": "vault", "server": "2.3.0", "uri": uri}


@pytest.fixture(scope="module")
def everyone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with company_site(tmp_path_factory.mktemp("sdk")) as site:
        yield site


@pytest.fixture
def site(everyone: Site) -> Iterator[Site]:
    """Each test begins without vaults and without recorded requests."""
    yield everyone
    everyone.without_vaults(DEVELOPER, OTHER)
    everyone.recorder.forget()


def probe(site: Site, folder: Path, sdk: str = SDK, **variables: str) -> Run:
    return finish(start(sdk, PROBE, site.url, folder, variables))


# row of 11.1, who, vaults with "by" their author, uri
ARRANGED: list[tuple[str, tuple[str, str], list[dict[str, Any]], str]] = [
    ("1", DEVELOPER, [TEAM], URI),
    ("2 disabled", DEVELOPER, [{**TEAM, "enabled": False}], ""),
    ("2 other type", DEVELOPER, [{**TEAM, "type": "ssh"}], ""),
    ("2 not in the group", OTHER, [{**TEAM, "group": "developers-id"}], ""),
    ("2 in the group", DEVELOPER, [{**TEAM, "group": "developers-id"}], URI),
    ("3", DEVELOPER, [{"by": DEVELOPER, "scope": "user", "data": f"{KEY}: mine"}, TEAM], "mine"),
    ("4", DEVELOPER, [{**TEAM, "format": "yaml", "data": "sdk:\n  development:\n    default_output_uri: s3://y"}], "s3://y"),
]


@pytest.mark.parametrize(("row", "person", "vaults", "uri"), ARRANGED, ids=[row[0] for row in ARRANGED])
def test_vaults(
    site: Site, tmp_path: Path, row: str, person: tuple[str, str], vaults: list[dict[str, Any]], uri: str
) -> None:
    for vault in vaults:
        site.vault(**vault)
    children = [start(sdk, PROBE, site.url, tmp_path, keys(person)) for sdk in SDKS]
    runs = [finish(child) for child in children]
    assert [run.probe for run in runs] == [expected(uri)] * 2
    assert sorted(site.recorder.requests) == sorted(ASKED * 2)
    assert not any("vaults" in run.output for run in runs), "a warning"


# row of 11.1, who, variables, requests, uri
CALLED: list[tuple[str, tuple[str, str], dict[str, str], list[str], str]] = [
    ("7 post", DEVELOPER, {"CLEARML_API_DEFAULT_REQ_METHOD": "post"}, ["POST /auth.login Basic", f"POST {VAULTS} Bearer"], URI),
    ("7 put", DEVELOPER, {"CLEARML_API_DEFAULT_REQ_METHOD": "put"}, ["PUT /auth.login Basic", f"PUT {VAULTS} Bearer"], URI),
    ("9", DEVELOPER, {"CLEARML_API_HOST": "{url}/api"}, [text.replace(" /", " /api/") for text in ASKED], URI),
    ("10", ("jürgen", "pä:ss"), {}, ASKED, URI),
    ("11", DEVELOPER, {"CLEARML_DISABLE_VAULT_SUPPORT": "1"}, ASKED[:1], ""),
]


@pytest.mark.parametrize(("row", "person", "variables", "asked", "uri"), CALLED, ids=[row[0] for row in CALLED])
def test_ways_to_call(
    site: Site, tmp_path: Path, row: str, person: tuple[str, str], variables: dict[str, str], asked: list[str], uri: str
) -> None:
    site.vault(**TEAM)
    given = {name: value.format(url=site.url) for name, value in variables.items()}
    assert probe(site, tmp_path, **keys(person), **given).probe == expected(uri)
    assert site.recorder.requests == asked


def test_row_5_a_wrong_password(site: Site, tmp_path: Path) -> None:
    before = len(site.logins)
    run = probe(site, tmp_path, **keys(("alan", "wrong")))
    assert run.code != 0
    for text in ("LoginError", "error 401", "Unauthorized (invalid credentials) (bad username or password)"):
        assert text in run.output
    assert site.recorder.requests == ASKED[:1]
    assert site.logins[before:] == ["failure"]


def test_row_6_an_access_key(site: Site, tmp_path: Path) -> None:
    site.vault(**TEAM)
    made = site.call(DEVELOPER, "auth.create_credentials").data["credentials"]
    run = probe(site, tmp_path, **keys((made["access_key"], made["secret_key"])))
    assert run.probe == expected(URI)
    assert site.recorder.requests == ASKED
    [row] = site.call(DEVELOPER, "auth.get_credentials").data["credentials"]
    assert row["last_used_from"] == socket.gethostname()


def test_row_8_a_token_instead_of_keys(site: Site, tmp_path: Path) -> None:
    site.vault(**TEAM)
    run = probe(site, tmp_path, CLEARML_AUTH_TOKEN=site.daemon.token(*DEVELOPER))
    assert run.probe == expected(URI)
    assert site.recorder.requests == ["GET /auth.login Bearer", f"GET {VAULTS} Bearer"]


def test_row_12_a_directory_that_comes_back(site: Site, tmp_path: Path) -> None:
    """Both methods at once: a GET is repeated by the SDK with pauses, a POST without any."""
    site.vault(**TEAM)
    before = len(site.logins)
    site.slapd.stop()
    ways = [{**keys(DEVELOPER), "CLEARML_API_DEFAULT_REQ_METHOD": method} for method in ("get", "post")]
    children = [start(SDK, PROBE, site.url, tmp_path, way) for way in ways]
    back = threading.Timer(5, site.slapd.run)
    back.start()
    try:
        runs = [finish(child) for child in children]
    finally:
        back.join()
    assert [run.probe for run in runs] == [expected(URI)] * 2
    assert site.logins[before:].count("success") == 2
    for method in ("GET", "POST"):
        assert 2 < sum(request.startswith(method) for request in site.recorder.requests) < 20


def test_sessions_at_once(site: Site, tmp_path: Path) -> None:
    site.vault(**TEAM)
    children = [start(SDK, PROBE, site.url, tmp_path, keys(DEVELOPER)) for _ in range(3)]
    assert [finish(child).probe for child in children] == [expected(URI)] * 3
    assert sorted(site.recorder.requests) == sorted(ASKED * 3)
