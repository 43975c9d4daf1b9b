"""clearml.md 2.1, 2.2, 7-9: whole answers, octet for octet, after what differs each time is blanked."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from gateway.serve.clearml.endpoints import ENDPOINTS
from tests.serve.clearml_site import COMPANY, PEOPLE, SECRET, Site, clearml_site

BLANKED = (
    (r'"(id|trx)":"[0-9a-f]{32}"', r'"\1":"*"'),
    (r'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"', '"<time>"'),
    (r'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000000\+00:00"', '"<time>"'),
    (r'"message":"[^"]+"', '"message":"*"'),
    (r'"(access_key|secret_key|token|vault)":"[\w.-]+"', r'"\1":"*"'),
)
ENVELOPE = (
    '{{"meta":{{"id":"*","trx":"*","endpoint":{{"name":"{name}","requested_version":"2.34","actual_version":"{version}"}},'
    '"result_code":{code},"result_subcode":{subcode},"result_msg":"{text}","error_stack":null,"error_data":{{}}}},"data":{data}}}'
)
RECORD = '{"id":"*","company":"' + COMPANY + '","name":"Jane Doe","given_name":"Jane","family_name":"Doe","created":"<time>"'
OWN = RECORD.replace(f'"company":"{COMPANY}",', "").replace(
    '"created"', '"role":"user","company":{"id":"*","name":"clearml"},"created"'
)
PENDING = '{"email":"a@x.org","status":"pending","added":"<time>"}'
KEY = '"access_key":"*","secret_key":"*"'

JANE = hashlib.md5(f"{COMPANY}:{PEOPLE['user']}".encode()).hexdigest()
EVERYONE = "30795571-a470-4717-a80d-e8705fc776bf"
MINE = '{"id":"*","scope":"user","enabled":true,"type":"config","format":"hocon","description":"","data":"%s"%s,"editable":true}'
TEAMS = '{"id":"*","scope":"group","enabled":true,"type":"config","format":"hocon","description":"d","data":"%s","group":"' + EVERYONE + '","group_name":"users","last_update":"<time>","editable":%s}'
NIGHT = '{"id":"*","name":"night","description":"d","system":false,"assignable":true,"users":[{"id":"*","name":"Jane Doe","email":"jane@example.com"}]}'

# role, endpoint, fields, data of the answer; in this order
GOOD: list[tuple[str, str, dict[str, Any], str]] = [
    ("user", "debug.ping", {"a": [1, None]}, '{"a":[1,null],"msg":"ClearML server"}'),
    ("user", "login.supported_modes", {}, '{"authenticated":true,"basic":{"enabled":true,"guest":{"enabled":false}},"server_errors":{"es_connection_error":false,"missed_es_upgrade":false},"sso":{},"sso_providers":[]}'),
    ("user", "auth.fixed_users_mode", {}, '{"enabled":true,"guest":{"enabled":false},"server_errors":{}}'),
    ("user", "server.info 2.12", {}, '{"version":"2.3.0","build":"","commit":"","api_version":"2.34"}'),
    ("user", "auth.login", {}, '{"token":"*"}'),
    ("root", "auth.get_token_for_user", {"user": "JANE", "company": COMPANY}, '{"token":"*"}'),
    ("root", "auth.validate_token", {"token": "x"}, '{"valid":false,"msg":"Invalid token (invalid jwt token): reason=Not enough segments"}'),
    ("root", "auth.validate_token", {"token": "TOKEN"}, '{"valid":true,"user":"<jane>","company":"' + COMPANY + '"}'),
    ("user", "users.get_current_user", {}, '{"user":' + OWN + '},"getting_started":{},"settings":{"max_download_items":50000}}'),
    ("user", "users.get_all", {"page": 9}, '{"users":[]}'),
    ("guest", "users.get_by_id", {"user": "JANE"}, '{"user":' + RECORD + "}}"),
    ("user", "users.get_by_id", {"user": "JANE"}, '{"user":' + RECORD + ',"role":"user","email":"jane@example.com"}}'),
    ("user", "users.get_preferences", {}, '{"preferences":{}}'),
    ("user", "users.set_preferences", {"preferences": {"a.b": 1}}, '{"updated":1,"fields":{"preferences":{"a":{"b":1}}}}'),
    ("user", "users.set_preferences", {"preferences": {"a.b": 1}}, '{"updated":0,"fields":{}}'),
    ("user", "users.get_preferences", {}, '{"preferences":{"a":{"b":1}}}'),
    ("user", "auth.get_credentials", {}, '{"credentials":[]}'),
    ("user", "auth.create_credentials", {}, '{"credentials":{' + KEY + "}}"),
    ("user", "auth.get_credentials", {}, '{"credentials":[{"access_key":"*"}]}'),
    ("user", "auth.edit_credentials", {"access_key": "KEY", "label": "l"}, '{"updated":1}'),
    ("user", "auth.get_credentials", {}, '{"credentials":[{"access_key":"*","label":"l"}]}'),
    ("user", "auth.revoke_credentials", {"access_key": "KEY"}, '{"revoked":1}'),
    ("user", "auth.create_credentials", {"label": "l", "expiration_sec": 60}, '{"credentials":{' + KEY + ',"label":"l","expire":"<time>"}}'),
    ("admin", "login.get_settings", {}, '{"domains":[],"whitelist_entries":[]}'),
    ("admin", "login.add_whitelist_entries", {"emails": ["a@x.org"]}, '{"added":["a@x.org"]}'),
    ("admin", "login.set_domains", {"domains": ["y.org"]}, "{}"),
    ("admin", "login.get_settings", {}, '{"domains":["y.org"],"whitelist_entries":[' + PENDING + "]}"),
    ("root", "login.get_whitelist", {}, '{"entries":[{"id":"*","emails":["a@x.org"],"company":"' + COMPANY + '","role":"user","is_admin":false},{"id":"*","domain":"y.org","company":"' + COMPANY + '","role":"user","is_admin":false}]}'),
    ("admin", "login.remove_whitelist_entries", {"emails": ["a@x.org"]}, '{"removed":["a@x.org"]}'),
    ("user", "users.get_vaults", {}, '{"vaults":[' + MINE % ("", "") + "]}"),
    ("admin", "users.add_or_update_vault", {"group": EVERYONE, "vault": {"scope": "group", "data": "a: \"ü\"", "description": "d"}}, '{"vault":"*"}'),
    ("user", "users.add_or_update_vault", {"vault": {"data": "l = [\"\"]"}}, '{"vault":"*","warnings":[{"message":"*","line":1,"column":1}]}'),
    ("user", "users.get_vaults", {"enabled": True, "types": ["config"]}, '{"vaults":[' + TEAMS % ('a: \\"ü\\"', "false") + "," + MINE % ('l = [\\"\\"]', ',"last_update":"<time>"') + "]}"),
    ("admin", "users.get_organization_vaults", {"preview_data": True}, '{"vaults":[' + TEAMS % ('{\\"a\\":\\"******\\"}', "true") + "]}"),
    ("user", "users.delete_vaults", {"vaults": []}, '{"deleted":0}'),
    ("admin", "permissions.add_or_update_user_group", {"name": "night", "description": "d", "users": ["JANE"]}, '{"id":"*","name":"night"}'),
    ("admin", "permissions.get_user_groups", {"groups": ["GROUP"]}, '{"groups":[' + NIGHT + "]}"),
    ("admin", "permissions.delete_user_groups", {"groups": ["GROUP"]}, '{"deleted":1}'),
    ("superuser", "auth.logout 2.2", {}, "{}"),
    ("annotator", "login.logout 2.13", {}, "{}"),
]  # fmt: skip

# role, endpoint, fields, headers, status, subcode, text (2.2)
BAD: list[tuple[str, str, dict[str, Any], dict[str, str], int, int, str]] = [
    ("user", "auth.edit_credentials", {"access_key": "x"}, {}, 400, 75, "Access key not found (none of this user)"),
    ("user", "auth.revoke_credentials", {"access_key": "x"}, {}, 400, 300, "Invalid user (invalid user or invalid access key)"),
    ("system", "users.get_current_user", {}, {}, 400, 300, "Invalid user (failed loading user)"),
    ("user", "users.get_by_id", {"user": "x"}, {}, 400, 301, f"Invalid user id: id=x, company={COMPANY}"),
    ("admin", "login.add_whitelist_entries", {"emails": ["x"]}, {}, 400, 800, "Data validation error: invalid email address 'x'"),
    ("admin", "users.add_or_update_vault", {"vault": {"id": "x"}}, {}, 400, 10, f"Invalid object id: id=x, company={COMPANY}"),
    ("user", "users.add_or_update_vault", {"vault": {"format": "xml"}}, {}, 400, 12, "Validation error (error for field 'format'. expected hocon, json, yaml)"),
    ("user", "users.add_or_update_vault", {"vault": {"scope": "organization"}}, {}, 403, 20, "Forbidden (not allowed for role): role=user, allowed=(system, root, admin)"),
    ("admin", "permissions.add_or_update_user_group", {"name": "x", "id": "x"}, {}, 400, 10, f"Invalid object id: id=x, company={COMPANY}"),
    ("admin", "auth.create_credentials", {}, {"X-Clearml-Impersonate-As": "JANE"}, 403, 20, "Forbidden (not while acting for another user)"),
    ("user", "auth.revoke_credentials", {}, {}, 400, 12, "Validation error (error for field 'access_key'. field is required!)"),
    ("user", "login.set_domains", {}, {}, 403, 20, "Forbidden (not allowed for role): role=user, allowed=(system, root, admin)"),
    ("user", "users.get_all", {}, {"X-Clearml-Act-As": "x"}, 400, 6, "Impersonation error (not allowed for role): role=user"),
    ("admin", "users.get_all", {}, {"X-Clearml-Act-As": "x"}, 400, 6, f"Impersonation error (unknown user): id=x, company={COMPANY}"),
    ("admin", "users.get_all", {}, {"X-Clearml-Act-As": "x", "X-Clearml-Impersonate-As": "x"}, 400, 5, "Invalid headers (only one allowed): X-Clearml-Impersonate-As, X-Clearml-Act-As"),
]  # fmt: skip


INVALID = "Invalid token (invalid jwt token): reason="
CONTROL = "Validation error (control characters in the user name)"
# path with query, Authorization, body, endpoint with its versions, status, subcode, text (2.2)
RAW: list[tuple[str, str, str, tuple[str, Any, Any], int, int, str]] = [
    ("/v2/auth.login", "", "", ("", 1.0, None), 400, 0, "Invalid request path /v2/auth.login"),
    ("/v2.34/foo.bar", "", "", ("foo.bar", "2.34", None), 404, 0, "Unable to find endpoint for name foo.bar and version 2.34"),
    ("/v2.12/login.logout", "", "", ("login.logout", "2.12", None), 404, 0, "Unable to find endpoint for name login.logout and version 2.12"),
    ("/v2.0/users.get_all", "", "", ("users.get_all", 2.0, 1.0), 401, 20, "Unauthorized (missing credentials)"),
    ("/users.get_all", "", "{", ("users.get_all", "2.34", "1.0"), 401, 20, "Unauthorized (missing credentials)"),
    ("/users.get_all", "Digest x", "", ("users.get_all", "2.34", "1.0"), 401, 10, "Unauthorized (bad authentication header type)"),
    ("/auth.login", "Basic abc", "", ("auth.login", "2.34", "1.0"), 401, 21, "Unauthorized (malformed credentials) (Incorrect padding)"),
    ("/auth.login", "Basic WDpY", "", ("auth.login", "2.34", "1.0"), 401, 22, "Unauthorized (invalid credentials) (bad username or password)"),
    ("/auth.login", "Basic CTpY", "", ("auth.login", "2.34", "1.0"), 400, 12, CONTROL),
    ("/users.get_all", "Bearer x", "", ("users.get_all", "2.34", "1.0"), 401, 30, INVALID + "Not enough segments"),
    ("/users.get_all", "Bearer EXPIRED", "", ("users.get_all", "2.34", "1.0"), 401, 30, INVALID + "Signature has expired"),
    ("/users.get_all", "Bearer FORGED", "", ("users.get_all", "2.34", "1.0"), 401, 30, INVALID + "Signature verification failed"),
    ("/users.get_all", "Bearer REVOKED", "", ("users.get_all", "2.34", "1.0"), 401, 30, "Invalid token (revoked token)"),
    ("/users.get_all", "Bearer USER", "{", ("users.get_all", "2.34", "1.0"), 400, 0, "The browser (or proxy) sent a request that this server could not understand."),
    ("/users.get_all", "Bearer USER", "[]", ("users.get_all", "2.34", "1.0"), 400, 12, "Validation error (the request body must be a JSON object)"),
    ("/auth.login?expiration_sec=abc", "Bearer USER", "", ("auth.login", "2.34", "1.0"), 400, 12, "Validation error (error for field 'expiration_sec'. expected a number up to 31536000)"),
    ("/auth.login?expiration_sec=31536001", "Bearer USER", "", ("auth.login", "2.34", "1.0"), 400, 12, "Validation error (error for field 'expiration_sec'. expected a number up to 31536000)"),
]  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with clearml_site(tmp_path_factory.mktemp("envelopes")) as started:
        yield started


def blanked(body: bytes) -> str:
    text = body.decode()
    for pattern, blank in BLANKED:
        text = re.sub(pattern, blank, text)
    return text


def filled(site: Site, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a row with what its words stand for, by then."""
    words = {"JANE": lambda: JANE, "TOKEN": lambda: site.tokens["user"], "KEY": lambda: key(site), "GROUP": lambda: group(site)}
    text = json.dumps(fields)
    for word, thing in words.items():
        if f'"{word}"' in text:
            text = text.replace(word, thing())
    made: dict[str, Any] = json.loads(text)
    return made


