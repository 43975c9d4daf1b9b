"""clearml.md 9, configuration.md 3, DECISIONS 11, 14: access keys, and what happens to them with their owner."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import ldap3
import pytest

from tests.daemon import Answer, Daemon, running
from tests.directories.slapd import BASE_DN, COMPANY, Slapd
from tests.directory.small_directory import Answer as Found
from tests.directory.small_directory import Search, SmallDirectory
from tests.serve.clearml_site import PASSWORD, Site, clearml_site

BAD_LOGIN = "Unauthorized (invalid credentials) (bad username or password)"
ALAN = f"uid=alan,ou=people,{BASE_DN}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with clearml_site(tmp_path_factory.mktemp("keys")) as started:
        yield started


def create(site: Site, role: str = "user", **fields: Any) -> dict[str, str]:
    answer = site.call(role, "auth.create_credentials", **fields)
    assert answer.status == 200, answer.body
    made: dict[str, str] = answer.data["credentials"]
    return made


def login(daemon: Daemon, made: dict[str, str], **headers: str) -> Answer:
    return daemon.login(made["access_key"], made["secret_key"], headers=headers)


def listed(site: Site, key: str, role: str = "user") -> dict[str, str] | None:
    rows = site.call(role, "auth.get_credentials").data["credentials"]
    return next((row for row in rows if row["access_key"] == key), None)


def test_the_form_of_a_key(site: Site) -> None:
    """configuration.md 3."""
    made = [create(site) for _ in range(5)]
    for pair in made:
        assert re.fullmatch(r"[A-Z0-9]{30}", pair["access_key"])
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{66}", pair["secret_key"])
    assert len({pair["secret_key"] for pair in made}) == 5


def test_a_key_logs_in_as_its_owner(site: Site) -> None:
    made = create(site, "superuser")
    token = login(site.daemon, made).data["token"]
    assert site.daemon.user(token)["role"] == "superuser"
    assert site.daemon.wait_for_event(action="login", outcome="success", user="sue")
    # Direct use, as the documented curl lines have it (8).
    direct = site.daemon.call("/users.get_current_user", basic=(made["access_key"], made["secret_key"]))
    assert direct.data["user"]["name"] == "Sue Doe"


def test_a_key_between_blanks_is_a_key(site: Site) -> None:
    """DECISIONS 14: never sent to a directory, which would pass over blanks."""
    made = create(site)
    assert site.daemon.login(f" {made['access_key']} ", made["secret_key"]).verdict == (401, 22)
    event = site.daemon.wait_for_event(action="login", outcome="failure", user=f" {made['access_key']} ")
    assert event["reason"] == "no key with this secret"


def test_a_key_that_would_end_at_once_is_refused(site: Site) -> None:
    """Not taken for 0, which is no end at all."""
    assert site.call("user", "auth.create_credentials", expiration_sec=0.9).verdict == (400, 12)


def test_keys_of_before_an_owner_was_gone_are_listed_no_more(site: Site) -> None:
    made = create(site, "annotator")
    with closing(sqlite3.connect(site.daemon.directory / "state/gateway.db")) as connection:
        connection.execute("UPDATE identities SET valid_after = ? WHERE username = 'anna'", (int(time.time()) + 1,))
        connection.commit()
    time.sleep(1.1)
    site.tokens["annotator"] = site.daemon.token("anna", PASSWORD)
    assert login(site.daemon, made).verdict == (401, 22)
    assert listed(site, made["access_key"], "annotator") is None
    assert site.call("annotator", "auth.revoke_credentials", access_key=made["access_key"]).verdict == (400, 300)


@pytest.mark.parametrize(("sent", "shown"), [(b"r\xc3\xb6ntgen", "röntgen"), (b"r\xf6ntgen", "röntgen")])
def test_the_name_of_a_worker_in_utf_8_or_latin_1(site: Site, sent: bytes, shown: str) -> None:
    made = create(site)
    login(site.daemon, made, **{"X-Clearml-Worker": sent.decode("latin-1")})
    row = listed(site, made["access_key"])
    assert row is not None and row["last_used_from"] == shown


def test_the_secret_is_nowhere(site: Site) -> None:
    made = create(site, label="seen nowhere")
    login(site.daemon, made)
    assert made["secret_key"] not in json.dumps(site.call("user", "auth.get_credentials").data)
    assert made["secret_key"] not in site.daemon.log
    for file in (site.daemon.directory / "state").glob("gateway.db*"):
        assert made["secret_key"].encode() not in file.read_bytes()


def test_wrong_pairs_look_alike(site: Site) -> None:
    made, other = create(site), create(site)
    for key, secret in (
        (made["access_key"], "wrong"),
        (made["access_key"], other["secret_key"]),
        (made["access_key"], made["secret_key"] + "x"),
        (made["access_key"].lower(), made["secret_key"]),
        ("A" * 30, made["secret_key"]),
        ("jane", made["secret_key"]),
    ):
        answer = site.daemon.login(key, secret)
        assert (*answer.verdict, answer.meta["result_msg"]) == (401, 22, BAD_LOGIN)


def test_labels_and_the_end_of_a_key(site: Site) -> None:
    made = create(site, label="laptop", expiration_sec=3600)
    assert made["label"] == "laptop"
    assert made["expire"].endswith("+00:00")
    key = made["access_key"]
    assert listed(site, key) == {"access_key": key, "label": "laptop", "expire": made["expire"]}
    assert site.call("user", "auth.edit_credentials", access_key=key, label="desktop").data == {"updated": 1}
    shown = listed(site, key)
    assert shown is not None and shown["label"] == "desktop"
    assert site.call("user", "auth.edit_credentials", access_key=key).data == {"updated": 1}
    assert listed(site, key) == {"access_key": key, "expire": made["expire"]}
    assert site.call("user", "auth.revoke_credentials", access_key=key).data == {"revoked": 1}
    assert listed(site, key) is None
    assert login(site.daemon, made).verdict == (401, 22)


def test_an_expired_key(site: Site) -> None:
    made = create(site, expiration_sec=1)
    deadline = time.monotonic() + 10
    while login(site.daemon, made).status == 200:
        assert time.monotonic() < deadline
    assert login(site.daemon, made).verdict == (401, 22)
    assert listed(site, made["access_key"]) is None
    assert site.call("user", "auth.edit_credentials", access_key=made["access_key"]).verdict == (400, 75)


NOT_FOUND = "Access key not found (none of this user)"
INVALID = "Invalid user (invalid user or invalid access key)"
# endpoint, fields, verdict, text: 2.2
REFUSALS: list[tuple[str, dict[str, Any], tuple[int, int], str]] = [
    ("auth.edit_credentials", {"access_key": "A" * 30, "label": "x"}, (400, 75), NOT_FOUND),
    ("auth.edit_credentials", {"access_key": "ADAS", "label": "x"}, (400, 75), NOT_FOUND),
    ("auth.revoke_credentials", {"access_key": "A" * 30}, (400, 300), INVALID),
    ("auth.revoke_credentials", {"access_key": "ADAS"}, (400, 300), INVALID),
    ("auth.edit_credentials", {}, (400, 12), "Validation error (error for field 'access_key'. field is required!)"),
    ("auth.revoke_credentials", {}, (400, 12), "Validation error (error for field 'access_key'. field is required!)"),
    ("auth.create_credentials", {"label": "x" * 257}, (400, 12), "Validation error (error for field 'label'. expected at most 256 characters)"),
    ("auth.create_credentials", {"label": 5}, (400, 12), "Validation error (error for field 'label'. expected a string)"),
    ("auth.create_credentials", {"label": "\ud800"}, (400, 12), "Validation error (error for field 'label'. expected a string)"),
    ("auth.create_credentials", {"expiration_sec": -1}, (400, 12), "Validation error (error for field 'expiration_sec'. expected a number up to 315360000)"),
    ("auth.create_credentials", {"expiration_sec": 1e300}, (400, 12), "Validation error (error for field 'expiration_sec'. expected a number up to 315360000)"),
]  # fmt: skip


@pytest.mark.parametrize(("endpoint", "fields", "verdict", "text"), REFUSALS)
def test_refusals(site: Site, endpoint: str, fields: dict[str, Any], verdict: tuple[int, int], text: str) -> None:
    made = create(site, "admin")
    fields = {name: made["access_key"] if value == "ADAS" else value for name, value in fields.items()}
    answer = site.call("user", endpoint, **fields)
    assert (answer.verdict, answer.meta["result_msg"]) == (verdict, text)
    assert login(site.daemon, made).status == 200


def test_services_have_no_keys(site: Site) -> None:
    for endpoint in ("create", "get", "edit", "revoke"):
        assert site.call("system", f"auth.{endpoint}_credentials", access_key="x").verdict == (400, 300)


def test_keys_are_made_for_oneself_alone(site: Site) -> None:
    """DECISIONS 8: such a key would outlive its maker; and ada, who administrates the gateway, could be its owner."""
    for header in ("X-Clearml-Impersonate-As", "X-Clearml-Act-As"):
        answer = site.call("system", "auth.create_credentials", {header: site.id("admin")})
        assert (*answer.verdict, answer.meta["result_msg"]) == (403, 20, "Forbidden (not while acting for another user)")
    token = site.call("system", "auth.login", {"X-Clearml-Impersonate-As": site.id("admin")}).data["token"]
    assert site.by(token, "auth.create_credentials").verdict == (403, 20)
    # To list and to end them is what administrators are for.
    made = create(site)
    acting = {"X-Clearml-Impersonate-As": site.id("user")}
    rows = site.call("admin", "auth.get_credentials", acting).data["credentials"]
    assert made["access_key"] in [row["access_key"] for row in rows]
    assert site.call("admin", "auth.revoke_credentials", acting, access_key=made["access_key"]).status == 200
    assert site.daemon.wait_for_event(action="key.revoke", user="ada", target=made["access_key"])


def test_last_used(site: Site) -> None:
    """11.1 row 6: the worker's name, by the new or the old header."""
    made = create(site)
    assert login(site.daemon, made, **{"X-ClearML-Worker": "node-1"}).status == 200
    shown = listed(site, made["access_key"])
    assert shown is not None and shown["last_used_from"] == "node-1"
    assert shown["last_used"].endswith("+00:00")
    # At most once a minute a row: what comes now is not noted.
    assert login(site.daemon, made, **{"X-Trains-Worker": "node-2"}).status == 200
    assert listed(site, made["access_key"]) == shown


