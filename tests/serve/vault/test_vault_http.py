"""vault.md 1, 1.1, 1.2 over a socket: verbs, headers, bodies, limits, envelopes and error texts."""

from __future__ import annotations

import gzip
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.serve.vault.vault_site import ROOT, exchange, login, read_answer, request, site

USERS = 'users = [ { username = ada, name = "Ada", password_hash = "HASH", groups = [admins] } ]'
TOKEN = f"X-Vault-Token: {ROOT}"
LOGIN = "/v1/auth/local/login/ada"
GOOD = b'{"password":"lovelace"}'
FORM = "Content-Type: application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with site(tmp_path_factory.mktemp("vault"), USERS) as started:
        yield started


# what is sent; status; what the answer holds
REQUESTS: list[tuple[bytes, int, str]] = [
    # verbs
    (request("GET", "/v1/sys/health"), 200, '"initialized":true'),
    (request("PUT", LOGIN, body=GOOD), 200, '"client_token":"hvs.'),
    (request("POST", LOGIN, body=GOOD), 200, '"client_token":"hvs.'),
    (request("GET", LOGIN), 405, "unsupported operation"),
    (request("DELETE", LOGIN), 405, "unsupported operation"),
    (request("LIST", LOGIN), 405, "unsupported operation"),
    (request("SCAN", LOGIN), 405, "unsupported operation"),
    (request("OPTIONS", LOGIN), 405, "unsupported operation"),
    (request("PROPFIND", LOGIN), 405, "unsupported operation"),
    (request("PATCH", LOGIN, body=GOOD), 415, "application/merge-patch+json"),
    (request("PATCH", LOGIN, "Content-Type: application/merge-patch+json", body=GOOD), 405, "unsupported operation"),
    (request("LIST", "/v1/sys/policies/acl", TOKEN), 200, '"keys":['),
    (request("LIST", "/v1/sys/policies/acl/", TOKEN), 200, '"keys":['),
    (request("LIST", "/v1/sys/policies/acl?list=false", TOKEN), 200, '"keys":['),
    (request("GET", "/v1/sys/policies/acl?list=true", TOKEN), 200, '"keys":['),
    (request("GET", "/v1/sys/policies/acl?list=True", TOKEN), 200, '"keys":['),
    (request("GET", "/v1/sys/policies/acl?list=maybe", TOKEN), 400, "list"),
    (request("GET", "/v1/sys/policies/acl/default", TOKEN, body=b"[not json"), 200, '"policy"'),  # hvac sends bodies
    # two who ask: a proxy may have judged the other one
    (request("GET", "/v1/sys/policies/acl/default", TOKEN, "X-Vault-Token: other"), 400, "more than one X-Vault-Token"),
    (request("GET", "/v1/sys/policies/acl/default", "X-Vault-Token: ", TOKEN), 400, "more than one X-Vault-Token"),
    (request("GET", "/v1/sys/policies/acl/default", TOKEN, TOKEN), 200, '"policy"'),
    (request("GET", "/v1/sys/policies/acl/default", f"Authorization: Bearer {ROOT}", "Authorization: Bearer x"), 400,
     "more than one Authorization"),
    (request("GET", "/v1/sys/health", "X-Vault-Token: a", "X-Vault-Token: b"), 400, "more than one X-Vault-Token"),
    # help
    (request("GET", "/v1/auth/local?help=1", TOKEN), 200, "login/{username*}"),
    (request("HELP", "/v1/auth/local", TOKEN), 200, "login/{username*}"),
    (request("GET", "/v1/auth/local/login/x?help=1", TOKEN), 200, "password (string)"),
    (request("GET", "/v1/auth/token?help=1", TOKEN), 200, "lookup-self"),
    (request("GET", "/v1/sys?help=1", TOKEN), 200, "health"),
    (request("GET", "/v1/auth/local?help=1"), 403, "permission denied"),
    (request("GET", "/v1/sys/health?help=1"), 403, "permission denied"),
    (request("GET", "/v1/nowhere?help=1", TOKEN), 404, "no handler for route"),
    # the body, whatever its content type
    (request("PUT", LOGIN, "Content-Type: application/json; charset=utf-8", body=GOOD), 200, "hvs."),
    (request("PUT", LOGIN, "Content-Type: text/plain", body=GOOD), 200, "hvs."),
    (request("PUT", LOGIN, FORM, body=GOOD), 200, "hvs."),  # curl -d
    (request("PUT", LOGIN, FORM, body=b"  \n" + GOOD), 200, "hvs."),
    (request("PUT", LOGIN, FORM, body=b"password=lovelace"), 200, "hvs."),
    (request("PUT", LOGIN, FORM + "; charset=UTF-8", body=b"password=love%6Cace&x=1"), 200, "unrecognized parameters: [x]"),
    (request("PUT", LOGIN, FORM, body=b"password=love&password=lace"), 400, "failed to bind as user"),  # joined by a comma
    (request("PUT", LOGIN, body=b"password=lovelace"), 400, "failed to decode JSON input: "),
    (request("PUT", LOGIN, FORM, body=b"password=%ff"), 400, "failed to decode form input"),
    (request("PUT", LOGIN, body=b""), 400, "zero length"),
    (request("PUT", LOGIN), 400, "zero length"),
    (request("PUT", LOGIN, body=b"null"), 400, "zero length"),
    (request("PUT", LOGIN, body=b"{}"), 400, "zero length"),
    (request("PUT", LOGIN, body=b'{"password":null}'), 400, "zero length"),
    (request("PUT", LOGIN, body=b'{"password":["lovelace"]}'), 400, 'converting input for field \\"password\\"'),
    (request("PUT", LOGIN, body=b"[]"), 400, "failed to decode JSON input: "),
    (request("PUT", LOGIN, body=b"[1]"), 400, "failed to decode JSON input: "),
    (request("PUT", LOGIN, body=b'"lovelace"'), 400, "failed to decode JSON input: "),
    (request("PUT", LOGIN, body=b'{"password":'), 400, "failed to decode JSON input: "),
    (request("PUT", LOGIN, body=b'{"password":"\xff"}'), 400, "failed to decode JSON input: "),
    (request("PUT", LOGIN, body=b'{"password":"\xed\xa0\x80"}'), 400, "failed to decode JSON input: "),
    (request("PUT", LOGIN, body=b'{"password":"\\ud800"}'), 400, "failed to decode JSON input: "),
    (request("PUT", LOGIN, body=b'{"\\ud800":1}'), 400, "failed to decode JSON input: "),
    (request("PUT", LOGIN, body=b'{"password":NaN}'), 400, "failed to decode JSON input: "),
    (request("PUT", LOGIN, body=b'{"password":"lovelace","username":"eve","b":1,"a":2}'), 200, "unrecognized parameters: [a b]"),
    (request("PUT", LOGIN, body=b'{"password":"lovelace","username":"eve"}'), 200, "captured from the endpoint's path: [username]"),
    (request("PUT", LOGIN + "?password=lovelace", body=b"{}"), 400, "zero length"),  # never from the query
    # section 14: JSON exhaustion on the unauthenticated login
    (request("PUT", LOGIN, body=b"[" * 60_000), 400, "failed to decode JSON input: "),
    (request("PUT", LOGIN, body=b'{"a":' * 100 + b"1" + b"}" * 100), 400, "failed to decode JSON input: "),
    (request("PUT", LOGIN, body=b'{"a":[' + b"1," * 11_000 + b"1]}"), 400, "failed to decode JSON input: "),
    (request("PUT", LOGIN, body=b'{"password":"' + b"x" * 70_000 + b'"}'), 413, "request body too large"),
    (request("PUT", LOGIN, body=b'{"password":"' + b"x" * 60_000 + b'"}'), 400, "failed to bind as user"),
    (request("PUT", LOGIN, "Content-Length: 99999999999"), 413, "request body too large"),
    (request("PUT", LOGIN, FORM, body=b"&".join(b"a%d=1" % n for n in range(2000))), 400, "failed to decode form input"),
    # paths
    (request("PUT", LOGIN + "/", body=GOOD), 400, "ending in '/'"),
    (request("PUT", "/v1/auth/local/login/%61da", body=GOOD), 200, '"username":"ada"'),
    (request("PUT", "/v1/auth/local/login/a%00da", body=GOOD), 400, "non-printable"),
    (request("PUT", "/v1/auth/local/../local/login/ada", body=GOOD), 400, "segments"),
    (request("PUT", "/v1/auth/local/login/%20", body=GOOD), 400, "missing username"),
    (request("GET", "/v1/"), 404, '{"errors":[]}'),
    # tokens
    (request("GET", "/v1/auth/token/lookup-self"), 403, '{"errors":["permission denied"]}'),
    (request("GET", "/v1/auth/token/lookup-self", "X-Vault-Token: hvs.unknown"), 403, '{"errors":["permission denied"]}'),
    (request("GET", "/v1/auth/token/lookup-self", TOKEN), 200, '"path":"auth/token/root"'),
    (request("GET", "/v1/auth/token/lookup-self", f"Authorization: Bearer {ROOT}"), 200, '"path":"auth/token/root"'),
    (request("GET", "/v1/auth/token/lookup-self", f"Authorization: Bearer  {ROOT} "), 200, '"path":"auth/token/root"'),
    (request("GET", "/v1/auth/token/lookup-self", f"Authorization: bearer {ROOT}"), 403, "permission denied"),
    (request("GET", "/v1/auth/token/lookup-self", f"Authorization: Basic {ROOT}"), 403, "permission denied"),
    (request("GET", "/v1/auth/token/lookup-self", f"Authorization: Bearer {ROOT}", "X-Vault-Token: x"), 403, "permission denied"),
    (request("PUT", LOGIN, "X-Vault-Token: hvs.stale", body=GOOD), 200, "hvs."),  # vault.md 2
    # what is not there
    (request("GET", "/v1/auth/nowhere/config"), 403, "permission denied"),
    (request("PUT", "/v1/auth/nowhere/login/ada", body=GOOD), 403, "permission denied"),
    (request("GET", "/v1/auth/nowhere/config", TOKEN), 404, 'no handler for route \\"auth/nowhere/config\\". route entry not found.'),
    (request("GET", "/v1/secret/x", TOKEN), 404, 'no handler for route \\"secret/x\\". route entry not found.'),
    (request("GET", "/v1/auth/local/nothing", TOKEN), 404, "unsupported path"),
    (request("GET", "/v1/sys/nothing", TOKEN), 404, "unsupported path"),
    (request("GET", "/v1/auth/token/nothing", TOKEN), 404, "unsupported path"),
    (request("POST", "/v1/auth/local/config/rotate-root", TOKEN, body=b"{}"), 404, "unsupported path"),  # postponed
    (request("GET", "/v1/sys/policies/acl/none", TOKEN), 404, '{"errors":[]}'),
    # namespaces
    (request("GET", "/v1/sys/health", "X-Vault-Namespace: root"), 200, "initialized"),
    (request("GET", "/v1/sys/health", "X-Vault-Namespace: /"), 200, "initialized"),
    (request("GET", "/v1/sys/health", "X-Vault-Namespace:"), 200, "initialized"),
    (request("GET", "/v1/sys/health", "X-Vault-Namespace: team/a"), 404, "namespace not found"),
    # wrapping
    *((request("GET", "/v1/auth/token/lookup-self", TOKEN, f"X-Vault-Wrap-TTL: {ttl}"), 200, f'"ttl":{seconds},')
      for ttl, seconds in (("60", 60), ("60s", 60), ("15m", 900), ("5m0s", 300))),
    (request("GET", "/v1/auth/token/lookup-self", TOKEN, "X-Vault-Wrap-TTL: 0"), 200, '"wrap_info":null'),
    (request("GET", "/v1/auth/token/lookup-self", TOKEN, "X-Vault-Wrap-TTL: -5"), 400, "error parsing X-Vault-Wrap-TTL header: "),
    (request("GET", "/v1/auth/token/lookup-self", TOKEN, "X-Vault-Wrap-TTL: soon"), 400, "error parsing X-Vault-Wrap-TTL header: "),
    # tolerated
    (request("GET", "/v1/sys/health", "X-Vault-Request: true", "X-Vault-MFA: x", "X-Vault-Policy-Override: true",
             "X-Vault-No-Request-Forwarding: true", "X-Vault-Inconsistent: x", "X-Vault-Index: x"), 200, "initialized"),
    (request("GET", "/v1/sys/health", "X-Forwarded-For: not an address"), 400, "X-Forwarded-For"),
    # status (vault.md 9)
    (request("GET", "/v1/sys/health?standbyok=true&activecode=299"), 299, '"sealed":false'),
    (request("GET", "/v1/sys/health?activecode=99"), 400, "activecode"),
    (request("GET", "/v1/sys/health?activecode=x"), 400, 'for field \\"activecode\\"'),
    (request("GET", "/v1/sys/seal-status"), 200, '"sealed":false'),
    (request("GET", "/v1/sys/leader"), 200, '{"ha_enabled":false,"is_self":false,"leader_address":"","leader_cluster_address":"","performance_standby":false}'),
    (request("GET", "/v1/sys/init"), 200, '{"initialized":true}'),
    (request("GET", "/v1/sys/internal/ui/mounts"), 200, '"data":{"auth":{},"secret":{}}'),
    (request("GET", "/v1/sys/internal/ui/mounts", TOKEN), 200, '"data":{"auth":{"local/":{"type":"ldap"'),
    (request("GET", "/v1/sys/internal/ui/mounts", "X-Vault-Token: x"), 200, '"data":{"auth":{},"secret":{}}'),
    (request("GET", "/v1/sys/internal/ui/mounts/kv/x"), 403, 'please ensure client\'s policies grant access to path \\"kv/x/\\"'),
    (request("GET", "/v1/sys/internal/ui/mounts/auth/local", TOKEN), 200, '"path":"auth/local/"'),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "status", "holds"), REQUESTS, ids=range(len(REQUESTS)))