def key(site: Site) -> str:
    [row] = site.call("user", "auth.get_credentials").data["credentials"]
    found: str = row["access_key"]
    return found


def group(site: Site) -> str:
    groups = site.call("admin", "permissions.get_user_groups").data["groups"]
    [found] = [group["id"] for group in groups if group["name"] == "night"]
    return str(found)


def test_good_answers(site: Site) -> None:
    for role, endpoint, fields, data in GOOD:
        name, _, version = endpoint.partition(" ")
        answer = site.call(role, name, **filled(site, fields))
        expected = ENVELOPE.format(name=name, version=version or "1.0", code=200, subcode=0, text="OK", data=data)
        assert blanked(answer.body).replace(JANE, "<jane>") == expected


@pytest.mark.parametrize(("role", "endpoint", "fields", "headers", "status", "subcode", "text"), BAD)
def test_bad_answers(
    site: Site, role: str, endpoint: str, fields: dict[str, Any], headers: dict[str, str], status: int, subcode: int, text: str
) -> None:
    answer = site.call(role, endpoint, {name: value.replace("JANE", JANE) for name, value in headers.items()}, **fields)
    expected = ENVELOPE.format(name=endpoint, version="1.0", code=status, subcode=subcode, text=text, data="{}")
    assert (answer.status, blanked(answer.body)) == (status, expected)


