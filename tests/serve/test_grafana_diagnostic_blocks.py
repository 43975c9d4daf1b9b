"""Grafana's diagnostic API: which block answers, who may be synced, what is too large (grafana.md 2.7, 3)."""

from __future__ import annotations

import base64
import http.client
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.directories.slapd import BASE_DN
from tests.serve.test_grafana_diagnostics import ADMIN, GROUPS, NOT_IN, PREFIX, Site, role, site_in


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site_in(tmp_path_factory.mktemp("blocks")) as opened:
        yield opened


@contextmanager
def instead(site: Site, toml: str) -> Iterator[None]:
    """Another ``ldap.toml`` for a while."""
    before = site.files[0].read_text()
    try:
        site.files[0].write_text(toml)
        assert site.post("reload")[0] == 200
        yield
    finally:
        site.files[0].write_text(before)
        assert site.post("reload")[0] == 200


def block_of(site: Site) -> str:
    """The first block alone."""
    text = site.files[0].read_text()
    return text[: text.rindex("[[servers]]")]


def test_everybody_s_mapping_names_no_group(site: Site) -> None:
    """3: matched mappings first, then the remaining groups, which ``*`` does not use up."""
    block = block_of(site)
    only = block[: block.index("[[servers.group_mappings]]")] + block[block.rindex("[[servers.group_mappings]]") :]
    with instead(site, only):
        found = site.get("grace")[1]["roles"]
    groups = sorted(f"cn={name},{GROUPS}" for name in ("admins", "research\\, development"))
    assert (found[0], sorted(one["groupDN"] for one in found[1:])) == (role(1, "Viewer", "*"), groups)


# what is first in the file, the answer: the block behind it knows grace
BEFORE = [
    ("search_base_dns", f"ou=none,{BASE_DN}", 503),
    ("host", "127.0.0.2", 200),
]


@pytest.mark.parametrize(("key", "value", "status"), BEFORE)
def test_a_block_that_fails(site: Site, key: str, value: str, status: int) -> None:
    """2.7: an error stops the round, as it would stop a login; who is unreachable does not."""
    block = block_of(site)
    changed = re.sub(rf'^{key} = (\[?)"[^"]*"', rf'{key} = \1"{value}"', block, flags=re.MULTILINE)
    assert changed != block
    with instead(site, changed + block):
        answer, data = site.get("grace")
    assert answer == status, data
    if status == 503:
        assert data["message"].startswith("The server ldap could not be asked: ")


def test_sync_of_who_is_no_longer_admitted(site: Site) -> None:
    """DECISIONS 20: the directory knows them as before; a mapping, or the server itself, is gone."""
    token = site.daemon.token("mary", "forty-two")
    assert site.post("sync/mary") == (200, {"message": "User synced successfully"})
    block = block_of(site)
    with instead(site, block[: block.rindex("[[servers.group_mappings]]")]):
        assert site.post("sync/mary") == NOT_IN
    with instead(site, block.replace("[[servers]]", '[[servers]]\nname = "other"', 1)):
        assert site.post("sync/ldap%2Fmary") == NOT_IN
        assert site.daemon.call("/users.get_current_user", bearer=token).status == 401
    assert site.post("sync/mary")[0] == 200


def test_sync_of_a_name_that_was_given_away(site: Site) -> None:
    """DECISIONS 1: the name is whose it is now, be the clock set back since; who left stays out."""
    dn = f"uid=relay,ou=people,{BASE_DN}"
    entry = {"objectClass": "inetOrgPerson", "uid": "relay", "cn": "R", "sn": "R", "userPassword": "pw"}
    with site.slapd.administration() as connection, database_of(site) as database:
        connection.add(dn, attributes=entry)
        site.daemon.token("relay", "pw")
        [[first]] = database.execute("SELECT id FROM identities WHERE username = 'relay'")
        connection.delete(dn)
        assert site.post("sync/relay") == NOT_IN
        database.execute("UPDATE identities SET checked_at = checked_at + 3600 WHERE id = ?", (first,))
        connection.add(dn, attributes=entry)
        site.daemon.token("relay", "pw")
        [[second]] = database.execute("SELECT id FROM identities WHERE username = 'relay' AND id <> ?", (first,))
    assert site.post("sync/relay")[0] == 200
    assert site.post(f"sync/{second}")[0] == 200
    assert site.post(f"sync/{first}") == NOT_IN


@contextmanager
def database_of(site: Site) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(site.daemon.directory / "state" / "gateway.db", isolation_level=None)) as database:
        yield database


@pytest.mark.parametrize("length", [65_537, 50_000_000])
def test_a_body_too_large_is_refused_before_it_comes(site: Site, length: int) -> None:
    """DECISIONS 30."""
    connection = http.client.HTTPConnection("127.0.0.1", site.daemon.port, timeout=10)
    connection.putrequest("POST", f"{PREFIX}/reload")
    for name, value in {**BASIC, "Content-Length": str(length)}.items():
        connection.putheader(name, value)
    connection.endheaders(b"{")
    response = connection.getresponse()
    assert (response.status, response.headers["Connection"]) == (413, "close")
    assert response.read() == b'{"message": "a body may have 65536 bytes, and none is read"}'
    connection.close()


def test_a_body_within_the_limit_is_stepped_over(site: Site) -> None:
    """Nothing is made of it, and the connection goes on behind it."""
    connection = http.client.HTTPConnection("127.0.0.1", site.daemon.port, timeout=10)
    connection.connect()
    kept = connection.sock
    for body in (b"{}" * 100, b"GET /x HTTP/1.1\r\n\r\n" * 1000, None):
        connection.request("POST", f"{PREFIX}/reload", body, BASIC)
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b'{"message": "LDAP config reloaded"}')
        assert connection.sock is kept
    connection.close()


BASIC = {"Authorization": "Basic " + base64.b64encode(":".join(ADMIN).encode()).decode()}