def test_guesses_count_for_the_address_and_dead_keys_do_not(tmp_path: Path) -> None:
    """DECISIONS 13: an agent with an expired key must not shut out everybody behind its address."""
    with clearml_site(tmp_path, CLEARML__lockout__address_failures="5") as site:
        made, kept = create(site), create(site)
        site.call("user", "auth.revoke_credentials", access_key=made["access_key"])
        headers = {"X-Forwarded-For": "192.0.2.7"}
        assert [login(site.daemon, made, **headers).status for _ in range(10)] == [401] * 10
        assert login(site.daemon, kept, **headers).status == 200
        wrong = {**kept, "secret_key": "wrong"}
        assert [login(site.daemon, wrong, **headers).status for _ in range(6)] == [401] * 5 + [429]
        assert login(site.daemon, kept, **headers).status == 429
        assert login(site.daemon, kept).status == 200


def test_there_are_not_more_than_a_hundred(tmp_path: Path) -> None:
    """Also when they are made at once."""
    with clearml_site(tmp_path) as site:
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda _: site.call("user", "auth.create_credentials"), range(110)))
        assert [answer.status for answer in answers].count(200) == 100
        refused = next(answer for answer in answers if answer.status != 200)
        assert (*refused.verdict, refused.meta["result_msg"]) == (
            400, 12, "Validation error (a user may have 100 keys: revoke one)")  # fmt: skip
        keys = [answer.data["credentials"]["access_key"] for answer in answers if answer.status == 200]
        rows = site.call("user", "auth.get_credentials").data["credentials"]
        assert sorted(row["access_key"] for row in rows) == sorted(keys)
        assert site.call("user", "auth.revoke_credentials", access_key=keys[0]).status == 200
        assert site.call("user", "auth.create_credentials").status == 200