@pytest.fixture(scope="module")
def tokens(site: Site) -> dict[str, str]:
    """By the word that stands for each in the rows."""
    claims = jwt.decode(site.tokens["user"], SECRET, ["HS256"])
    revoked = site.call("user", "auth.login").data["token"]
    assert site.by(revoked, "auth.logout").status == 200
    return {
        "USER": site.tokens["user"],
        "EXPIRED": jwt.encode({**claims, "iat": 1, "exp": 2}, SECRET, "HS256"),
        "FORGED": jwt.encode(claims, f"{SECRET}?", "HS256"),
        "REVOKED": revoked,
    }


@pytest.mark.parametrize(("path", "authorization", "body", "endpoint", "status", "subcode", "text"), RAW)
def test_raw_answers(
    site: Site, tokens: dict[str, str], path: str, authorization: str, body: str, endpoint: tuple[str, Any, Any],
    status: int, subcode: int, text: str,
) -> None:  # fmt: skip
    scheme, _, value = authorization.partition(" ")
    headers = {"Authorization": f"{scheme} {tokens.get(value, value)}"} if authorization else {}
    answer = site.daemon.call(path, method="POST", body=body, headers=headers)
    name, requested, actual = endpoint
    versions = f'"requested_version":{json.dumps(requested)},"actual_version":{json.dumps(actual)}'
    expected = ENVELOPE.replace('"requested_version":"2.34","actual_version":"{version}"', versions)
    expected = expected.format(name=name, code=status, subcode=subcode, text=text, data="{}")
    assert (answer.status, blanked(answer.body)) == (status, expected)
    assert "WWW-Authenticate" not in answer.headers


def test_every_endpoint_has_a_row() -> None:
    assert {endpoint.partition(" ")[0] for _, endpoint, *_ in GOOD} == ENDPOINTS.keys()
