"""Traefik and Envoy by replay: what they send and what they make of the answer, after forward-auth.md 1, 4, 5 and 11.

The lists of headers and the addresses are read from conf/proxy/traefik.yaml and envoy.yaml.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.proxies.servers import FILES
from tests.serve.asking import CONFIGURATION, HTML
from tests.serve.gateway_room import Room, parsed, room_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

Headers = list[tuple[str, str]]
IDENTITY = ("remote-user", "remote-groups", "remote-name", "remote-email")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    async with room_of(tmp_path_factory.mktemp("replay"), CONFIGURATION) as opened:
        yield opened


def text_of(first: str, headers: Headers) -> bytes:
    return "".join(f"{line}\r\n" for line in (first, *(f"{name}: {value}" for name, value in headers))).encode() + b"\r\n"


async def traefik(room: Room, method: str, path: str, sent: Headers, *, scheme: str = "https") -> tuple[int, dict[str, str]]:
    """Status for the client, and what the application is sent (headers of pkg/middlewares/auth/forward.go)."""
    middleware = yaml.safe_load((FILES / "traefik.yaml").read_text())["http"]["middlewares"]["gateway"]["forwardAuth"]
    asked = [("Host", "127.0.0.1:8008"), ("User-Agent", "Go-http-client/1.1"), *sent, ("X-Forwarded-Method", method)]
    asked += [("X-Forwarded-Proto", scheme), ("X-Forwarded-Host", "app.example.com"), ("X-Forwarded-Port", "443")]
    asked += [("X-Forwarded-Uri", path), ("X-Forwarded-Server", "proxy"), ("X-Forwarded-For", "192.0.2.1"), ("Accept-Encoding", "gzip")]
    place = middleware["address"].removeprefix("http://127.0.0.1:8008")
    status, answered, _ = parsed(await room.raw(text_of(f"GET {place} HTTP/1.1", asked)))
    if not 200 <= status < 300:
        return status, answered
    kept = {name.lower(): value for name, value in sent}
    for name in map(str.lower, middleware["authResponseHeaders"]):
        kept.pop(name, None)
        if name in answered:
            kept[name] = answered[name]
    return 200, kept


async def envoy(room: Room, method: str, path: str, sent: Headers) -> tuple[int, dict[str, str]]:
    """The same for Envoy's HTTP service: Host, method, prefix and path, Authorization, and what is allowed."""
    listener = yaml.safe_load((FILES / "envoy.yaml").read_text())["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    settings = manager["http_filters"][0]["typed_config"]
    service = settings["http_service"]
    assert settings["failure_mode_allow"] is False
    assert manager["common_http_protocol_options"]["headers_with_underscores_action"] == "DROP_HEADER"
    sent = [(name, value) for name, value in sent if "_" not in name]
    allowed = [*settings["allowed_headers"]["patterns"], {"exact": "authorization"}]
    asked = [("Host", "app.example.com"), *((name, value) for name, value in sent if matches(allowed, name))]
    values = {"%REQ(:SCHEME)%": "https", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%": "192.0.2.1"}
    asked += [(header["key"], values[header["value"]]) for header in service["authorization_request"]["headers_to_add"]]
    asked += [("Content-Length", "0")]
    status, answered, _ = parsed(await room.raw(text_of(f"{method} {service['path_prefix']}{path} HTTP/1.1", asked)))
    said = service["authorization_response"]
    if status != 200:
        return status, {name: value for name, value in answered.items() if matches(said["allowed_client_headers"]["patterns"], name)}
    kept = {name.lower(): value for name, value in sent}
    kept |= {name: value for name, value in answered.items() if matches(said["allowed_upstream_headers"]["patterns"], name)}
    for name in answered.get("x-envoy-auth-headers-to-remove", "").split(", "):
        kept.pop(name.lower(), None)
    return 200, kept


def matches(patterns: list[dict[str, str]], name: str) -> bool:
    return any(name.lower() == each.get("exact") or name.lower().startswith(each.get("prefix", "\0")) for each in patterns)


BOTH: Any = pytest.mark.parametrize("ask", [traefik, envoy], ids=["traefik", "envoy"])


@BOTH
async def test_logging_in(room: Room, ask: Any) -> None:
    cookie = ("Cookie", f"__Secure-gw={(await room.session('ada')).value}")
    status, answered = await ask(room, "GET", "/a%2Fb?c=d", [HTML])
    assert (status, answered["location"]) == (302, "https://auth.example.com/login?rd=https://app.example.com/a%252Fb?c%3Dd")
    status, kept = await ask(room, "GET", "/a%2Fb?c=d", [HTML, cookie])
    assert [status, *(kept[name] for name in IDENTITY)] == [200, "ada", "dev,ops", "Ada Lovelace", "ada@example.com"]
    status, answered = await ask(room, "GET", "/x", [("Accept", "application/json")])
    assert (status, answered["www-authenticate"].split()[0], "location" in answered) == (401, "Basic", False)
    assert (await ask(room, "GET", "/secret", [cookie]))[0] == 403
    assert (await ask(room, "POST", "/x", [cookie, ("Content-Type", "application/json")]))[0] == 200
    assert (await ask(room, "GET", "/x", [cookie, ("Cookie", "b=" + "x" * 20_000)]))[0] == 200


@BOTH
async def test_what_clients_say_of_themselves(room: Room, ask: Any) -> None:
    cookie = ("Cookie", f"__Secure-gw={(await room.session('bob')).value}")
    for name in ("Remote-User", "Remote-Groups", "Remote-Name", "Remote-Email"):
        status, kept = await ask(room, "GET", "/x", [(name, "root"), cookie])
        assert (status, kept["remote-user"], kept["remote-groups"]) == (200, "bob", "guests")
        status, kept = await ask(room, "GET", "/public", [(name, "root")])
        assert [status, *(kept.get(header, "") for header in IDENTITY)] == [200, "", "", "", ""]
    for header in (("X-Original-URL", "https://static.test/"), ("X-Rewrite-URL", "/public"), ("Forwarded", "host=static.test")):
        assert (await ask(room, "GET", "/admin", [header]))[0] == 401


async def test_websockets_through_traefik(room: Room) -> None:
    """3.2: its entry point says wss for upgrade requests, and sends their headers on."""
    cookie = ("Cookie", f"__Secure-gw={(await room.session('ada')).value}")
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
    assert (await traefik(room, "GET", "/ws", [*upgrade, cookie], scheme="wss"))[0] == 200
    assert (await traefik(room, "GET", "/ws", upgrade, scheme="wss"))[0] == 401
    assert (await traefik(room, "GET", "/ws", [*upgrade, cookie], scheme="ws"))[0] == 400


async def test_any_method_through_envoy(room: Room) -> None:
    cookie = ("Cookie", f"__Secure-gw={(await room.session('ada')).value}")
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
        assert (await envoy(room, method, "/x", [cookie]))[0] == 200, method
        assert (await envoy(room, method, "/x", []))[0] == 401, method
