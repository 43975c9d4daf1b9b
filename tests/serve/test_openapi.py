"""DECISIONS 28: ``/openapi.yaml`` names every route of every dialect but Vault and Conjur, and no other, and the running
daemon answers as it says."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings, strategies
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import definitions
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway import __version__
from gateway.access.decision import Caller, Endpoint, Outcome, answer
from gateway.serve import vaults
from gateway.serve.admin.endpoints import ENDPOINTS as ADMIN
from gateway.serve.authz.question import PREFIX
from gateway.serve.clearml.endpoints import ENDPOINTS
from gateway.serve.dispatch import Owner, dispatch
from gateway.serve.grafana.dialect import PREFIX as LDAP
from gateway.serve.openapi import DOCUMENT
from gateway.serve.portal.dialect import ROUTES
from gateway.serve.target import parse_target
from tests.daemon import Answer
from tests.serve.clearml_site import PASSWORD, Site, clearml_site, pair
from tests.serve.test_clearml_envelopes import BAD, GOOD, JANE, filled

OPENAPI: dict[str, Any] = yaml.safe_load(DOCUMENT)
PATHS: dict[str, dict[str, Any]] = OPENAPI["paths"]
SOAK = bool(os.environ.get("GATEWAY_SOAK"))
EXAMPLES = 200 if SOAK else 12
"""For each operation and caller."""
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    response_headers_conformance,
]  # fmt: skip
PREFIXES = itertools.cycle(("", "/api", "/v2.34", "/api/v999.0", "/v2.0"))
CALLERS = ("", "user", "admin", "root")
"""Anyone, and roles."""
PAGES = ("/login", "/logout")
"""For people alone."""
PORTAL = {path: route for path, route in ROUTES.items() if path not in ("/", *PAGES)}
AUTHZ = [f"{PREFIX}{endpoint}" for endpoint in Endpoint] + [f"{PREFIX}{Endpoint.EXT_AUTHZ}/{{path}}"]
DIAGNOSTICS = [f"{LDAP}{path}" for path in ("status", "reload", "sync/{id}", "{login}")]
OWN = {"Sec-Fetch-Site": "same-origin"}
ALONE = ("auth.logout", "auth.create_credentials")
"""Not for somebody else."""


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in PATHS.items():
        for method in ("get", "post"):
            if method in item:
                yield path, method, item[method]


def test_every_route_and_no_other() -> None:
    others = {owner.value for owner in Owner if owner.value.startswith("/")}
    expected = {f"/{name}" for name in ENDPOINTS} | ADMIN.keys() | {vaults.PATH, *AUTHZ, *DIAGNOSTICS} | PORTAL.keys() | others
    assert PATHS.keys() == expected
    assert Owner.NOBODY not in {dispatch(parse_target(path))[0] for path in PATHS}
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids))
    assert OPENAPI["info"]["version"] == __version__
    assert OPENAPI["components"]["securitySchemes"]["cookie"]["name"] == "clearml_token_basic"


# what stands for all paths of a dialect, whose it is, where it is described
ELSEWHERE = [
    ("/v1/", Owner.VAULT, "vault"), ("/authn/", Owner.CONJUR, "conjur"), ("/authn-ldap/", Owner.CONJUR, "conjur"),
    ("/api/authn-ldap/", Owner.CONJUR, "conjur"), ("/whoami", Owner.CONJUR, "conjur"),
    ("/authenticators", Owner.CONJUR, "conjur"), ("/info", Owner.CONJUR, "conjur"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "owner", "page"), ELSEWHERE)
def test_it_says_what_it_leaves_out(path: str, owner: Owner, page: str) -> None:
    said = OPENAPI["info"]["description"].rpartition("Not here")[2]
    assert f"`{path}`" in said
    assert f"`docs/{page}.md`" in said
    assert dispatch(parse_target(path))[0] is owner


@pytest.mark.parametrize("name", ENDPOINTS)
def test_who_may_call(name: str) -> None:
    endpoint = ENDPOINTS[name]
    for path, _, operation in operations():
        if path == f"/{name}":
            assert (operation.get("security") == []) == endpoint.open
    operation = PATHS[f"/{name}"]["post"]
    assert tuple(operation.get("x-roles", ())) == endpoint.roles
    assert operation.get("x-since", "1.0") == endpoint.since
    impersonated = [parameter["$ref"].rpartition("/")[2] for parameter in operation.get("parameters", [])]
    assert impersonated == ([] if endpoint.open or name in ALONE else ["act-as", "impersonate-as"])


@pytest.mark.parametrize("path", [*ADMIN, vaults.PATH])
def test_parameters(path: str) -> None:
    """Here a name that is not documented is refused."""
    method, parameters, fields = "GET", vaults.PARAMETERS, ()
    if path in ADMIN:
        method, parameters, fields = ADMIN[path].method, ADMIN[path].parameters, ADMIN[path].fields
    operation = PATHS[path][method.lower()]
    assert PATHS[path].keys() == {"servers", method.lower()}
    assert tuple(parameter["name"] for parameter in operation.get("parameters", [])) == parameters
    body = operation.get("requestBody", {"content": {"application/json": {"schema": {"properties": {}}}}})
    assert tuple(body["content"]["application/json"]["schema"]["properties"]) == fields


@pytest.mark.parametrize("path", PORTAL)
def test_methods_of_the_portal(path: str) -> None:
    described = {method for found, method, _ in operations() if found == path}
    assert described == {method.lower() for method in PORTAL[path].methods} - {"head"}


@pytest.mark.parametrize("path", AUTHZ)
def test_statuses_of_an_endpoint(path: str) -> None:
    """forward-auth.md 4: what an endpoint may say to whomever about whatever, and nothing else."""
    endpoint = Endpoint(path.removeprefix(PREFIX).removesuffix("/{path}"))
    said = {
        str(answer(outcome, endpoint, method=method, caller=caller, location=location).status)
        for outcome in Outcome for caller in Caller for method in ("GET", "POST") for location in ("", "https://x.test/")
    }  # fmt: skip
    assert PATHS[path]["get"]["responses"].keys() == said


def conforms(path: str, method: str, answer: Answer) -> None:
    responses = PATHS[path][method]["responses"]
    kind = "4XX" if 400 <= answer.status < 500 and str(answer.status) not in responses else str(answer.status)
    response = responses[kind]
    if "$ref" in response:
        response = OPENAPI["components"]["responses"][response["$ref"].rpartition("/")[2]]
    if not answer.body:
        assert "content" not in response
        return
    schema = response["content"][answer.headers.get_content_type()]["schema"]
    value = answer.json if answer.headers.get_content_type() == "application/json" else answer.body.decode()
    jsonschema.Draft202012Validator({"components": OPENAPI["components"], **schema}).validate(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    rules = [{"domain": "public.example.com", "policy": "bypass"}, {"domain": "*.example.com", "policy": "authenticated"}]
    more = {"public_url": "https://auth.example.com", "access_control__rules": json.dumps(rules)}
    directory = tmp_path_factory.mktemp("openapi")
    with clearml_site(directory, **{f"CLEARML__{key}": value for key, value in more.items()}) as started:
        yield started


def test_it_is_served(site: Site) -> None:
    answer = site.daemon.call("/openapi.yaml")
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, DOCUMENT, "application/yaml")
    assert site.daemon.call("/openapi.yaml", method="HEAD").body == b""
    assert site.daemon.call("/openapi.yaml", method="POST").status == 405


def test_good_and_bad_answers(site: Site) -> None:
    """What generated requests seldom reach: every golden row (clearml.md 2.2, 7-9) is as the document says."""
    for role, endpoint, fields, _ in GOOD:
        name = endpoint.partition(" ")[0]
        answer = site.call(role, name, **filled(site, fields))
        assert answer.status == 200, (name, answer.body)
        conforms(f"/{name}", "post", answer)
    for role, name, fields, headers, status, *_ in BAD:
        answer = site.call(role, name, {key: value.replace("JANE", JANE) for key, value in headers.items()}, **fields)
        assert answer.status == status
        conforms(f"/{name}", "post", answer)


def test_vaults_and_groups_and_administration(site: Site) -> None:
    def clearml(endpoint: str, **fields: Any) -> Any:
        answer = site.call("admin", endpoint, **fields)
        assert answer.status == 200, answer.body
        conforms(f"/{endpoint}", "post", answer)
        return answer.data

    def other(path: str, method: str = "GET", fields: Mapping[str, Any] | None = None, status: int = 200) -> Any:
        body = None if fields is None else json.dumps(fields)
        answer = site.daemon.call(path, method=method, basic=pair("admin"), body=body)
        assert answer.status == status, answer.body
        conforms(path.partition("?")[0], method.lower(), answer)
        return answer.json

    group = clearml("permissions.add_or_update_user_group", name="nights", description="d", users=[site.id("user")])["id"]
    assert clearml("permissions.get_user_groups", groups=[group])["groups"][0]["users"]
    vault = {"scope": "group", "description": "d", "data": 'l { a = [1], a += 2 }\nt = "\tx"'}
    made = clearml("users.add_or_update_vault", group=group, vault=vault)
    assert made["warnings"]
    clearml("users.add_or_update_vault", vault={"data": "sdk.a = 1\nsdk.a = 2"})
    for listing in ("users.get_vaults", "users.get_organization_vaults"):
        assert clearml(listing)["vaults"]
    assert other("/api/vaults/merged")["keys"]
    other("/api/vaults/merged?user=nobody", status=404)
    assert other(f"/api/vaults/merged?user={site.id('user')}")["vaults"]
    assert other("/admin/vaults/merged?user=jane&format=hocon")["text"]
    clearml("users.delete_vaults", vaults=[made["vault"]])
    assert len(other(f"/admin/vaults/history?vault={made['vault']}")["versions"]) > 0
    assert made["vault"] not in [row["id"] for row in other("/admin/vaults/list")["vaults"]]
    assert [row["id"] for row in other("/admin/vaults/list?deleted=true")["vaults"]] == [made["vault"]]
    version = other("/admin/vaults/undo", "POST", {"vault": made["vault"]})["version"]
    assert other(f"/admin/vaults/history?vault={made['vault']}&version={version}")["text"]
    assert clearml("permissions.delete_user_groups", groups=[group]) == {"deleted": 1}
    other("/admin/whitelist/add", "POST", {"entries": ["a@x.org", "@y.org"]})
    assert other("/admin/whitelist")["entries"]
    other("/admin/whitelist/remove", "POST", {"entries": ["a@x.org", "@y.org"]})
    for path in ("/", "/healthz/live", "/healthz/ready", "/admin/status", "/admin/config"):
        other(path)
    other("/admin/reload?dry_run", "POST")
    assert other("/admin/reload", "POST")["outcome"] == "unchanged"
    other("/admin/config/diff", "POST", {}, status=403)
    other("/admin/config/forget", "POST", {"key": "x"}, status=404)


def signed_in(site: Site) -> dict[str, str]:
    """The headers of a program that acts for somebody at the portal."""
    fields = json.dumps({"user": "ada", "password": PASSWORD})
    answer = site.daemon.call("/api/login", method="POST", body=fields, headers={"Content-Type": "application/json"})
    conforms("/api/login", "post", answer)
    return {"Cookie": answer.headers["Set-Cookie"].partition(";")[0], "Accept": "application/json", **OWN}


def test_the_portal_and_what_administrators_see_of_it(site: Site) -> None:
    headers = signed_in(site)

    def portal(path: str, fields: Mapping[str, Any] | None = None, status: int = 200, **more: str) -> Any:
        method, body = ("GET", None) if fields is None else ("POST", json.dumps(fields))
        sent = {"Content-Type": "application/json", **headers, **more}
        answer = site.daemon.call(path, method=method, body=body, headers=sent)
        assert answer.status == status, answer.body
        conforms(path, method.lower(), answer)
        return answer.json

    def admin(path: str, fields: Mapping[str, Any] | None = None) -> Any:
        method, body = ("GET", None) if fields is None else ("POST", json.dumps(fields))
        answer = site.daemon.call(path, method=method, basic=pair("admin"), body=body)
        assert answer.status == 200, answer.body
        conforms(path.partition("?")[0], method.lower(), answer)
        return answer.json

    assert portal("/api/session")["username"] == "ada"
    token = {"label": "ci", "hosts": ["app.example.com"], "paths": "/a /b", "days": 2, "once": "x"}
    made = portal("/account/tokens", token, status=201)
    portal("/account/tokens", token, status=409)
    portal("/account/tokens", {"label": ""}, status=400)
    shown = portal("/account")
    assert (len(shown["tokens"]), shown["sessions"][0]["current"]) == (1, True)
    conforms("/account", "get", site.daemon.call("/account", headers={**headers, "Accept": "text/html"}))
    assert {row["kind"] for row in admin("/admin/sessions")["tokens"]} >= {"session", "personal"}
    assert admin("/admin/sessions?user=ada&kind=personal")["tokens"][0]["accessor"] == made["accessor"]
    assert portal("/account/tokens/revoke", {"accessor": made["accessor"]}) == {"revoked": 1}
    signed_in(site)
    assert portal("/account/sessions/revoke-others", {})["revoked"]
    assert admin("/admin/sessions/revoke", {"user": "jane", "kind": "session"})["revoked"] == {"session": 0}
    for _ in range(6):
        portal("/api/login", {"user": "mallory", "password": "x"}, status=401)
    assert [row["of"] for row in admin("/admin/lockout")["counters"]] == ["local/mallory"]
    assert admin("/admin/lockout?all=true")["counters"]
    assert admin("/admin/lockout/clear", {"user": "mallory"}) == {"cleared": ["local/mallory"]}
    portal("/api/logout", {}, status=403, **{"Sec-Fetch-Site": "cross-site"})
    assert portal("/api/logout", {}) == {}
    portal("/api/session", status=401)
    for path in ("/account/sessions/revoke", "/account/tokens/revoke"):
        portal(path, {"accessor": "x"}, status=401)


# what is asked of each proxy's endpoint; headers of the client; statuses by endpoint
QUESTIONS = [
    ("4 bypass", "https://public.example.com/", {}, (200, 200, 200)),
    ("4 allowed", "https://app.example.com/", {"Authorization": "jane"}, (200, 200, 200)),
    ("4 wrong password", "https://app.example.com/", {"Authorization": "Basic eDp5"}, (401, 401, 401)),
    ("7 wrong password for the proxy", "https://app.example.com/", {"Proxy-Authorization": "Basic eDp5"}, (401, 407, 407)),
    ("4 browser", "https://auth.example.com/", {"Accept": "text/html"}, (401, 302, 302)),
    ("4 program", "https://auth.example.com/", {}, (401, 401, 401)),
    ("4 no rule", "https://other.test/", {}, (403, 403, 403)),
    ("3 malformed", "https://app.example.com/%zz", {}, (403, 400, 400)),
]


@pytest.mark.parametrize(("section", "url", "headers", "statuses"), QUESTIONS)
def test_questions(
    site: Site, section: str, url: str, headers: dict[str, str], statuses: tuple[int, ...]
) -> None:
    host, path = url.removeprefix("https://").split("/", 1)
    for endpoint, status in zip(Endpoint, statuses, strict=True):
        asked = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": host, "X-Forwarded-Uri": f"/{path}", "X-Forwarded-Method": "GET"}
        asked |= {"X-Original-URL": url, "X-Original-Method": "GET", "Host": host, **headers}
        basic = pair("user") if asked.get("Authorization") == "jane" else None
        end = f"/{path}" if endpoint is Endpoint.EXT_AUTHZ else ""
        answer = site.daemon.call(f"{PREFIX}{endpoint}{end}", basic=basic, headers=asked)
        assert answer.status == status, (endpoint, answer.body)
        conforms(f"{PREFIX}{endpoint}", "get", answer)


def test_a_wrong_answer_does_not_conform(site: Site) -> None:
    with pytest.raises(jsonschema.ValidationError):
        conforms("/server.info", "post", site.call("user", "debug.ping"))


SCHEMA = schemathesis.openapi.from_dict(OPENAPI)
SCHEMA.config.generation.update(with_security_parameters=False)
GENERATED = {(found.ok().path, found.ok().method): found.ok() for found in SCHEMA.get_all_operations()}


def test_schemathesis_reads_every_operation() -> None:
    assert list(definitions.OPENAPI_31_VALIDATOR.iter_errors(OPENAPI)) == []
    assert GENERATED.keys() == {(path, method) for path, method, _ in operations()}


@pytest.mark.parametrize(("path", "method"), GENERATED, ids=str)
def test_generated_requests(site: Site, path: str, method: str) -> None:
    """Requests as documented, and others: no 5xx, and every answer as documented, whoever asks."""
    prefixes = PREFIXES if path[1:] in ENDPOINTS else itertools.repeat("")

    callers: list[dict[str, Any]] = [{"auth": pair(role)} if role else {} for role in CALLERS]
    if path in PORTAL:
        callers = [{}, {"headers": signed_in(site)}]
    elif path in AUTHZ:
        callers = [{}, {"auth": pair("user")}]
    modes = schemathesis.GenerationMode
    operation = GENERATED[path, method]

    @given(strategies.one_of(*(operation.as_strategy(generation_mode=mode) for mode in (modes.POSITIVE, modes.NEGATIVE))))
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=not SOAK, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def drive(case: Any) -> None:
        for credentials in callers:
            case.call_and_validate(
                base_url=f"http://127.0.0.1:{site.daemon.port}{next(prefixes)}", checks=CHECKS, timeout=30, **credentials
            )

    drive()
