"""From the mapping through a real daemon to the roles that a Grafana ends with (grafana.md 4, 5).

The judge is ``grafana_consumer.py``, which shares no code with the gateway. It begins with roles that somebody changed by
hand, reads what the daemon tells a proxy, and must end with what was worked out by hand from the mapping.
"""

from __future__ import annotations

import base64
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

from tests.daemon import Answer, Daemon, running
from tests.grafana.grafana_consumer import AuthJwt, AuthProxy, Grafana, User
from tests.serve.test_clearml_protocol import password_hash

ORGS = (1, 2, 3)
MAPPING = " ".join(f"o{org}_{role}:{org}:{role}" for org in ORGS for role in ("Admin", "Editor", "Viewer", "None"))
BY_HAND = {1: "Editor", 2: "Admin", 3: "Viewer"}


@dataclass
class Row:
    name: str
    groups: tuple[str, ...]
    roles: dict[int, str]
    """What the mapping says."""
    by_header: str
    admin: bool = False
    raised: dict[int, str] | None = None
    """What Grafana makes of an administrator's token: Admin in every organisation of theirs."""
    email: str = ""
    shown: str = ""


ROWS = [
    Row("anna", ("dev",), {1: "Editor", 2: "Admin"}, "Editor"),
    Row("bert", ("sre", "dev"), {1: "Admin", 2: "Admin"}, "Admin"),  # 2.6: the first match of an organisation
    Row("carl", ("audit",), {1: "Viewer"}, "Viewer"),
    Row("dora", ("plant",), {3: "Editor"}, "None"),  # trap: no role in organisation 1
    Row("emil", ("guests",), {1: "None", 2: "Viewer"}, "None"),
    Row("fern", ("plant", "audit"), {1: "Viewer", 3: "Editor"}, "Viewer"),  # trap: several organisations
    Row("gerd", ("root",), {1: "Admin"}, "Admin", admin=True),
    Row("hans", ("root", "plant"), {1: "Admin", 3: "Editor"}, "Admin", admin=True, raised={1: "Admin", 3: "Admin"}),
    Row("ines", ("boss",), {}, "None", admin=True, raised={1: "Admin"}),
    Row("jörg", ("audit",), {1: "Viewer"}, "Viewer", email="jörg@example.com", shown='Jörg "=?x?=" Ö, 東'),
]
NOBODY = Row("kurt", ("chess",), {}, "None")
"""In no group that gives a role."""
EVERYWHERE = Row("lena", ("everywhere",), dict.fromkeys(range(100, 320), "Editor"), "None")
"""In more organisations than a header has room for."""


def configuration() -> str:
    mappings = [
        {"group_dn": "root", "org_role": "Admin", "grafana_admin": True},
        {"group_dn": "sre", "org_role": "Admin"},
        {"group_dn": "dev", "org_role": "Editor"},
        {"group_dn": "dev", "org_role": "Admin", "org_id": 2},
        {"group_dn": "audit", "org_role": "Viewer"},
        {"group_dn": "plant", "org_role": "Editor", "org_id": 3},
        {"group_dn": "guests", "org_role": "None"},
        {"group_dn": "guests", "org_role": "Viewer", "org_id": 2},
        {"group_dn": "boss", "grafana_admin": True},
        *({"group_dn": "everywhere", "org_role": role, "org_id": org} for org, role in EVERYWHERE.roles.items()),
    ]
    users = [
        {"username": row.name, "groups": list(row.groups), "email": row.email, "name": row.shown or row.name, "password_hash": password_hash("lovelace")}
        for row in (*ROWS, NOBODY, EVERYWHERE)
    ]
    rules = [
        {"name": name, "domain": f"{name}.example.com", "policy": "authenticated", "headers": f"grafana-{name}"}
        for name in ("proxy", "jwt")
    ]
    tree = {
        "public_url": "https://auth.example.com/", "group_mappings": mappings, "users": users,
        "session": {"cookies": [{"domain": "example.com", "portal_url": "https://auth.example.com"}]},
        "access_control": {"rules": rules}, "login": {"floor": 0},
    }  # fmt: skip
    return json.dumps(tree)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("delivery")
    (directory / "gateway.yaml").write_text(configuration())
    with running(directory, files=[directory / "gateway.yaml"]) as started:
        yield started


def ask(daemon: Daemon, host: str, name: str) -> Answer:
    shown = base64.b64encode(f"{name}:lovelace".encode()).decode()
    headers = {"X-Original-URL": f"https://{host}.example.com/", "X-Original-Method": "GET", "Authorization": f"Basic {shown}"}
    return daemon.call("/api/authz/auth-request", headers={**headers, "X-Forwarded-For": "192.0.2.1"})


def grafana(name: str) -> Grafana:
    keeper = User("keeper", roles=dict.fromkeys(ORGS, "Admin"))
    return Grafana(users={"keeper": keeper, name: User(name, roles=dict(BY_HAND), admin=True)})


