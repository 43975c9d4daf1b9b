"""vault.md 4, 6, 7 and 14: ``auth/<mount>/login/<name>`` on a real slapd, each row of section 14 with its input."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from gateway.login import Attempt
from tests.directories.hostile_names import NAMES
from tests.directories.relay import Relay
from tests.directories.slapd import BASE_DN, COMPANY, SERVICE_PASSWORD, Slapd
from tests.serve.gateway_room import Room, parsed, room_of
from tests.serve.test_clearml_protocol import password_hash
from tests.serve.vault.vault_site import request

TWINS = "".join(
    f"""
dn: uid={uid},ou=people,{BASE_DN}
objectClass: inetOrgPerson
uid: {uid}
cn: {cn}
sn: Twin
mail: {mail}
userPassword: geminis
"""
    for uid, cn, mail in (("castor", "twin", "castor@example.com"), ("pollux", "twin", "pollux@example.com"))
)
GRACE = "cobol-1959"
REFUSED = {"errors": ["ldap operation failed: failed to bind as user"]}
DENIED = {"errors": ["permission denied"]}
ZERO = {"errors": ["password cannot be of zero length when passwordless binds are being denied"]}
Logins = tuple[int, Any]


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, TWINS, directory=tmp_path_factory.mktemp("slapd") / "company") as started:
        yield started


def settings_of(*servers: dict[str, object], **changes: object) -> str:
    users = [{"username": "ada", "password_hash": password_hash("lovelace"), "groups": ["staff"]}]
    return json.dumps({
        "servers": servers,
        "users": users,
        "login": {"floor": 0, "cache": 0},
        "lockout": {"failures": 5},
        **changes,
    })  # fmt: skip


@asynccontextmanager
async def corp(directory: Path, slapd: Slapd, server: dict[str, object] | None = None, **changes: object) -> AsyncIterator[tuple[Room, Relay]]:
    """The company behind a relay, so that what is sent to it can be seen."""
    relay = await Relay.start("127.0.0.1", slapd.port)
    try:
        item = slapd.server(urls=[f"ldap://127.0.0.1:{relay.port}"], **(server or {}))
        async with room_of(directory, settings_of(item, **changes)) as room:
            yield room, relay
    finally:
        await relay.close()


async def log_in(room: Room, name: str, password: object, mount: str = "corp", *headers: str) -> Logins:
    body = json.dumps({"password": password}).encode()
    target = f"/v1/auth/{mount}/login/{quote(name, safe='', errors='surrogatepass')}"
    status, _, answer = parsed(await room.raw(request("PUT", target, *headers, body=body)))
    return status, json.loads(answer)


async def policies(room: Room, name: str, password: str, mount: str = "corp") -> list[str]:
    status, body = await log_in(room, name, password, mount)
    assert status == 200, body
    found: list[str] = body["auth"]["policies"]
    return found


async def test_what_a_login_gives(slapd: Slapd, tmp_path: Path) -> None:
    """vault.md 6: policies, end, names, path, identity."""
    mount = {
        "token_policies": [" Base "], "token_ttl": "2h", "max_lease_ttl": "1h", "token_num_uses": 3,
        "groups": {"Admins": ["Ops"]}, "users": {"GRACE": {"groups": ["extra"], "policies": ["own"]}},
    }  # fmt: skip
    async with corp(tmp_path, slapd, {"vault": mount}, vault={"groups": {"extra": ["more", "ops"]}}) as (room, _):
        status, body = await log_in(room, " Grace ", GRACE)
        assert status == 200
        auth = body["auth"]
        assert auth["policies"] == auth["token_policies"] == ["base", "default", "more", "ops", "own"]
        assert auth["metadata"] == {"username": "grace"}
        assert (auth["lease_duration"], auth["num_uses"], auth["orphan"], auth["renewable"]) == (3600, 3, True, True)
        assert body["warnings"] == [
            'TTL of "2h" exceeded the effective max_ttl of "1h"; TTL value is capped accordingly'
        ]
        row = await room.runtime.store.token_by_accessor(auth["accessor"])
        assert row is not None
        assert (row.path, row.label, row.identity) == ("auth/corp/login/grace", "corp-grace", auth["entity_id"])
        events = [(e.action, e.outcome, e.dialect, e.server, e.user, e.target) for e in room.audit.events]
        target = "auth/corp/login/ Grace "
        assert events == [
            ("login", "success", "vault", "corp", "grace", target),
            ("token.issue", "success", "vault", "corp", "grace", target),
        ]
        assert auth["client_token"] not in str(room.audit.events)


async def test_default_policy_and_batch(slapd: Slapd, tmp_path: Path) -> None:
    async with corp(tmp_path, slapd, {"vault": {"token_no_default_policy": True, "token_type": "batch"}}) as (room, _):
        status, body = await log_in(room, "grace", GRACE)
        assert (status, body["auth"]["policies"], body["auth"]["token_type"]) == (200, [], "batch")
        assert "token_policies" not in body["auth"]
        assert body["auth"]["client_token"].startswith("hvb.")
        assert (body["auth"]["accessor"], body["auth"]["renewable"]) == ("", False)


async def test_people_without_groups_are_told(slapd: Slapd, tmp_path: Path) -> None:
    """vault.md 5: success, with a warning that names the base."""
    base = f"ou=groups,{BASE_DN}"
    async with corp(tmp_path, slapd, {"group_search_base_dns": [base]}) as (room, _):
        status, body = await log_in(room, "sam", "stargate")
        assert status == 200
        text = f'no LDAP groups found in groupDN "{base}"; only policies from locally-defined groups available'
        assert body["warnings"] == [text]
        assert (await log_in(room, "grace", GRACE))[1]["warnings"] is None


async def test_which_people_a_mount_has(slapd: Slapd, tmp_path: Path) -> None:
    """DECISIONS 3: one server, the local users, or the realm; a mount's own server is asked in the realm or not."""
    inside, outside = slapd.server(), slapd.server(name="team/outside", realm=False)
    vault = {"mounts": {"ldap": "*", "people": "corp"}, "groups": {"staff": ["s"]}}
    state = str(tmp_path / "state")
    async with room_of(tmp_path, settings_of(inside, outside, vault=vault)) as room:
        assert await policies(room, "ada", "lovelace", "local") == ["default", "s"]
        assert (await log_in(room, "ada", "lovelace", "people")) == (400, REFUSED)
        assert (await log_in(room, "grace", GRACE, "local")) == (400, REFUSED)
        assert (await log_in(room, "grace", GRACE, "corp")) == (403, DENIED)  # it is mounted elsewhere
        assert await policies(room, "ada", "lovelace", "ldap") == ["default", "s"]
        assert await policies(room, "grace", GRACE, "ldap") == ["default"]
        assert await policies(room, "grace", GRACE, "people") == ["default"]
        assert await policies(room, "grace", GRACE, "team/outside") == ["default"]
        await room.reload(settings_of(inside | {"realm": False}, outside, vault=vault, state_dir=state))
        assert await policies(room, "grace", GRACE, "people") == ["default"]
        assert (await log_in(room, "grace", GRACE, "ldap")) == (400, REFUSED)


