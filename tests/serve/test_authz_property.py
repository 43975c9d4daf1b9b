"""No input makes an endpoint say 2xx where a slow, obvious reading of the rules would not (issue text, acceptance 3)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.access.obvious_rules import verdict
from tests.serve.asking import CONFIGURATION, ENDPOINTS, question
from tests.serve.gateway_room import Room, parsed, room_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

# The rules of CONFIGURATION, as the evaluator takes them.
RULES: list[dict[str, Any]] = [
    {"policy": "deny", "domain": ["app.example.com"], "resources": ["^/secret(/|$)"]},
    {"policy": "bypass", "domain": ["app.example.com"], "resources": ["^/public(/|$)"]},
    {"policy": "bypass", "domain": ["app.example.com"], "resources": ["^/office"], "networks": ["10.0.0.0/8"]},
    {"policy": "authenticated", "domain": ["app.example.com"], "resources": ["^/nobasic"]},
    {"policy": "authenticated", "domain": ["app.example.com"], "resources": ["^/admin(/|$)"], "subject": [["group:ops"]]},
    {"policy": "deny", "domain": ["app.example.com"], "resources": ["^/admin(/|$)"]},
    {"policy": "authenticated", "domain": ["app.example.com", "app.example.org", "other.test"]},
    {"policy": "authenticated", "domain": ["grafana.example.com"]},
    {"policy": "bypass", "domain": ["static.test"]},
]
PEOPLE = {"": None, "ada": {"user": "ada", "groups": ["dev", "ops"]}, "bob": {"user": "bob", "groups": ["guests"]}}
PIECES = st.sampled_from([
    "/public", "/secret", "/admin", "/office", "/x", "/", "//", "/.", "/..", "/%2e%2e", "/..%2f", "/..;", ";a=b", "%2f", "%73ecret",
    "%2Fsecret", "/SECRET", "%5c", "\\", "#", "?", "&a=/public", "%", "%00", "%zz", "%252e", "é", "%c3%a9", "%c0%af", " ", "\t", "@", ":",
])  # fmt: skip
HOSTS = st.sampled_from([
    "app.example.com", "APP.Example.Com", "app.example.com.", "app.example.com:443", "app.example.com:8443", "static.test", "other.test",
    "app.example.com.evil.test", "xapp.example.com", "app.example.com@static.test", "static.test#app.example.com", "[::1]", "", "a b",
    "app.example.com,static.test", "app%2eexample.com", "grafana.example.com",
])  # fmt: skip
EXTRA = st.lists(st.tuples(
    st.sampled_from(["X-Original-URL", "X-Forwarded-Uri", "X-Forwarded-Host", "X-Forwarded-Method", "Remote-User", "X-Rewrite-URL", "Origin"]),
    st.sampled_from(["https://static.test/", "/public", "static.test", "OPTIONS", "ada"]),
), max_size=2)  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    async with room_of(tmp_path_factory.mktemp("property"), CONFIGURATION) as opened:
        opened.cookies = {name: (await opened.session(name)).value for name in ("ada", "bob")}  # type: ignore[attr-defined]
        yield opened


@settings(max_examples=400, deadline=None)
@given(
    endpoint=st.sampled_from(ENDPOINTS), scheme=st.sampled_from(["https", "https", "http", "wss", "ftp"]), host=HOSTS,
    path=st.lists(PIECES, max_size=5).map("".join), method=st.sampled_from(["GET", "POST", "HEAD", "OPTIONS"]),
    client=st.sampled_from(["192.0.2.1", "10.0.0.1", "10.0.0.1, 192.0.2.1", "::ffff:10.0.0.1", "10.0.0.1:80", "x"]),
    who=st.sampled_from(sorted(PEOPLE)), extra=EXTRA,
)  # fmt: skip
async def test_nothing_passes_that_should_not(
    room: Room, endpoint: str, scheme: str, host: str, path: str, method: str, client: str, who: str, extra: list[tuple[str, str]]
) -> None:
    headers = [*extra, *([("Cookie", f"__Secure-gw={room.cookies[who]}")] if who else [])]  # type: ignore[attr-defined]
    url = f"{scheme}://{host}/{path}"
    sent = question(endpoint, url, *headers, method=method, client=client)
    status = parsed(await room.raw(sent) or b"HTTP/1.1 400 nothing\r\n\r\n")[0]
    if not 200 <= status < 300:
        return
    raw_path, _, query = f"/{path}".partition("?")
    address = client.split(",")[-1].strip().removeprefix("::ffff:").partition(":")[0]
    request = {"host": host.lower().partition(":")[0].rstrip("."), "raw_path": raw_path, "query": query, "method": method, "ip": address}
    assert scheme in ("https", "wss")
    assert verdict(RULES, "deny", request, PEOPLE[who]) == "pass"
