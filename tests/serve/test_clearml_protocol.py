"""clearml.md 2-5 and 9 over HTTP: paths, credentials, envelopes, errors, roles, impersonation.

The daemon runs with local users and services only; what directories add is in tests/directories.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from tests.daemon import Answer, Daemon, running

COMPANY = "d1bd92a3b039400cbafc60a7a5b1e52b"
SECRET = "a token secret made for this test only"
PEOPLE = [
    {"username": "ada", "name": "Ada Lovelace", "email": "ada@example.com", "groups": ["admins"]},
    {"username": "jane", "name": "Jane Doe", "email": "jane@example.com"},
    {"username": "jürgen", "name": "Jürgen Groß"},
    {"username": "gone", "disabled": True},
]
SERVICES = {
    "files": {"role": "system", "user_key": "FILESERVERKEY", "user_secret": "files-secret"},
    "root": {"role": "root", "user_key": "ROOTKEY", "user_secret": "root-secret"},
}


def password_hash(password: str) -> str:
    import bcrypt

    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    users = [{"password_hash": password_hash("pä:ss" if p["username"] == "jürgen" else "lovelace"), **p} for p in PEOPLE]
    environment = {
        "CLEARML__users": json.dumps(users),
        "CLEARML__admins": "group:admins",
        "CLEARML__secure__auth__token_secret": SECRET,
        "CLEARML__clearml__credentials": json.dumps(SERVICES),
        "CLEARML__clearml__origins": '["https://app.example.com"]',
        "CLEARML__login__floor": "0",
        "CLEARML__lockout__failures": "1000",
        "CLEARML__lockout__address_failures": "100000",
    }
    with running(tmp_path_factory.mktemp("daemon"), environment=environment) as started:
        yield started


@pytest.fixture(scope="module")
def token(daemon: Daemon) -> str:
    return daemon.token("jane", "lovelace")


@pytest.fixture(scope="module")
def admin(daemon: Daemon) -> str:
    return daemon.token("ada", "lovelace")


def basic(text: str | bytes) -> dict[str, str]:
    octets = text.encode() if isinstance(text, str) else text
    return {"Authorization": "Basic " + base64.b64encode(octets).decode()}


def forged(**changes: Any) -> str:
    now = int(time.time())
    claims: dict[str, Any] = {
        "identity": {"user": "x", "company": COMPANY, "role": "root"},
        "iat": now,
        "exp": now + 60,
        "session_id": "0" * 32,
        "sub": "0" * 32,
        **changes,
    }
    return jwt.encode({key: value for key, value in claims.items() if value is not None}, SECRET, "HS256")


def test_the_golden_envelope_of_a_login(daemon: Daemon) -> None:
    """2.1: compact JSON in this key order; the status is the result code."""
    answer = daemon.call("/v2.34/auth.login", basic=("jane", "lovelace"), headers={"X-Clearml-Trx": "my-trx"})
    assert answer.status == 200
    meta = answer.meta
    expected = (
        f'{{"meta":{{"id":"{meta["id"]}","trx":"my-trx","endpoint":{{"name":"auth.login","requested_version":"2.34",'
        '"actual_version":"1.0"},"result_code":200,"result_subcode":0,"result_msg":"OK","error_stack":null,'
        f'"error_data":{{}}}},"data":{{"token":"{answer.data["token"]}"}}}}'
    )
    assert answer.body.decode() == expected
    assert len(meta["id"]) == 32
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Server"] == "clearml"


# path, status, endpoint name, requested version, actual version
PATHS = [
    ("/debug.ping", 200, "debug.ping", "2.34", "1.0"),
    ("/debug.ping/", 200, "debug.ping", "2.34", "1.0"),
    ("/api/debug.ping", 200, "debug.ping", "2.34", "1.0"),
    ("/api/debug.ping/?a=1", 200, "debug.ping", "2.34", "1.0"),
    ("/v2.5/debug.ping", 200, "debug.ping", "2.5", "1.0"),
    ("/v2.1/debug.ping", 200, "debug.ping", "2.1", "1.0"),
    ("/v2.0/debug.ping", 200, "debug.ping", 2.0, 1.0),  # below 2.1 versions are floats
    ("/v1.5/debug.ping", 200, "debug.ping", 1.5, 1.0),
    ("/v999.0/debug.ping", 200, "debug.ping", "999.0", "1.0"),
    ("/api/v2.1/debug.ping", 200, "debug.ping", "2.1", "1.0"),
    ("/v25/debug.ping", 200, "debug.ping", "25", "1.0"),  # the pattern wants two digits, not a dot
    ("/v2.13/login.logout", 200, "login.logout", "2.13", "2.13"),
    ("/v2.12/login.logout", 404, "login.logout", "2.12", None),  # implementation is newer
    ("/foo.bar", 404, "foo.bar", "2.34", None),
    ("/v2.5/foo.bar", 404, "foo.bar", "2.5", None),
    ("/v2/debug.ping", 400, "", 1.0, None),
    ("/api/v2/debug.ping", 400, "", 1.0, None),
    ("/v2.5/debug", 400, "", 1.0, None),
    ("/a.b.c", 400, "", 1.0, None),
    ("/debug..ping", 400, "", 1.0, None),
    ("/v2.34%2Fdebug.ping", 400, "", 1.0, None),  # split first, decoded after (DECISIONS 28)
    ("/v" + "1" * 5000 + "/debug.ping", 400, "", 1.0, None),
    ("/v1." + "0" * 4400 + "/debug.ping", 400, "", 1.0, None),
    ("/%64ebug.ping%00", 400, "", 1.0, None),
]


@pytest.mark.parametrize(("path", "status", "name", "requested", "actual"), PATHS)
def test_path(daemon: Daemon, path: str, status: int, name: str, requested: object, actual: object) -> None:
    answer = daemon.call(path)
    assert answer.verdict == (status, 0)
    endpoint = answer.meta["endpoint"]
    assert endpoint == {"name": name, "requested_version": requested, "actual_version": actual}
    assert [type(endpoint[key]) for key in ("requested_version", "actual_version")] == [type(requested), type(actual)]


def test_texts_of_path_errors(daemon: Daemon) -> None:
    assert daemon.call("/v2/auth.login").meta["result_msg"] == "Invalid request path /v2/auth.login"
    expected = "Unable to find endpoint for name foo.bar and version 2.34"
    assert daemon.call("/foo.bar").meta["result_msg"] == expected


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
def test_the_method_is_ignored(daemon: Daemon, method: str) -> None:
    assert daemon.call("/auth.login", basic=("jane", "lovelace"), method=method).status == 200
    assert daemon.call("/debug.ping", method=method, body='{"a":1}').data == {"a": 1, "msg": "ClearML server"}


def test_head_and_options(daemon: Daemon) -> None:
    head = daemon.call("/debug.ping", method="HEAD")
    assert (head.status, head.body) == (200, b"")
    options = daemon.call("/auth.login", method="OPTIONS")
    assert (options.status, options.body) == (200, b"")


BAD_LOGIN = "Unauthorized (invalid credentials) (bad username or password)"
# headers, status, subcode, text
CREDENTIALS: list[tuple[dict[str, str], int, int, str]] = [
    ({}, 401, 20, "Unauthorized (missing credentials)"),
    ({"Authorization": ""}, 401, 20, "Unauthorized (missing credentials)"),
    ({"Authorization": "Digest x"}, 401, 10, "Unauthorized (bad authentication header type)"),
    ({"Authorization": "lovelace"}, 401, 10, "Unauthorized (bad authentication header type)"),
    ({"Authorization": "Basic abc"}, 401, 21, "Unauthorized (malformed credentials) (Incorrect padding)"),
    ({"Authorization": "Basic !!!!"}, 401, 22, BAD_LOGIN),  # stray characters are skipped
    ({"Authorization": "Basic"}, 401, 22, BAD_LOGIN),
    (basic("jane:wrong"), 401, 22, BAD_LOGIN),
    (basic("jane:"), 401, 22, BAD_LOGIN),
    (basic("jane:   "), 401, 22, BAD_LOGIN),
    (basic("jane"), 401, 22, BAD_LOGIN),
    (basic("nobody:lovelace"), 401, 22, BAD_LOGIN),
    (basic("gone:lovelace"), 401, 22, BAD_LOGIN),  # disabled
    (basic(":lovelace"), 401, 22, BAD_LOGIN),
    (basic("FILESERVERKEY:wrong"), 401, 22, BAD_LOGIN),
    (basic("A" * 30 + ":x"), 401, 22, BAD_LOGIN),  # the shape of an access key
    (basic("jane:a\0b"), 401, 22, BAD_LOGIN),
    (basic("ja\0ne:x"), 400, 12, "Validation error (control characters in the user name)"),
    (basic("ja\nne:x"), 400, 12, "Validation error (control characters in the user name)"),
    ({"Authorization": "Bearer x"}, 401, 30, "Invalid token (invalid jwt token): reason=Not enough segments"),
    ({"Authorization": "Bearer "}, 401, 30, "Invalid token (invalid jwt token): reason=Not enough segments"),
    (basic("jane:lovelace"), 200, 0, "OK"),
    ({"Authorization": basic("jane:lovelace")["Authorization"].replace("Basic", "bAsIc")}, 200, 0, "OK"),
    (basic("JANE:lovelace"), 200, 0, "OK"),  # names compare folded
    (basic("jürgen:pä:ss"), 200, 0, "OK"),  # UTF-8, as curl sends; the first colon splits
    (basic("jürgen:pä:ss".encode("latin-1")), 200, 0, "OK"),  # Latin-1, as the SDK sends
    (basic("FILESERVERKEY:files-secret"), 200, 0, "OK"),
]


@pytest.mark.parametrize(("headers", "status", "subcode", "text"), CREDENTIALS)
def test_credentials(daemon: Daemon, headers: dict[str, str], status: int, subcode: int, text: str) -> None:
    answer = daemon.call("/auth.login", headers=headers)
    assert (*answer.verdict, answer.meta["result_msg"]) == (status, subcode, text)
    assert answer.data == {} or status == 200
    assert "WWW-Authenticate" not in answer.headers


def test_every_bad_login_looks_the_same(daemon: Daemon) -> None:
    answers = [daemon.login(*pair) for pair in (("jane", "x"), ("nobody", "x"), ("gone", "lovelace"), ("K" * 30, "x"))]
    blank = {"id": "", "trx": ""}
    assert len({json.dumps({**answer.meta, **blank}) for answer in answers}) == 1


INVALID = "Invalid token (invalid jwt token): reason="


def bad_tokens(token: str) -> list[tuple[str, str]]:
    header, payload, signature = token.split(".")
    no_algorithm = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    now = int(time.time())
    return [
        (forged(exp=now - 5, iat=now - 60), INVALID + "Signature has expired"),
        (f"{header}.{payload}.{signature[:-4]}AAAA", INVALID + "Signature verification failed"),
        (jwt.encode({"sub": "x"}, "another secret of sufficient length", "HS256"), INVALID + "Signature verification failed"),
        (f"{no_algorithm}.{payload}.", INVALID + "The specified alg value is not allowed"),
        (jwt.encode({"sub": "x"}, SECRET * 4, "HS512"), INVALID + "The specified alg value is not allowed"),
        (f"{header}.{payload}", INVALID + "Not enough segments"),
        (forged(exp=None), INVALID + 'Token is missing the "exp" claim'),
        (forged(sub=None), INVALID + 'Token is missing the "sub" claim'),
        (forged(session_id=None), INVALID + 'Token is missing the "session_id" claim'),
        (forged(), "Invalid token (revoked token)"),  # signed, but nobody's
        (forged(sub="service:nobody"), "Invalid token (revoked token)"),
    ]


def test_bad_tokens(daemon: Daemon, token: str) -> None:
    for bad, text in bad_tokens(token):
        answer = daemon.call("/users.get_current_user", bearer=bad)
        assert (*answer.verdict, answer.meta["result_msg"]) == (401, 30, text)


def test_claims(daemon: Daemon) -> None:
    """4: the payload, checked with an independent library."""
    before = int(time.time())
    token = daemon.token("jane", "lovelace")
    claims = jwt.decode(token, SECRET, ["HS256"])
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    assert claims["identity"] == {
        "user": hashlib.md5(f"{COMPANY}:jane".encode()).hexdigest(),
        "company": COMPANY,
        "role": "user",
        "user_name": "Jane Doe",
        "company_name": "clearml",
    }
    assert claims["identity"]["user"] == "3cd2831cdf07aede577ec69d4671c92c"
    assert claims["exp"] - claims["iat"] == 2592000
    assert before <= claims["iat"] <= time.time()
    expected = {"auth_type": "Bearer", "env": "<unknown>", "api_version": "2.34", "server_version": "2.3.0"}
    assert expected.items() <= claims.items()
    assert claims["feature_set"] not in ("", "basic", "advanced")
    assert claims["tenant"] == COMPANY
    assert len(bytes.fromhex(claims["session_id"])) == 16
    assert not {"aud", "nbf"} & claims.keys()


# query, JSON body, lifetime or None for 400/12
LIFETIMES = [
    ("", None, 2592000),
    ("expiration_sec=60", None, 60),
    ("", {"expiration_sec": 60}, 60),
    ("", {"expiration_sec": None}, 2592000),
    ("", {"expiration_sec": 0}, 2592000),
    ("expiration_sec=0", None, 2592000),
    ("expiration_sec=60.9", None, 60),
    ("expiration_sec=31536000", None, 31536000),
    ("expiration_sec=31536001", None, None),
    ("expiration_sec=-5", None, None),
    ("", {"expiration_sec": -5}, None),
    ("expiration_sec=abc", None, None),
    ("expiration_sec=true", None, None),
    ("", {"expiration_sec": [60]}, None),
    ("", {"expiration_sec": 1e300}, None),
    ("", {"expiration_sec": 1.5}, 1),  # floats are truncated
    ("", {"expiration_sec": 0.5}, None),  # not to 0, which is the default: of a key, no end at all
]


@pytest.mark.parametrize(("query", "body", "lifetime"), LIFETIMES)
def test_lifetime(daemon: Daemon, query: str, body: object, lifetime: int | None) -> None:
    sent = None if body is None else json.dumps(body)
    answer = daemon.call(f"/auth.login?{query}", basic=("jane", "lovelace"), method="POST", body=sent)
    if lifetime is None:
        assert answer.verdict == (400, 12)
        assert answer.meta["result_msg"].startswith("Validation error (error for field 'expiration_sec'.")
        return
    claims = jwt.decode(answer.data["token"], SECRET, ["HS256"])
    assert claims["exp"] - claims["iat"] == lifetime


def test_the_cookie(daemon: Daemon) -> None:
    """3: set at login unless declined, accepted as Bearer, beaten by a header, removed at logout."""
    answer = daemon.login("jane", "lovelace")
    token = answer.data["token"]
    parts = answer.headers["Set-Cookie"].split("; ")
    assert parts[0] == f"clearml_token_basic={token}"
    assert parts[1].startswith("Expires=") and parts[1].endswith(" GMT")
    assert parts[2:] == ["Max-Age=2592000", "HttpOnly", "Path=/", "SameSite=Lax"]
    assert "Set-Cookie" not in daemon.call("/auth.login?set_cookie=false", basic=("jane", "lovelace")).headers
    cookie = {"Cookie": f"clearml_token_basic={token}"}
    assert daemon.call("/users.get_current_user", headers=cookie).data["user"]["name"] == "Jane Doe"
    both = daemon.call("/users.get_current_user", headers=cookie, basic=("ada", "lovelace"))
    assert both.data["user"]["name"] == "Ada Lovelace"
    assert daemon.call("/users.get_current_user", headers={"Cookie": "clearml_token_basic=x"}).verdict == (401, 30)


def test_renewal(daemon: Daemon, token: str) -> None:
    renewed = daemon.call("/auth.login", bearer=token)
    assert renewed.status == 200
    assert daemon.user(renewed.data["token"])["name"] == "Jane Doe"


def test_logout_revokes_the_session(daemon: Daemon) -> None:
    token = daemon.token("jane", "lovelace")
    answer = daemon.call("/login.logout", bearer=token)
    assert (answer.status, answer.data) == (200, {})
    removal = "clearml_token_basic=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; HttpOnly; Path=/; SameSite=Lax"
    assert answer.headers["Set-Cookie"] == removal
    refused = daemon.call("/users.get_current_user", bearer=token)
    assert (*refused.verdict, refused.meta["result_msg"]) == (401, 30, "Invalid token (revoked token)")
    assert daemon.call("/auth.login", bearer=token).verdict == (401, 30)
    assert daemon.call("/login.logout").status == 200  # anonymous
    assert daemon.call("/login.logout", bearer="rubbish").status == 200
    assert daemon.wait_for_event(action="token.revoke", user="jane")


FOREIGN: list[tuple[str, dict[str, str]]] = [
    ("GET", {}),
    ("HEAD", {}),
    ("POST", {}),
    ("POST", {"Origin": "https://evil.example"}),
    ("POST", {"Origin": "null"}),
    ("POST", {"Sec-Fetch-Site": "cross-site"}),
    ("POST", {"Sec-Fetch-Site": "same-site"}),
    ("GET", {"Sec-Fetch-Site": "same-origin"}),
]


@pytest.mark.parametrize(("method", "headers"), FOREIGN)
def test_a_cookie_alone_ends_no_session_from_elsewhere(daemon: Daemon, method: str, headers: dict[str, str]) -> None:
    """DECISIONS 29."""
    token = daemon.token("jane", "lovelace")
    sent = {"Cookie": f"clearml_token_basic={token}", **headers}
    assert daemon.call("/login.logout", method=method, headers=sent).status == 403
    assert daemon.user(token)


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "same-origin"}, {"Origin": "https://app.example.com"}])
def test_our_own_pages_log_out_by_cookie(daemon: Daemon, headers: dict[str, str]) -> None:
    token = daemon.token("jane", "lovelace")
    sent = {"Cookie": f"clearml_token_basic={token}", **headers}
    assert daemon.call("/login.logout", method="POST", headers=sent).status == 200
    assert daemon.call("/users.get_current_user", bearer=token).verdict == (401, 30)


def test_cors_is_for_configured_origins_only(daemon: Daemon) -> None:
    """DECISIONS 29 wins over the API server's answer to every origin."""
    ours = daemon.call("/debug.ping", headers={"Origin": "https://app.example.com"})
    assert ours.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert ours.headers["Access-Control-Allow-Credentials"] == "true"
    preflight = daemon.call(
        "/auth.login",
        method="OPTIONS",
        headers={"Origin": "https://app.example.com", "Access-Control-Request-Headers": "authorization"},
    )
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert preflight.headers["Access-Control-Allow-Headers"] == "authorization"
    for origin in ("https://evil.example", "https://app.example.com.evil.example", "null"):
        assert "Access-Control-Allow-Origin" not in daemon.call("/debug.ping", headers={"Origin": origin}).headers