def judge(daemon: Daemon, site: Grafana) -> AuthJwt:
    def fetch() -> dict[str, object]:
        answer = daemon.call("/.well-known/jwks.json")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
        found: dict[str, object] = answer.json
        return found

    return AuthJwt(site, fetch, {"iss": "https://auth.example.com", "aud": "grafana"}, MAPPING)


@pytest.mark.parametrize("row", ROWS, ids=[row.groups[0] + str(place) for place, row in enumerate(ROWS)])
def test_by_token(daemon: Daemon, row: Row) -> None:
    """5: roles in every organisation, and the flag."""
    answer = ask(daemon, "jwt", row.name)
    assert answer.status == 200
    site = grafana(row.name)
    user = judge(daemon, site).request(dict(answer.headers.items()), time.time())
    assert user is not None
    assert (user.login, user.email, user.name) == (row.name, row.email, row.shown or row.name)
    assert user.roles == (row.raised or row.roles)
    assert user.admin is row.admin


@pytest.mark.parametrize("row", [*ROWS, NOBODY], ids=[row.groups[0] + str(place) for place, row in enumerate([*ROWS, NOBODY])])
def test_by_headers(daemon: Daemon, row: Row) -> None:
    """4: the role of one organisation, none in all others, and None rather than Grafana's own choice."""
    answer = ask(daemon, "proxy", row.name)
    assert answer.status == 200
    assert answer.headers["X-WEBAUTH-ROLE"] == row.by_header
    site = grafana(row.name)
    user = AuthProxy(site).request(dict(answer.headers.items()), time.time())
    assert user is not None
    assert (user.login, user.email, user.name) == (row.name, row.email, row.shown or row.name)
    assert user.roles == {1: row.by_header}
    assert user.admin, "the header cannot say, and Grafana leaves it"
    new = Grafana()
    made = AuthProxy(new).request(dict(answer.headers.items()), time.time())
    assert made is not None and made.roles == {1: row.by_header}


def test_who_has_no_role_is_not_sent_on(daemon: Daemon) -> None:
    """5: do not forward people without roles when mappings exist."""
    answer = ask(daemon, "jwt", NOBODY.name)
    assert (answer.status, answer.headers["X-JWT-Assertion"]) == (403, None)
    event = daemon.wait_for_event(action="access", user=NOBODY.name)
    assert event["reason"] == "no group mapping gives a role in Grafana"


def test_a_token_without_room_lets_nobody_pass(daemon: Daemon) -> None:
    """5: an answer without it would be a Grafana that takes the person for nobody. Kept answers too, and other presets
    are not concerned."""
    for _ in range(2):
        answer = ask(daemon, "jwt", EVERYWHERE.name)
        assert (answer.status, answer.headers["X-JWT-Assertion"]) == (403, None)
    event = daemon.wait_for_event(action="access", user=EVERYWHERE.name)
    assert event["reason"] == "the token for the application is longer than identity_headers.max_size"
    assert ask(daemon, "proxy", EVERYWHERE.name).status == 200


def test_the_set_is_for_anybody_and_may_be_kept(daemon: Daemon) -> None:
    """5: kept for less than key_overlap; nothing private in it; only GET and HEAD."""
    answer = daemon.call("/.well-known/jwks.json")
    age = int(answer.headers["Cache-Control"].removeprefix("public, max-age="))
    assert 0 < age <= 900
    assert all(key.keys() == {"kty", "crv", "x", "y", "alg", "use", "kid"} for key in answer.json["keys"])
    etag = answer.headers["ETag"]
    for match in (etag, f'"x", W/{etag}', "*"):
        unchanged = daemon.call("/.well-known/jwks.json", headers={"If-None-Match": match})
        assert (unchanged.status, unchanged.body, unchanged.headers["ETag"]) == (304, b"", etag)
    assert daemon.call("/.well-known/jwks.json", headers={"If-None-Match": '"x"'}).status == 200
    head = daemon.call("/.well-known/jwks.json", method="HEAD")
    assert (head.status, head.body, head.headers["ETag"]) == (200, b"", etag)
    refused = daemon.call("/.well-known/jwks.json", method="POST", body="{}")
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD")


def test_a_store_that_fails_is_no_empty_set(daemon: Daemon) -> None:
    """A verifier keeps what it has; a set without keys would replace it."""
    before = daemon.call("/.well-known/jwks.json")
    with closing(sqlite3.connect(daemon.directory / "state" / "gateway.db", isolation_level=None)) as database:
        [[key, sealed]] = database.execute("SELECT id, private_sealed FROM signing_keys WHERE purpose = 'jwks'").fetchall()
        database.execute("UPDATE signing_keys SET private_sealed = ? WHERE id = ?", (bytes(len(sealed)), key))
        try:
            failed = daemon.call("/.well-known/jwks.json")
        finally:
            database.execute("UPDATE signing_keys SET private_sealed = ? WHERE id = ?", (sealed, key))
    assert (failed.status, failed.json) == (503, {"error": "the store cannot be used"})
    assert (failed.headers["Cache-Control"], failed.headers["ETag"]) == ("no-store", None)
    assert "the key set cannot be told: the stored signing keys do not open" in daemon.log
    assert daemon.call("/.well-known/jwks.json").body == before.body