def test_requests(daemon: Daemon, sent: bytes, status: int, holds: str) -> None:
    answer = exchange(daemon.port, sent)
    assert (answer.status, holds in answer.body.decode()) == (status, True), answer
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["strict-transport-security"]
    assert answer.body.endswith(b"}\n")
    if status >= 400:
        assert set(answer.json) == {"errors"}


def test_the_envelope(daemon: Daemon) -> None:
    """vault.md 1.1 and 2, field by field and in order."""
    answer = login(daemon.port, "local/login/ada")
    assert answer.body.startswith(b'{"request_id":"')
    body = answer.json
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", body["request_id"])
    assert re.fullmatch(r"hvs\.[A-Za-z0-9_-]{43}", body["auth"]["client_token"])
    assert re.fullmatch(r"[A-Za-z0-9]{24}", body["auth"]["accessor"])
    for name in ("client_token", "accessor", "entity_id"):
        assert body["auth"].pop(name)
    assert body | {"request_id": ""} == {
        "request_id": "",
        "lease_id": "",
        "renewable": False,
        "lease_duration": 0,
        "data": {},
        "wrap_info": None,
        "warnings": None,
        "auth": {
            "policies": ["default"],
            "token_policies": ["default"],
            "metadata": {"username": "ada"},
            "lease_duration": 2764800,
            "renewable": True,
            "token_type": "service",
            "orphan": True,
            "mfa_requirement": None,
            "num_uses": 0,
        },
    }