def test_order_of_checks(daemon: Daemon, token: str) -> None:
    """2: path, endpoint, authorization, role, impersonation, body."""
    bad = "{"
    assert daemon.call("/foo.bar", method="POST", body=bad).verdict == (404, 0)
    assert daemon.call("/auth.login", method="POST", body=bad).verdict == (401, 20)
    assert daemon.call("/auth.validate_token", method="POST", body=bad, bearer=token).verdict == (403, 20)
    impersonating = {"X-Clearml-Impersonate-As": "x"}
    assert daemon.call("/auth.login", method="POST", body=bad, bearer=token, headers=impersonating).verdict == (400, 6)
    refused = daemon.call("/auth.login", method="POST", body=bad, bearer=token)
    assert refused.verdict == (400, 0)
    expected = "The browser (or proxy) sent a request that this server could not understand."
    assert refused.meta["result_msg"] == expected


def test_roles(daemon: Daemon, token: str, admin: str) -> None:
    """5: auth.validate_token is for services."""
    for presented, role in ((token, "user"), (admin, "admin")):
        refused = daemon.call(f"/auth.validate_token?token={token}", bearer=presented)
        assert refused.verdict == (403, 20)
        expected = f"Forbidden (not allowed for role): role={role}, allowed=(system, root)"
        assert refused.meta["result_msg"] == expected


