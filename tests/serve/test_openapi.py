"""DECISIONS 28: ``/openapi.yaml`` names every route and no other, and the running daemon answers as it says."""

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
from gateway.serve import vaults
from gateway.serve.admin.endpoints import ENDPOINTS as ADMIN
from gateway.serve.clearml.endpoints import ENDPOINTS
from gateway.serve.dispatch import Owner
from gateway.serve.openapi import DOCUMENT
from tests.daemon import Answer
from tests.serve.clearml_site import Site, clearml_site, pair
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
ALONE = ("auth.logout", "auth.create_credentials")
"""Not for somebody else."""


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in PATHS.items():
        for method in ("get", "post"):
            if method in item:
                yield path, method, item[method]


def test_every_route_and_no_other() -> None:
    others = {owner.value for owner in Owner if owner.value.startswith("/")}
    assert PATHS.keys() == {f"/{name}" for name in ENDPOINTS} | ADMIN.keys() | {vaults.PATH} | others
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids))
    assert OPENAPI["info"]["version"] == __version__
    assert OPENAPI["components"]["securitySchemes"]["cookie"]["name"] == "clearml_token_basic"


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


def conforms(path: str, method: str, answer: Answer) -> None:
    responses = PATHS[path][method]["responses"]
    kind = "4XX" if 400 <= answer.status < 500 and str(answer.status) not in responses else str(answer.status)
    response = responses[kind]
    if "$ref" in response:
        response = OPENAPI["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = response["content"][answer.headers.get_content_type()]["schema"]
    jsonschema.Draft202012Validator({"components": OPENAPI["components"], **schema}).validate(answer.json)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with clearml_site(tmp_path_factory.mktemp("openapi")) as started:
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

    modes = schemathesis.GenerationMode
    operation = GENERATED[path, method]

    @given(strategies.one_of(*(operation.as_strategy(generation_mode=mode) for mode in (modes.POSITIVE, modes.NEGATIVE))))
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=not SOAK, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def drive(case: Any) -> None:
        for role in CALLERS:
            credentials = {"auth": pair(role)} if role else {}
            case.call_and_validate(
                base_url=f"http://127.0.0.1:{site.daemon.port}{next(prefixes)}", checks=CHECKS, timeout=30, **credentials
            )

    drive()