async def test_two_mounts_are_two_people(slapd: Slapd, tmp_path: Path) -> None:
    """CVE-2021-41802, CVE-2022-40186: the same name on two mounts."""
    text = settings_of(slapd.server(), slapd.server(name="other"))
    async with room_of(tmp_path, text) as room:
        ids = [(await log_in(room, "grace", GRACE, mount))[1]["auth"]["entity_id"] for mount in ("corp", "other")]
        assert len(set(ids)) == 2
        await room.reload(json.dumps(json.loads(text) | {"state_dir": str(tmp_path / "state")}))
        again = (await log_in(room, "grace", GRACE, "corp"))[1]["auth"]["entity_id"]
        assert again == ids[0]


@pytest.mark.parametrize("alias", [False, True])
async def test_every_spelling_is_one_person(slapd: Slapd, tmp_path: Path, alias: bool) -> None:
    """CVE-2025-6013, CVE-2025-55001."""
    async with corp(tmp_path, slapd, {"username_as_alias": alias}) as (room, _):
        ids = set()
        for name in ("grace", "Grace", " grace", "grace ", "GRACE"):
            status, body = await log_in(room, name, GRACE)
            assert (status, body["auth"]["metadata"]) == (200, {"username": "grace"})
            ids.add(body["auth"]["entity_id"])
        assert len(ids) == 1