def test_validate_token(daemon: Daemon, token: str) -> None:
    """9: always 200 for those who may ask."""

    def validate(text: str) -> Answer:
        return daemon.call(
            "/auth.validate_token", basic=("FILESERVERKEY", "files-secret"), method="POST", body=json.dumps({"token": text})
        )

    good = validate(token)
    assert good.data == {"valid": True, "user": "3cd2831cdf07aede577ec69d4671c92c", "company": COMPANY}
    bad = validate("rubbish")
    assert (bad.status, bad.data) == (200, {"valid": False, "msg": INVALID + "Not enough segments"})
    missing = daemon.call("/auth.validate_token", basic=("ROOTKEY", "root-secret"))
    expected = "Validation error (error for field 'token'. field is required!)"
    assert (*missing.verdict, missing.meta["result_msg"]) == (400, 12, expected)
    wrong_type = daemon.call("/auth.validate_token?token=1", basic=("ROOTKEY", "root-secret"))
    assert wrong_type.verdict == (400, 12)


def test_services(daemon: Daemon) -> None:
    service = daemon.token("FILESERVERKEY", "files-secret")
    claims = jwt.decode(service, SECRET, ["HS256"])
    assert claims["identity"]["role"] == "system"
    refused = daemon.call("/users.get_current_user", bearer=service)
    assert (*refused.verdict, refused.meta["result_msg"]) == (400, 300, "Invalid user (failed loading user)")