def test_keys_last_over_a_restart_and_their_last_use_too(tmp_path: Path) -> None:
    with clearml_site(tmp_path) as site:
        made = create(site)
        assert login(site.daemon, made, **{"X-ClearML-Worker": "node-1"}).status == 200
    with clearml_site(tmp_path) as site:
        assert login(site.daemon, made).status == 200
        shown = listed(site, made["access_key"])
        assert shown is not None and shown["last_used_from"] == "node-1"
    with running(tmp_path, environment={"CLEARML__login__floor": "0"}) as daemon:  # jane is no longer configured
        assert login(daemon, made).verdict == (401, 22)


# a directory


@pytest.fixture
def slapd(tmp_path: Path) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, directory=tmp_path / "slapd") as started:
        yield started


def environment(slapd: Slapd, refresh: str = "0s", stale: str = "1h", **server: object) -> dict[str, str]:
    given = slapd.server(**{"request_timeout": 1, "clearml": {"groups": {"admins": ["developers"]}}, **server})
    return {
        "CLEARML__servers": json.dumps([given]),
        "CLEARML__session__refresh_interval": refresh,
        "CLEARML__session__max_stale": stale,
        "CLEARML__login__floor": "0",
    }


def key_of(daemon: Daemon, name: str, password: str) -> dict[str, str]:
    answer = daemon.call("/auth.create_credentials", basic=(name, password))
    assert answer.status == 200, answer.body
    made: dict[str, str] = answer.data["credentials"]
    return made


