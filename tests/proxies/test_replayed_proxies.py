"""Traefik and Envoy by replay: what they send and what they make of the answer, after forward-auth.md 1, 4, 5 and 11.

The lists of headers and the addresses are read from conf/proxy/traefik.yaml and envoy.yaml.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.proxies.servers import FILES, TWINS
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


async def traefik(
    room: Room, method: str, path: str, sent: Headers, *, scheme: str = "https", site: str = "app", balancer: str = ""
) -> tuple[int, dict[str, str]]:
    """Status for the client, and what the application is sent.

    ``balancer`` is the address of a load balancer in ``trustedIPs``, which has put its own in front of ``sent``.
    """
    dynamic = yaml.safe_load((FILES / "traefik.yaml").read_text())["http"]
    router = dynamic["routers"][site]
    kept = entry_point(sent, f"{site}.example.com", scheme, trusted=bool(balancer))
    if not routed(router["rule"], f"{site}.example.com", kept):
        return 404, {}
    for [(kind, options)] in (dynamic["middlewares"][name].items() for name in router["middlewares"]):
        if kind == "headers":
            assert not any(options["customRequestHeaders"].values()), "an empty value removes the header"
            kept = without(kept, options["customRequestHeaders"])
            continue
        assert kind == "forwardAuth"
        place = options["address"].removeprefix("http://127.0.0.1:8008")
        asked = [("Host", "127.0.0.1:8008"), *forwarded(kept, method, path, f"{site}.example.com", balancer or "192.0.2.1", options)]
        status, answered, _ = parsed(await room.raw(text_of(f"GET {place} HTTP/1.1", asked)))
        if not 200 <= status < 300:
            return status, answered
        listed, pattern = list(map(str.lower, options["authResponseHeaders"])), re.compile(options["authResponseHeadersRegex"])
        kept = [(name, value) for name, value in kept if name.lower() not in listed and not pattern.search(name)]
        kept += [(name, value) for name, value in answered.items() if name in listed or pattern.search(name)]
    return 200, {name.lower(): value for name, value in kept}


MANAGED = re.compile(r"x-(forwarded-(proto|scheme|for|host|port|server|uri|method|prefix|tls-client-cert(-info)?)|scheme|real-ip)", re.IGNORECASE)


def entry_point(sent: Headers, host: str, scheme: str, *, trusted: bool) -> Headers:
    """pkg/middlewares/forwardedheaders/forwarded_header.go, and ``underscoreHeadersStrategy: delete``."""
    kept = [(name, value) for name, value in sent if "_" not in name and (trusted or not MANAGED.fullmatch(name))]
    there = {name.lower() for name, _ in kept}
    own = {"X-Forwarded-Proto": scheme, "X-Forwarded-Host": host, "X-Forwarded-Port": "443", "X-Forwarded-Server": "proxy"}
    kept += [(name, value) for name, value in own.items() if name.lower() not in there]
    listed = {word.strip().lower() for name, value in kept if name.lower() == "connection" for word in value.split(",")}
    upgrade = [value for name, value in kept if name.lower() == "upgrade"][:1] if "upgrade" in listed else []
    kept = without(kept, {"connection", *(word for word in listed if not MANAGED.fullmatch(word))})
    return [*kept, *(pair for value in upgrade for pair in (("Connection", "Upgrade"), ("Upgrade", value)))]


def routed(rule: str, host: str, headers: Headers) -> bool:
    """Whether a router's rule is met."""

    def header_matches(name: str, pattern: str) -> bool:
        return any(re.search(pattern, value) for each, value in headers if each.lower() == name.lower())

    text = re.sub(r"`([^`]*)`", lambda found: repr(found[1]), rule).replace("&&", " and ").replace("||", " or ").replace("!", " not ")
    return bool(eval(text, {"Host": host.__eq__, "HeaderRegexp": header_matches}))