def test_impersonation(daemon: Daemon, token: str, admin: str) -> None:
    """2: become that user with its role, or act for it with the own."""
    jane, ada = daemon.user(token)["id"], daemon.user(admin)["id"]

    def current(bearer: str, **headers: str) -> Answer:
        named = {f"X-{name.replace('_', '-')}": value for name, value in headers.items()}
        return daemon.call("/users.get_current_user", bearer=bearer, headers=named)

    become = current(admin, Clearml_Impersonate_As=jane).data["user"]
    assert (become["id"], become["role"]) == (jane, "user")
    act = current(admin, Trains_Act_As=jane).data["user"]
    assert (act["id"], act["role"]) == (jane, "admin")
    refused = current(token, Clearml_Impersonate_As=ada)
    assert (*refused.verdict, refused.meta["result_msg"]) == (
        400, 6, "Impersonation error (not allowed for role): role=user")  # fmt: skip
    unknown = current(admin, Clearml_Impersonate_As="x")
    assert (*unknown.verdict, unknown.meta["result_msg"]) == (
        400, 6, f"Impersonation error (unknown user): id=x, company={COMPANY}")  # fmt: skip
    both = current(admin, Clearml_Impersonate_As=jane, Clearml_Act_As=jane)
    assert both.verdict == (400, 5)
    assert both.meta["result_msg"].startswith("Invalid headers (only one allowed): ")
    issued = daemon.call("/v2.5/auth.login", bearer=admin, body="{}", headers={"X-Clearml-Impersonate-As": jane})
    assert daemon.user(issued.data["token"])["id"] == jane


