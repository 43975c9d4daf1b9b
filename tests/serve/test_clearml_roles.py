"""clearml.md 2, 4, 5: who may call what, who may act for whom, and what every issued token looks like."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.serve.clearml.endpoints import ENDPOINTS
from tests.serve.clearml_site import COMPANY, ROLES, SECRET, SERVICES, Site, clearml_site, pair
from tests.tokens.token_judge import hardship, part, refusal


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with clearml_site(tmp_path_factory.mktemp("roles")) as started:
        yield started


OPEN = {"debug.ping", "login.supported_modes", "login.logout", "auth.fixed_users_mode"}
"""5: open to anyone without credentials."""
ADMINISTRATORS = ("system", "root", "admin")
RESTRICTED = {
    "auth.validate_token": SERVICES,
    "auth.get_token_for_user": SERVICES,
    "login.add_whitelist_entries": ADMINISTRATORS,
    "login.remove_whitelist_entries": ADMINISTRATORS,
    "login.set_domains": ADMINISTRATORS,
    "login.get_settings": ADMINISTRATORS,
    "login.get_whitelist": SERVICES,
}
"""5, 8, 9."""
OWN = [
    "auth.create_credentials", "auth.edit_credentials", "auth.fixed_users_mode", "auth.get_credentials",
    "auth.get_token_for_user", "auth.login", "auth.logout", "auth.revoke_credentials", "auth.validate_token",
    "debug.ping", "login.add_whitelist_entries", "login.get_settings", "login.get_whitelist", "login.logout",
    "login.remove_whitelist_entries", "login.set_domains", "login.supported_modes", "server.info", "users.get_all",
    "users.get_by_id", "users.get_current_user", "users.get_preferences", "users.set_preferences",
]  # fmt: skip


@pytest.mark.parametrize("endpoint", OWN)
def test_without_credentials(site: Site, endpoint: str) -> None:
    assert site.daemon.call(f"/{endpoint}").verdict == ((200, 0) if endpoint in OPEN else (401, 20))


@pytest.mark.parametrize("endpoint", RESTRICTED)
def test_restricted(site: Site, endpoint: str) -> None:
    allowed = RESTRICTED[endpoint]
    for role in ROLES:
        answer = site.call(role, endpoint)
        if role in allowed:
            assert answer.verdict in ((200, 0), (400, 12)), role
        else:
            expected = f"Forbidden (not allowed for role): role={role}, allowed=({', '.join(allowed)})"
            assert (*answer.verdict, answer.meta["result_msg"]) == (403, 20, expected)


@pytest.mark.parametrize("endpoint", sorted(set(OWN) - OPEN - RESTRICTED.keys() - {"auth.logout"}))
def test_for_every_role(site: Site, endpoint: str) -> None:
    """5: everything else is open to any role; services have no record of their own."""
    for role in ROLES:
        assert site.call(role, endpoint).verdict in ((200, 0), (400, 12), (400, 300)), role


def test_the_tables_name_every_endpoint() -> None:
    assert set(OWN) | {name for name in ENDPOINTS if "vault" in name or name.startswith("permissions.")} == set(ENDPOINTS)


# header, role, whose verdict, role in whose name it happens then (clearml.md 2)
ACTING = [
    *((header, role, (400, 6), "") for header in ("Impersonate", "Act") for role in ("guest", "annotator", "user", "superuser")),
    *(("Impersonate", role, (200, 0), "user") for role in ADMINISTRATORS),
    *(("Act", role, (200, 0), role) for role in ADMINISTRATORS),
]


@pytest.mark.parametrize(("header", "role", "verdict", "then"), ACTING)
@pytest.mark.parametrize("prefix", ["X-Clearml", "x-trains"])
def test_acting_for_another(
    site: Site, prefix: str, header: str, role: str, verdict: tuple[int, int], then: str
) -> None:
    jane = site.id("user")
    answer = site.call(role, "users.get_current_user", {f"{prefix}-{header}-As": jane})
    assert answer.verdict == verdict
    if then in SERVICES or not then:
        return
    assert (answer.data["user"]["id"], answer.data["user"]["role"]) == (jane, then)


def issued(site: Site) -> dict[str, str]:
    """A token from every way there is to get one, with whose role it must carry."""
    jane, daemon = site.id("user"), site.daemon
    created = site.call("user", "auth.create_credentials").data["credentials"]
    as_jane = {"X-Clearml-Impersonate-As": jane}
    return {
        **{f"{role} of their own": site.tokens[role] for role in ROLES},
        "user by key": daemon.token(created["access_key"], created["secret_key"]),
        "user renewed": site.call("user", "auth.login").data["token"],
        "user renewed by cookie": daemon.call(
            "/auth.login", headers={"Cookie": f"clearml_token_basic={site.tokens['user']}"}
        ).data["token"],
        "user by an administrator": site.call("admin", "auth.login", as_jane).data["token"],
        "user by an administrator's password": daemon.login(*pair("admin"), headers=as_jane).data["token"],
        "user by a service": site.call("root", "auth.get_token_for_user", user=jane, company=COMPANY).data["token"],
        "user for a year": site.call("user", "auth.login", expiration_sec=31536000).data["token"],
    }


def test_every_token_is_one_that_servers_and_clients_take(site: Site) -> None:
    """4, 4.1, DECISIONS 41."""
    for way, token in issued(site).items():
        now = int(time.time())
        assert refusal(token, SECRET.encode(), now) == "", way
        assert hardship(token, now) == "", way
        assert part(token.split(".")[1])["identity"]["role"] == way.split()[0]


# role, user, company, verdict
TOKENS_FOR: list[tuple[str, str, str, tuple[int, int]]] = [
    ("system", "jane", COMPANY, (200, 0)),
    ("root", "jane", COMPANY, (200, 0)),
    ("system", "jane", "0" * 32, (400, 301)),
    ("root", "jane", "0" * 32, (400, 301)),
    ("system", "nobody", COMPANY, (400, 301)),
    ("root", "__system__", COMPANY, (400, 301)),
]


@pytest.mark.parametrize(("role", "name", "company", "verdict"), TOKENS_FOR)
def test_a_token_for_a_user(site: Site, role: str, name: str, company: str, verdict: tuple[int, int]) -> None:
    """9."""
    user = site.id("user") if name == "jane" else name
    answer = site.call(role, "auth.get_token_for_user", user=user, company=company)
    assert answer.verdict == verdict
    if verdict == (200, 0):
        assert site.daemon.user(answer.data["token"])["id"] == user
        assert site.daemon.wait_for_event(action="token.issue", target="auth.get_token_for_user", user=role)
    else:
        assert answer.meta["result_msg"] == f"Invalid user id: id={user}, company={company}"


# fields, verdict
TOKEN_FIELDS: list[tuple[dict[str, Any], tuple[int, int]]] = [
    ({}, (400, 12)),
    ({"user": "x"}, (400, 12)),
    ({"user": 5, "company": COMPANY}, (400, 12)),
    ({"user": "\ud800", "company": COMPANY}, (400, 12)),
    ({"expiration_sec": -1}, (400, 12)),
    ({"expiration_sec": 31536001}, (400, 12)),
    ({"expiration_sec": 60}, (200, 0)),
]


@pytest.mark.parametrize(("fields", "verdict"), TOKEN_FIELDS)
def test_fields_of_a_token_for_a_user(site: Site, fields: dict[str, Any], verdict: tuple[int, int]) -> None:
    given = fields if "user" in fields or not fields else {"user": site.id("user"), "company": COMPANY, **fields}
    answer = site.call("root", "auth.get_token_for_user", **given)
    assert answer.verdict == verdict
    if verdict == (200, 0):
        claims = part(answer.data["token"].split(".")[1])
        assert claims["exp"] - claims["iat"] == 60


def test_nobody_becomes_administrator_of_the_gateway(site: Site) -> None:
    """DECISIONS 8: ada is one; a token for her that a service was given is not."""
    ada = site.id("admin")
    assert site.daemon.call("/admin/status", bearer=site.tokens["admin"]).status == 200
    token = site.call("root", "auth.get_token_for_user", user=ada, company=COMPANY).data["token"]
    assert site.daemon.user(token)["role"] == "admin"
    assert site.daemon.call("/admin/status", bearer=token).status == 403


def test_logging_out(site: Site) -> None:
    """9: both remove the cookie and end the session; auth.logout wants credentials."""
    removal = "clearml_token_basic=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; HttpOnly; Path=/; SameSite=Lax"
    for endpoint in ("auth.logout", "login.logout"):
        token = site.daemon.token(*pair("user"))
        answer = site.by(token, endpoint)
        assert (answer.status, answer.data, answer.headers["Set-Cookie"]) == (200, {}, removal)
        assert site.by(token, "users.get_current_user").verdict == (401, 30)
        assert site.daemon.wait_for_event(action="token.revoke", user="jane", target=endpoint)
    by_password = site.daemon.call("/auth.logout", basic=pair("user"))
    assert (by_password.status, by_password.headers["Set-Cookie"]) == (200, removal)