def test_the_keys_of_who_was_removed_die(slapd: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, environment=environment(slapd)) as daemon, slapd.administration() as admin:
        made = key_of(daemon, "alan", "enigma")
        assert login(daemon, made).status == 200
        admin.delete(ALAN)
        refused = login(daemon, made)
        assert (*refused.verdict, refused.meta["result_msg"]) == (401, 22, BAD_LOGIN)
        # A re-hired name is another person, and has no keys.
        names = {"uid": "alan", "cn": "Another Alan", "sn": "Alan", "userPassword": "enigma"}
        admin.add(ALAN, "inetOrgPerson", names)
        assert daemon.login("alan", "enigma").status == 200
        assert login(daemon, made).verdict == (401, 22)
        assert daemon.call("/auth.get_credentials", basic=("alan", "enigma")).data == {"credentials": []}


def test_a_key_has_the_role_its_owner_has_now(slapd: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, environment=environment(slapd)) as daemon, slapd.administration() as admin:
        made = key_of(daemon, "alan", "enigma")
        assert daemon.user(login(daemon, made).data["token"])["role"] == "admin"
        admin.modify(f"cn=developers,ou=groups,{BASE_DN}", {"member": [(ldap3.MODIFY_DELETE, [ALAN])]})
        assert daemon.user(login(daemon, made).data["token"])["role"] == "user"


# max_stale, verdict while the directory is down
STALE = [("1h", (200, 0)), ("0s", (503, 0))]


@pytest.mark.parametrize(("stale", "verdict"), STALE)
def test_while_the_directory_is_down(slapd: Slapd, tmp_path: Path, stale: str, verdict: tuple[int, int]) -> None:
    with running(tmp_path, environment=environment(slapd, stale=stale)) as daemon:
        made = key_of(daemon, "alan", "enigma")
        slapd.stop()
        answer = login(daemon, made)
        assert answer.verdict == verdict
        assert ("Retry-After" in answer.headers) == (verdict[0] == 503)
        # Nobody learns from an outage that a secret is wrong.
        assert daemon.login(made["access_key"], "wrong").verdict == (401, 22)


def test_where_nobody_can_be_asked_there_are_no_keys(slapd: Slapd, tmp_path: Path) -> None:
    """DECISIONS 11."""
    with running(tmp_path, environment=environment(slapd)) as daemon:
        made = key_of(daemon, "alan", "enigma")
    with running(tmp_path, environment=environment(slapd, recheck="none")) as daemon:
        answer = daemon.call("/auth.create_credentials", basic=("alan", "enigma"))
        name = slapd.server()["name"]
        expected = f"server {name} has nobody to ask whether a key's owner is still there, so there are no keys for its users"
        assert (*answer.verdict, answer.meta["result_msg"]) == (400, 12, f"Validation error ({expected})")
        assert login(daemon, made).verdict == (401, 22)


async def test_keys_and_renewals_in_a_loop_cause_no_storm(tmp_path: Path) -> None:
    """Acceptance: what the directory hears of agents that log in and renew without a pause."""
    entry = ("uid=ada,dc=example", {"uid": [b"ada"], "entryUUID": [b"e0"], "displayName": [b"Ada"]})

    def answer(search: Search) -> Found:
        return Found([entry] if (("uid", b"ada") in search.pairs or search.base == entry[0]) else [])

    directory = await SmallDirectory.start(answer)
    server = {"name": "ldap", "host": "127.0.0.1", "port": directory.port, "search_base_dns": ["dc=example"]}
    try:
        await asyncio.to_thread(_loop, tmp_path, server, directory)
    finally:
        await directory.close()


def _loop(tmp_path: Path, server: dict[str, Any], directory: SmallDirectory) -> None:
    given = {"CLEARML__servers": json.dumps([server]), "CLEARML__login__floor": "0"}
    with running(tmp_path, environment=given) as daemon:
        made = key_of(daemon, "ada", PASSWORD)
        token = login(daemon, made).data["token"]
        asked = len(directory.binds), len(directory.searches)
        for _ in range(50):
            assert login(daemon, made).status == 200
            assert daemon.login("ada", PASSWORD).status == 200  # remembered for login.cache
            token = daemon.call("/auth.login", bearer=token).data["token"]
        assert (len(directory.binds), len(directory.searches)) == asked
    with running(tmp_path, environment={**given, "CLEARML__login__cache": "0"}) as daemon:
        before = directory.binds.count("uid=ada,dc=example")
        assert [daemon.login("ada", PASSWORD).status for _ in range(5)] == [200] * 5
        assert directory.binds.count("uid=ada,dc=example") == before + 5