async def test_names_keep_their_case_where_it_counts(slapd: Slapd, tmp_path: Path) -> None:
    """vault.md 4.2: blanks go always, capitals only without ``case_sensitive_names``; the lockout folds either way."""
    async with corp(tmp_path, slapd, {"case_sensitive_names": True}, lockout={"failures": 2}) as (room, _):
        status, body = await log_in(room, " Grace ", GRACE)
        assert (status, body["auth"]["metadata"]) == (200, {"username": "Grace"})
        for name in ("grace", "GRACE"):
            assert (await log_in(room, name, "wrong"))[0] == 400
        assert (await log_in(room, "Grace", GRACE))[0] == 403


async def test_unknown_wrong_and_ambiguous_look_alike(slapd: Slapd, tmp_path: Path) -> None:
    """CVE-2020-35177, CVE-2023-3462, Vault issue 20923: one status, one body, and as many round trips."""
    found = {"search_filter": "(|(uid=%s)(cn=%s))", "pool": {"binds": 1}}
    async with corp(tmp_path, slapd, found) as (room, relay):
        await log_in(room, "grace", GRACE)  # connections are open
        trips = {}
        for name in ("grace", "nobody-at-all", "twin"):
            before = len(relay.sent)
            assert await log_in(room, name, "wrong") == (400, REFUSED)
            trips[name] = operations(bytes(relay.sent[before:]))
        assert set(trips.values()) == {("search", "bind")}
        reasons = [event.reason for event in room.audit.events if event.outcome == "failure"]
        assert len(set(reasons)) == 3


@pytest.mark.parametrize("name", ["grace", "nobody-at-all"])
async def test_one_counter_for_all_spellings(slapd: Slapd, tmp_path: Path, name: str) -> None:
    """CVE-2025-6004, CVE-2025-54998; vault.md 7: unknown names alike, 403 while locked, without a word to LDAP."""
    async with corp(tmp_path, slapd) as (room, relay):
        for spelling in (name, name.capitalize(), f"{name} ", f" {name}", name.upper()):
            assert await log_in(room, spelling, "wrong") == (400, REFUSED)
        sent = len(relay.sent)
        for spelling in (name, name.capitalize(), f"{name} "):
            assert await log_in(room, spelling, GRACE) == (403, DENIED)
        raw = request("PUT", f"/v1/auth/corp/login/%{ord(name[0]):x}{name[1:]}", body=b'{"password":"cobol-1959"}')
        assert parsed(await room.raw(raw))[0] == 403
        assert len(relay.sent) == sent


async def test_mail_and_uid_share_a_counter(slapd: Slapd, tmp_path: Path) -> None:
    """Authelia CVE-2025-24806, GHSA-hjj4-hfjm-fmrj; vault.md 7 G: per resolved DN, and over all dialects."""
    async with corp(tmp_path, slapd, {"search_filter": "(|(uid=%s)(mail=%s))"}) as (room, _):
        for name in ("grace", "grace@example.com", "grace", "grace@example.com", "GRACE"):
            assert await log_in(room, name, "wrong") == (400, REFUSED)
        assert await log_in(room, "grace@example.com", GRACE) == (403, DENIED)
        assert (await room.live.login.check(_attempt("grace", GRACE))).locked


async def test_success_clears_and_a_lock_can_be_tuned(slapd: Slapd, tmp_path: Path) -> None:
    """vault.md 7, DECISIONS 13: the mount's tuning is its server's."""
    async with corp(tmp_path, slapd, {"vault": {"lockout": {"failures": 2}}}) as (room, _):
        for _ in range(3):
            assert (await log_in(room, "grace", "wrong"))[0] == 400
            assert (await log_in(room, "grace", GRACE))[0] == 200
        assert (await log_in(room, "grace", "wrong"))[0] == 400
        assert (await log_in(room, "grace", "wrong"))[0] == 400
        assert (await log_in(room, "grace", GRACE))[0] == 403
        assert (await log_in(room, "ada", "wrong", "local"))[0] == 400
        assert (await log_in(room, "ada", "wrong", "local"))[0] == 400
        assert (await log_in(room, "ada", "lovelace", "local"))[0] == 200
    disabled = {"vault": {"lockout": {"disabled": True}}}
    (tmp_path / "again").mkdir()
    async with corp(tmp_path / "again", slapd, disabled) as (room, _):
        for _ in range(8):
            assert (await log_in(room, "grace", "wrong"))[0] == 400
        assert (await log_in(room, "grace", GRACE))[0] == 200