def test_a_local_user_can_be_impersonated_before_the_first_login(daemon: Daemon, admin: str) -> None:
    """5: fixed users have their records from the start."""
    user_id = hashlib.md5(f"{COMPANY}:jürgen".encode()).hexdigest()
    answer = daemon.call("/users.get_current_user", bearer=admin, headers={"X-Clearml-Impersonate-As": user_id})
    assert answer.data["user"]["name"] == "Jürgen Groß"


def test_supported_modes(daemon: Daemon, token: str) -> None:
    answer = daemon.call("/v999.0/login.supported_modes", method="POST", body="{}")
    assert answer.data == {
        "authenticated": False,
        "basic": {"enabled": True, "guest": {"enabled": False}},
        "server_errors": {"es_connection_error": False, "missed_es_upgrade": False},
        "sso": {},
        "sso_providers": [],
    }
    assert daemon.call("/login.supported_modes", bearer=token).data["authenticated"] is True
    assert daemon.call("/login.supported_modes", headers={"Cookie": f"clearml_token_basic={token}"}).data["authenticated"]
    for headers in ({"Authorization": "Bearer x"}, {"Authorization": "Odd x"}, {"Cookie": "clearml_token_basic=x"}):
        assert daemon.call("/login.supported_modes", headers=headers).data["authenticated"] is False