def test_no_content_has_no_content_type(daemon: Daemon) -> None:
    token = login(daemon.port, "local/login/ada").json["auth"]["client_token"]
    answer = exchange(daemon.port, request("PUT", "/v1/auth/token/revoke-self", f"X-Vault-Token: {token}"))
    assert (answer.status, answer.body) == (204, b"")
    assert not {"content-type", "content-length", "transfer-encoding"} & set(answer.headers)


def test_head_has_no_body(daemon: Daemon) -> None:
    answer = exchange(daemon.port, request("HEAD", "/v1/sys/health"))
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"", "application/json")


@pytest.mark.parametrize(("given", "echoed"), [("root", "root"), ("team/a", "team/a"), ("ü", "ü"), ("a\tb", None), ("", None)])
def test_the_namespace_is_echoed(daemon: Daemon, given: str, echoed: str | None) -> None:
    answer = exchange(daemon.port, request("GET", "/v1/sys/health", f"X-Vault-Namespace: {given}"))
    assert answer.headers.get("x-vault-namespace") == echoed


def test_a_denied_policy_says_so(daemon: Daemon) -> None:
    """vault.md 1.2: contains ``permission denied``; what does not exist looks the same as what is forbidden."""
    token = login(daemon.port, "local/login/ada").json["auth"]["client_token"]
    for path in ("sys/auth", "auth/local/config", "auth/nowhere/config", "secret/x"):
        answer = exchange(daemon.port, request("GET", f"/v1/{path}", f"X-Vault-Token: {token}"))
        assert (answer.status, "permission denied" in answer.errors[0]) == (403, True)