async def test_an_address_is_slowed_down(slapd: Slapd, tmp_path: Path) -> None:
    """Mattermost CVE-2025-31947: many wrong logins; ours bites first, and says when to come back."""
    lockout = {"failures": 3, "address_failures": 4}
    async with corp(tmp_path, slapd, None, lockout=lockout) as (room, relay):
        far = "X-Forwarded-For: 198.51.100.7"
        for n in range(4):
            assert (await log_in(room, f"nobody{n}", "x", "corp", far))[0] == 400
        sent = len(relay.sent)
        body = json.dumps({"password": GRACE}).encode()
        status, headers, answer = parsed(await room.raw(request("PUT", "/v1/auth/corp/login/grace", far, body=body)))
        assert status == 429
        assert json.loads(answer) == {"errors": ['request path "auth/corp/login/grace": rate limit quota exceeded']}
        assert int(headers["retry-after"]) > 0
        assert len(relay.sent) == sent
        assert (await log_in(room, "grace", GRACE))[0] == 200


@pytest.mark.parametrize("password", ["", None])
async def test_no_password_is_no_login(slapd: Slapd, tmp_path: Path, password: object) -> None:
    """CVE-2025-13357, RFC 4513 5.1.2, vault.md 4.4: no LDAP traffic, not counted, ``deny_null_bind`` or not."""
    async with corp(tmp_path, slapd, {"deny_null_bind": False, "user_attr": "uid"}) as (room, relay):
        assert (await log_in(room, "grace", GRACE))[0] == 200
        sent = len(relay.sent)
        for _ in range(7):
            assert await log_in(room, "grace", password) == (400, ZERO)
        raw = parsed(await room.raw(request("PUT", "/v1/auth/corp/login/grace", body=b"{}")))
        assert (raw[0], json.loads(raw[2])) == (400, ZERO)
        for unusable in (" ", "\t\n ", "\0", "\0\0", f"{GRACE}\0", f"{GRACE}\0x"):
            assert await log_in(room, "grace", unusable) == (400, REFUSED)
        assert len(relay.sent) == sent
        assert (await log_in(room, "grace", GRACE))[0] == 200


DIRECT = {"bind_dn": "", "bind_password": "", "search_base_dns": [], "user_dn": f"ou=people,{BASE_DN}", "user_attr": "uid", "bind_mode": "direct"}
SEARCHED = {"search_filter": "(uid=%s)"}


@pytest.mark.parametrize("server", [DIRECT, SEARCHED], ids=["construct", "search"])
async def test_hostile_names_are_nobody(slapd: Slapd, tmp_path: Path, server: dict[str, object]) -> None:
    """DN and filter injection (GHSA-6mwx-4547-5vc9 and relatives): a name stays one value."""
    async with corp(tmp_path, slapd, server, lockout={"failures": 100_000}) as (room, _):
        assert (await log_in(room, "grace", GRACE))[0] == 200
        names = [*NAMES, "*", "x)(objectClass=*", "admin,ou=people", "x+uid=admin", "a\\2cb", "sam,ou=contractors"]
        for name in names:
            if name in ("", ".", ".."):
                continue
            status, body = await log_in(room, name, GRACE)
            assert status == 400, (name, body)
            assert "auth" not in body