def test_current_user(daemon: Daemon, admin: str) -> None:
    data = daemon.call("/users.get_current_user", bearer=admin).data
    user = data["user"]
    assert list(data) == ["user", "getting_started", "settings"]
    assert data["settings"] == {"max_download_items": 50000}
    assert list(user) == ["id", "name", "given_name", "family_name", "role", "company", "created"]
    assert (user["name"], user["given_name"], user["family_name"]) == ("Ada Lovelace", "Ada", "Lovelace")
    assert (user["role"], user["company"]) == ("admin", {"id": COMPANY, "name": "clearml"})
    assert user["created"].endswith("+00:00")


def test_preferences_and_server_info(daemon: Daemon, token: str) -> None:
    assert daemon.call("/users.get_preferences", bearer=token).data == {"preferences": {}}
    info = daemon.call("/server.info", bearer=token)
    assert info.data == {"version": "2.3.0", "build": "", "commit": "", "api_version": "2.34"}
    assert info.meta["endpoint"]["actual_version"] == "2.12"


# query, JSON body, whether the own vault is listed
VAULT_QUERIES = [
    ("", None, True),
    ("enabled=true&types=config&types=config", None, True),  # SDK 2.1.12 sends it twice
    ("enabled=true&types=config", None, True),
    ("types[]=config", None, True),
    ("types=ssh", None, False),
    ("types=ssh&types=config", None, True),
    ("", {"enabled": True, "types": ["config"]}, True),  # SDK 1.1.6: GET with a body
    ("", {"types": []}, True),
]