def forwarded(kept: Headers, method: str, path: str, host: str, peer: str, options: dict[str, Any]) -> Headers:
    """``writeHeader`` of pkg/middlewares/auth/forward.go: what is there counts where ``trustForwardHeader`` is set."""
    there = {name.lower(): value for name, value in kept if value} if options.get("trustForwardHeader") else {}
    own = {"X-Forwarded-Method": method, "X-Forwarded-Proto": "https", "X-Forwarded-Host": host, "X-Forwarded-Uri": path}
    told = {name: there.get(name.lower(), value) for name, value in own.items()}
    told["X-Forwarded-For"] = ", ".join(filter(None, (there.get("x-forwarded-for"), peer)))
    hops = ("connection", "keep-alive", "te", "trailers", "transfer-encoding", "upgrade")
    return [*without(kept, {*hops, *told}), *told.items(), ("Accept-Encoding", "gzip")]


def without(headers: Headers, names: Iterable[str]) -> Headers:
    gone = {name.lower() for name in names}
    return [(name, value) for name, value in headers if name.lower() not in gone]


async def envoy(room: Room, method: str, path: str, sent: Headers, *, site: str = "app") -> tuple[int, dict[str, str]]:
    """The same for Envoy's HTTP service: Host, method, prefix and path, Authorization, and what is allowed."""
    listener = yaml.safe_load((FILES / "envoy.yaml").read_text())["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    mutation, authz, _ = (each["typed_config"] for each in manager["http_filters"])
    assert [each["upgrade_type"] for each in manager["upgrade_configs"]] == ["websocket"]
    service = authz["http_service"]
    assert authz["failure_mode_allow"] is False
    assert manager["common_http_protocol_options"]["headers_with_underscores_action"] == "DROP_HEADER"
    patterns, removed = removals(mutation["mutations"]["request_mutations"])
    sent = [(name, value) for name, value in without(sent, removed) if "_" not in name and not patterns.fullmatch(name.lower())]
    allowed = [*authz["allowed_headers"]["patterns"], {"exact": "authorization"}]
    asked = [("Host", f"{site}.example.com"), *((name, value) for name, value in sent if matches(allowed, name))]
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
    [host] = [each for each in manager["route_config"]["virtual_hosts"] if each["domains"] == [f"{site}.example.com"]]
    assert "typed_per_filter_config" not in host, "the portal alone is not asked about"
    for name in host.get("request_headers_to_remove", []):
        kept.pop(name, None)
    return 200, kept


def removals(mutations: list[dict[str, Any]]) -> tuple[re.Pattern[str], list[str]]:
    """What an HTTP header mutation removes: names that match a pattern as a whole, and names."""
    [pattern] = [each["remove_on_match"]["key_matcher"]["safe_regex"]["regex"] for each in mutations if "remove_on_match" in each]
    return re.compile(pattern), [each["remove"] for each in mutations if "remove" in each]


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


@BOTH
async def test_grafana(room: Room, ask: Any) -> None:
    """Its own headers, none of the client's, and no Authorization, which it would take for its own."""
    cookie = ("Cookie", f"__Secure-gw={(await room.session('ada')).value}")
    claims = [(f"X-WEBAUTH-{name}", "Admin") for name in ("USER", "NAME", "EMAIL", "ROLE", "GROUPS")]
    status, kept = await ask(room, "GET", "/", [*claims, ("Remote-User", "x"), cookie], site="grafana")
    told = {name: value for name, value in kept.items() if name.startswith("x-webauth-")}
    told.setdefault("x-webauth-role", "")
    assert (status, told) == (200, {
        "x-webauth-user": "ada", "x-webauth-name": "Ada Lovelace", "x-webauth-email": "ada@example.com",
        "x-webauth-role": "", "x-webauth-groups": "dev,ops",
    })  # fmt: skip
    basic = ("Authorization", "Basic YWRhOmxvdmVsYWNl")  # ada:lovelace
    status, kept = await ask(room, "GET", "/", [basic], site="grafana")
    assert (status, kept["x-webauth-user"], "authorization" in kept) == (200, "ada", False)
    assert (await ask(room, "GET", "/", claims, site="grafana"))[0] == 401


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


@BOTH
async def test_twins(room: Room, ask: Any) -> None:
    """5: no other spelling of an identity header goes on, on either host."""
    cookie = ("Cookie", f"__Secure-gw={(await room.session('ada')).value}")
    claims = [(name, "root") for name in TWINS]
    for site, given in (("app", "remote"), ("grafana", "webauth")):
        status, kept = await ask(room, "GET", "/x", [*claims, cookie], site=site)
        assert (status, [name for name, value in kept.items() if given in name and value == "root"]) == (200, [])


async def test_a_bypass_of_grafana_without_its_headers_through_envoy(room: Room) -> None:
    """5: the answer names no header of Grafana's; the client's own must not get there all the same."""
    rule = '{ name = images, domain = "grafana.example.com", resources = "^/public/", policy = bypass }'
    await room.reload(CONFIGURATION.replace("  rules = [\n", f"  rules = [\n    {rule}\n"))
    for path in ("/public/x", "/public/x?y"):
        status, kept = await envoy(room, "GET", path, [("X-WEBAUTH-USER", "admin"), ("X-WEBAUTH-ROLE", "Admin")], site="grafana")
        assert (status, [name for name, value in kept.items() if value and "webauth" in name]) == (200, [])
    await room.reload(CONFIGURATION)


async def test_clients_behind_a_load_balancer_in_front_of_traefik(room: Room) -> None:
    """3: whom the entry point trusts passes on what clients say; method, host and URI are Traefik's own all the same."""
    lies = [("X-Forwarded-Uri", "/public"), ("X-Forwarded-Method", "OPTIONS"), ("X-Forwarded-Host", "static.test"), ("Connection", "X-Forwarded-Uri")]
    from_balancer = [("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https")]
    for lie in [[each] for each in lies] + [lies]:
        for balancer in ("", "192.0.2.9"):
            assert (await traefik(room, "GET", "/admin", [*from_balancer, *lie], balancer=balancer))[0] == 401, lie
            assert (await traefik(room, "GET", "/secret", [*from_balancer, *lie], balancer=balancer))[0] == 403, lie
            status, answered = await traefik(room, "GET", "/x", [*from_balancer, *lie, HTML], balancer=balancer)
            assert (status, answered["location"]) == (302, "https://auth.example.com/login?rd=https://app.example.com/x"), lie
    # An office behind the balancer counts only if the gateway trusts that balancer, too.
    at_the_office = [("X-Forwarded-For", "10.0.0.1"), ("X-Forwarded-Proto", "https")]
    for trusted, balancer, expected in (("", "192.0.2.9", 401), ("192.0.2.9", "192.0.2.9", 200), ("192.0.2.9", "", 401)):
        await room.reload(f'{CONFIGURATION}\ntrusted_proxies = ["127.0.0.1", "{trusted or "::1"}"]\n')
        assert (await traefik(room, "GET", "/office", at_the_office, balancer=balancer))[0] == expected
    await room.reload(CONFIGURATION)


async def test_upgrades_through_traefik(room: Room) -> None:
    """11: none but to a websocket."""
    cookie = ("Cookie", f"__Secure-gw={(await room.session('ada')).value}")
    rows = {"websocket": 200, "WebSocket": 200, "h2c": 404, "h2c, websocket": 404, "websocket,h2c": 404, "TLS/1.0": 404, " websocket": 404}
    for protocol, expected in rows.items():
        for site in ("app", "grafana"):
            sent = [("Connection", "Upgrade"), ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"), ("Upgrade", protocol), cookie]
            status, kept = await traefik(room, "GET", "/ws", sent, site=site)
            assert (status, "http2-settings" in kept) == (expected, False), protocol
    for first, expected in (("websocket", 200), ("h2c", 404)):
        twice = [("Connection", "upgrade"), ("Upgrade", first), ("Upgrade", "websocket"), ("Upgrade", "h2c"), cookie]
        status, kept = await traefik(room, "GET", "/ws", twice)
        assert (status, kept.get("upgrade", first)) == (expected, first)
