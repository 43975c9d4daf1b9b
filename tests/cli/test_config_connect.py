"""``config check --connect`` on a real directory: every bind mode passes where it is right, and what is wrong has a place."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from tests.directories.slapd import BASE_DN, COMPANY, SERVICE_DN, Slapd

PEOPLE = f"ou=people,{BASE_DN}"
GOOD = "The configuration is good. The directories can be reached; ldap-gateway doctor looks further.\n"


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, directory=tmp_path_factory.mktemp("slapd")) as started:
        yield started


@pytest.fixture
def black_hole() -> Iterator[str]:
    """The URL of something that accepts connections and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield f"ldap://127.0.0.1:{listener.getsockname()[1]}"


def checked(tmp_path: Path, *servers: dict[str, Any]) -> int:
    file = tmp_path / "gateway.yaml"
    file.write_text(json.dumps({"servers": servers}))
    return main(["config", "check", "--connect", "-c", str(file)])


# bind mode, what the server says besides its address
MODES: list[tuple[str, dict[str, object]]] = [
    ("service", {"search_base_dns": [PEOPLE], "group_search_base_dns": [f"ou=groups,{BASE_DN}"]}),
    ("single", {"bind_dn": f"uid=%s,{PEOPLE}", "search_base_dns": [PEOPLE]}),
    ("upn", {"upn_domain": "example.com", "search_base_dns": [PEOPLE]}),
    ("direct", {"user_dn": PEOPLE}),
]


@pytest.mark.parametrize(("mode", "settings"), MODES)
def test_right_in_each_mode(
    slapd: Slapd, tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str, settings: dict[str, object]
) -> None:
    server = slapd.server() if mode == "service" else {"name": "corp", "urls": [slapd.url]}
    code = checked(tmp_path, {**server, **settings, "bind_mode": mode})
    assert (code, *capsys.readouterr()) == (0, GOOD, "")


# what is changed of a good server, key at which the problem stands, how it ends
WRONG: list[tuple[dict[str, object], str, str]] = [
    ({"search_base_dns": [PEOPLE, f"ou=typo,{BASE_DN}"]}, "search_base_dns", f": ou=typo,{BASE_DN}: 32 noSuchObject"),
    ({"group_search_base_dns": [f"ou=typo,{BASE_DN}"]}, "group_search_base_dns", f": ou=typo,{BASE_DN}: 32 noSuchObject"),
    ({"bind_password": "wrong"}, "bind_password", f"{SERVICE_DN} was refused: 49 invalidCredentials; check bind_dn and bind_password"),
    ({"urls": ["ldap://127.0.0.1:1"]}, "urls", ": 127.0.0.1:1: Connection refused"),
    ({"urls": ["ldap://127.0.0.1:1"], "bind_mode": "direct", "user_dn": PEOPLE, "recheck": "none"}, "urls", ": 127.0.0.1:1: Connection refused"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "key", "ends"), WRONG)
def test_wrong(
    slapd: Slapd, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, object], key: str, ends: str
) -> None:
    """At the line of the key that is to blame, also where the server's name has capitals."""
    server = json.dumps({**slapd.server(name="Corp"), **changes}, indent=1)
    file = tmp_path / "gateway.json"
    file.write_text(f'{{"servers": [{server}]}}')
    line = next(number for number, text in enumerate(file.read_text().splitlines(), 1) if f'"{key}":' in text)
    assert main(["config", "check", "--connect", "-c", str(file)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {file}:{line}:")
    assert f" servers.Corp.{key}: " in err
    assert err.endswith(f"{ends}\n")


@pytest.mark.parametrize("mode", ["service", "direct"])
def test_silence_has_a_cause_and_a_limit(
    slapd: Slapd, black_hole: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    """Servers are asked at once, and each for as long as its own limits say."""
    more = {"bind_mode": "direct", "user_dn": PEOPLE, "recheck": "none"} if mode == "direct" else {}
    silent = [
        {**slapd.server(name=f"s{number}", urls=[black_hole], timeout="3s", request_timeout="3s"), **more}
        for number in range(4)
    ]
    started = time.monotonic()
    assert checked(tmp_path, *silent, slapd.server()) == 1
    assert time.monotonic() - started < 10  # four in turn would take twelve
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    for number, line in enumerate(lines):
        assert f" servers.s{number}.urls: {black_hole.removeprefix('ldap://')}: " in line
        assert "3s" in line and "timeout" in line, line