@pytest.mark.parametrize(("query", "body", "listed"), VAULT_QUERIES)
def test_the_own_vault(daemon: Daemon, token: str, query: str, body: object, listed: bool) -> None:
    sent = None if body is None else json.dumps(body)
    headers = {"Content-Type": "application/json"} if sent else {}
    vaults = daemon.call(f"/users.get_vaults?{query}", bearer=token, body=sent, headers=headers).data["vaults"]
    assert len(vaults) == listed
    for vault in vaults:
        assert (vault["scope"], vault["enabled"], vault["type"], vault["data"]) == ("user", True, "config", "")
        assert len(bytes.fromhex(vault["id"])) == 16


def test_everyone_has_an_own_vault(daemon: Daemon, token: str, admin: str) -> None:
    ids = [daemon.call("/users.get_vaults", bearer=bearer).data["vaults"][0]["id"] for bearer in (token, token, admin)]
    assert ids[0] == ids[1] != ids[2]


def test_wrong_types_of_fields(daemon: Daemon, token: str) -> None:
    for query in ("enabled=maybe", "types=1", "preview_data=5"):
        assert daemon.call(f"/users.get_vaults?{query}", bearer=token).verdict == (400, 12)


def test_encoded_bodies_are_refused(daemon: Daemon) -> None:
    answer = daemon.call("/debug.ping", method="POST", body=b"x", headers={"Content-Encoding": "gzip"})
    assert answer.status == 415
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_curl_without_content_type(daemon: Daemon) -> None:
    """2 [C]: ``curl -d '{...}'`` sends JSON as a form."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert daemon.call("/debug.ping", method="POST", body='{"a":1}', headers=headers).data["a"] == 1


def test_audit(daemon: Daemon) -> None:
    """DECISIONS 33: the fields and their order; no password in them or anywhere in the log."""
    daemon.login("jane", "a password nobody may read")
    event = daemon.wait_for_event(action="login", outcome="failure", user="jane", reason="wrong password")
    fields = ["time", "id", "generation", "action", "outcome", "reason", "dialect", "server", "user", "client", "target"]
    assert list(event) == fields
    assert (event["dialect"], event["server"], event["client"]) == ("clearml", "local", "127.0.0.1")
    assert event["target"] == "auth.login"
    assert "nobody may read" not in daemon.log
    assert SECRET not in daemon.log