@pytest.mark.parametrize("spelling", [" Root", "ROOT", "root", "rOOt "])
async def test_nobody_becomes_root(slapd: Slapd, tmp_path: Path, spelling: str) -> None:
    """CVE-2025-5999: folded, then refused; whichever way the policy comes."""
    ways: list[dict[str, object]] = [
        {"groups": {"admins": [spelling]}},
        {"users": {"grace": {"policies": [spelling]}}},
        {"token_policies": [spelling]},
    ]
    for number, mount in enumerate(ways):
        directory = tmp_path / str(number)
        directory.mkdir()
        async with corp(directory, slapd, {"vault": mount}) as (room, _):
            expected = {"errors": ["auth methods cannot create root tokens"]}
            assert await log_in(room, "grace", GRACE) == (400, expected)
            assert room.audit.events[-1].outcome == "failure"
            assert not await room.runtime.store.tokens(kind="vault")


async def test_addresses_a_mount_is_bound_to(slapd: Slapd, tmp_path: Path) -> None:
    """vault.md 4.1: 403 before anything else; the token is bound as well."""
    async with corp(tmp_path, slapd, {"vault": {"token_bound_cidrs": ["198.51.100.0/24"]}}) as (room, relay):
        sent = len(relay.sent)
        assert await log_in(room, "grace", GRACE) == (403, DENIED)
        assert await log_in(room, "grace", GRACE, "corp", "X-Forwarded-For: 203.0.113.9") == (403, DENIED)
        assert len(relay.sent) == sent
        inside = "X-Forwarded-For: 198.51.100.7"
        status, body = await log_in(room, "grace", GRACE, "corp", inside)
        assert status == 200
        token = f"X-Vault-Token: {body['auth']['client_token']}"
        look = "/v1/auth/token/lookup-self"
        assert parsed(await room.raw(request("GET", look, token, inside)))[0] == 200
        assert parsed(await room.raw(request("GET", look, token)))[0] == 403


async def test_a_dead_directory_is_no_server_error(slapd: Slapd, tmp_path: Path) -> None:
    """vault.md 1 and 4.5: clients repeat a 5xx, so 400; nothing is counted, no address is told."""
    async with corp(tmp_path, slapd, {"request_timeout": 1}) as (room, relay):
        await relay.refuse()
        for _ in range(7):
            status, body = await log_in(room, "grace", GRACE)
            assert (status, body) == (400, {"errors": ["error connecting to host: no LDAP server answers"]})
            assert "127.0.0.1" not in json.dumps(body)
        await relay.listen()
        async with asyncio.timeout(20):
            while (await log_in(room, "grace", GRACE))[0] != 200:
                await asyncio.sleep(0.05)


async def test_a_refused_service_account_tells_nothing(slapd: Slapd, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """CVE-2025-4166 and relatives: no password in replies or logs."""
    async with corp(tmp_path, slapd, {"bind_password": "the-wr0ng-service-password"}) as (room, _):
        status, body = await log_in(room, "grace", "my-0wn-password")
        assert status == 400
        told = json.dumps(body) + caplog.text + str(room.audit.events)
        for secret in ("wr0ng-service", "my-0wn", SERVICE_PASSWORD, GRACE):
            assert secret not in told
        assert BASE_DN not in json.dumps(body)


async def test_a_stale_token_does_not_count(slapd: Slapd, tmp_path: Path) -> None:
    async with corp(tmp_path, slapd) as (room, _):
        assert (await log_in(room, "grace", GRACE, "corp", "X-Vault-Token: hvs.gone"))[0] == 200


async def test_keys_of_programs_are_nobody_here(slapd: Slapd, tmp_path: Path) -> None:
    """DECISIONS 14: what looks like a key is never sent to a directory."""
    async with corp(tmp_path, slapd) as (room, relay):
        sent = len(relay.sent)
        assert await log_in(room, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123", "x" * 43) == (400, REFUSED)
        assert len(relay.sent) == sent


def operations(sent: bytes) -> tuple[str, ...]:
    """Names of the requests in octets to a directory, read by hand (RFC 4511 4.1.1): one round trip each."""
    names, at = [], 0
    while at < len(sent):
        assert sent[at] == 0x30
        size, first = sent[at + 1], at + 2
        if size & 0x80:
            first += size & 0x7F
            size = int.from_bytes(sent[at + 2 : first])
        operation = sent[first + 2 + sent[first + 1]]
        names.append({0x60: "bind", 0x63: "search"}.get(operation, hex(operation)))
        at = first + size
    return tuple(names)


def _attempt(name: str, password: str) -> Any:
    return Attempt(name, password, None, "clearml")