def test_list_on_a_kept_connection(daemon: Daemon) -> None:
    """Through the whole daemon: GET, LIST in two packets, a body that begins with ``LIST /``, pipelined LISTs."""
    listing = request("LIST", "/v1/sys/policies/acl", TOKEN)
    keys = b'"keys":["default","root"]'
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(request("GET", "/v1/sys/health"))
        assert read_answer(connection).status == 200
        connection.sendall(listing[:3])
        time.sleep(0.05)  # so that it goes in packets of its own; it passes without, too
        connection.sendall(listing[3:])
        assert keys in read_answer(connection).body
        connection.sendall(request("PUT", LOGIN, body=listing) + listing)
        assert read_answer(connection).status == 400
        assert keys in read_answer(connection).body
        connection.sendall(request("GET", "/v1/sys/health") + listing + listing)
        assert read_answer(connection).status == 200
        assert keys in read_answer(connection).body
        assert keys in read_answer(connection).body


def test_hostile_bodies_are_refused_at_once(daemon: Daemon) -> None:
    """vault.md 14, CVE-2025-6203, 59043, 12044: quick, and with bounded memory."""
    before = daemon.memory_kib()
    begun = time.monotonic()
    head = request("PUT", LOGIN, "Transfer-Encoding: chunked")
    for body in (b"[" * 60_000, b'{"a":{' * 10_000, b'{"a":"' + b"\\u0041" * 10_000 + b'"}', b"1" * 60_000):
        for _ in range(10):
            assert exchange(daemon.port, request("PUT", LOGIN, body=body)).status == 400
    for _ in range(10):
        assert exchange(daemon.port, request("PUT", LOGIN, "Content-Length: 1000000") + b"[" * 1000).status == 413
        assert exchange(daemon.port, head + b"%x\r\n%s\r\n0\r\n\r\n" % (200_000, b"x" * 200_000)).status == 413
    assert time.monotonic() - begun < 30
    assert daemon.memory_kib() - before < 64 * 1024


def test_a_compressed_bomb_is_not_inflated(daemon: Daemon) -> None:
    bomb = gzip.compress(b"[" * 10_000_000)
    assert len(bomb) < 64 * 1024
    before = daemon.memory_kib()
    assert exchange(daemon.port, request("PUT", LOGIN, "Content-Encoding: gzip", body=bomb)).status == 400
    assert daemon.memory_kib() - before < 32 * 1024


def test_nothing_secret_is_logged(tmp_path: Path) -> None:
    with site(tmp_path, USERS, log__level="debug") as daemon:
        token = login(daemon.port, "local/login/ada").json["auth"]["client_token"]
        login(daemon.port, "local/login/ada", "wr0ng-password")
        exchange(daemon.port, request("GET", "/v1/auth/token/lookup-self", f"X-Vault-Token: {token}"))
        exchange(daemon.port, b"LISTS /v1/x HTTP/1.1\r\nX-Vault-Token: " + token.encode() + b"\r\n\r\n")
        daemon.wait_for_event(action="login", outcome="failure")
        for secret in (token, ROOT, "wr0ng-password", json.dumps("lovelace")):
            assert secret not in daemon.log
