"""clearml.md 6.3: the unmodified agent 3.0.3: its login, the loading of vaults, tokens of task owners. No task is run.

``Worker`` is what every command of the agent begins with: it logs in and applies the vaults.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from tests.clients.company_site import (
    ADMINISTRATOR,
    DEVELOPER,
    EVERYONE,
    Site,
    company_site,
    finish,
    keys,
    start,
)

AGENT = "clearml-agent-3.0.3"
VAULTS = "GET /users.get_vaults?enabled=true&types=config&types=config Bearer"
COMPANY = "d1bd92a3b039400cbafc60a7a5b1e52b"
BEGIN = """
import json, os
from pathlib import Path
from clearml_agent.commands.worker import Worker
worker = Worker()
session = worker._session
"""
SHOW = """
print("PROBE " + json.dumps({"api": session.api_version, "feature_set": session.feature_set, "user": session.user_id,
    "pip": session.config.get("agent.package_manager.pip_version", None), "worker": worker.worker_id,
    "variable": os.environ.get("FROM_VAULT"), "file": Path(FILE).read_text() if Path(FILE).exists() else None}))
"""
OWNER = """
worker._use_owner_token(True)
owner = Worker.get_task_session(os.environ["OWNER"], os.environ["COMPANY"], session)
tenant = Worker.get_task_session(os.environ["OWNER"], "another company", session)
user = owner.send_request("users", "get_current_user").json()["data"]["user"]
loaded = owner.load_vaults()
print("PROBE " + json.dumps({"user": user["id"], "name": user["name"], "loaded": loaded, "tokens": [owner.token, tenant.token],
    "pip": owner.config.get("agent.package_manager.pip_version", None),
    "own": session.config.get("agent.package_manager.pip_version", None)}))
"""


@pytest.fixture(scope="module")
def everyone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with company_site(tmp_path_factory.mktemp("agent")) as site:
        yield site


@pytest.fixture
def site(everyone: Site) -> Iterator[Site]:
    yield everyone
    everyone.without_vaults(DEVELOPER)
    everyone.recorder.forget()


def agent(site: Site, folder: Path, program: str, **variables: str) -> subprocess.Popen[str]:
    quiet = {"CLEARML_WORKER_NAME": "bench", "CLEARML_CUDA_VERSION": "0"}
    text = f"FILE = {str(folder / 'made.txt')!r}\n{BEGIN}{program}"
    return start(AGENT, text, site.url, folder, {**quiet, **variables})


def owner_id(site: Site, person: tuple[str, str]) -> str:
    found: str = site.daemon.user(site.daemon.token(*person))["id"]
    return found


def test_login_and_vaults(site: Site, tmp_path: Path) -> None:
    """One login, one listing; the agent applies environment and files by default, and keeps its worker's name."""
    team = {
        "agent": {"package_manager": {"pip_version": "==24"}, "worker_name": "stolen"},
        "environment": {"FROM_VAULT": "yes"},
        "files": {"f": {"path": str(tmp_path / "made.txt"), "contents": "of a vault"}},
    }
    site.vault(group=EVERYONE, scope="group", description="for the team", format="json", data=json.dumps(team))
    run = finish(agent(site, tmp_path, SHOW, **keys(DEVELOPER)))
    found = run.probe
    assert found["worker"].startswith("bench:")
    assert {**found, "worker": ""} == {
        "api": "2.34", "feature_set": "vault", "user": owner_id(site, DEVELOPER), "pip": "==24", "worker": "",
        "variable": "yes", "file": "of a vault",
    }  # fmt: skip
    assert f"Loaded group vault for user {found['user']}: for the team" in run.output
    assert "Failed" not in run.output
    assert site.recorder.requests == ["GET /auth.login Basic", VAULTS]


def test_the_switch(site: Site, tmp_path: Path) -> None:
    site.vault(group=EVERYONE, scope="group", data='agent.package_manager.pip_version: "==24"')
    run = finish(agent(site, tmp_path, SHOW, **keys(DEVELOPER), CLEARML_AGENT_DISABLE_VAULT_SUPPORT="1"))
    assert run.probe["pip"] != "==24"
    assert site.recorder.requests == ["GET /auth.login Basic"]


def test_the_token_of_a_tasks_owner(site: Site, tmp_path: Path) -> None:
    """--use-owner-token: one impersonated login where ``tenant`` is the task's company, else two; then the owner's vaults."""
    owner = owner_id(site, DEVELOPER)
    site.vault(by=DEVELOPER, scope="user", data='agent.package_manager.pip_version: "==23"')
    site.vault(group=EVERYONE, scope="group", data='agent.package_manager.pip_version: "==24"')
    found = finish(agent(site, tmp_path, OWNER, **keys(ADMINISTRATOR), OWNER=owner, COMPANY=COMPANY)).probe
    tokens = found.pop("tokens")
    assert found == {"user": owner, "name": "Alan Turing", "loaded": True, "pip": "==23", "own": "==24"}
    for token in tokens:
        claims = jwt.decode(token, options={"verify_signature": False})
        assert (claims["identity"]["user"], claims["identity"]["role"], claims["tenant"]) == (owner, "user", COMPANY)
    logins = ["GET /v2.5/auth.login Bearer"] * 3
    asked = ["GET /auth.login Basic", VAULTS, *logins, "GET /users.get_current_user Bearer", VAULTS]
    assert site.recorder.requests == asked
    # The process of the task gets nothing but this token.
    site.recorder.forget()
    task = finish(agent(site, tmp_path, SHOW, CLEARML_AUTH_TOKEN=tokens[0])).probe
    assert (task["user"], task["pip"]) == (owner, "==23")
    assert site.recorder.requests == ["GET /auth.login Bearer", VAULTS]


def test_owner_tokens_are_for_administrators(site: Site, tmp_path: Path) -> None:
    """The agent asks the token's role; had it not, the gateway would refuse."""
    grace = {"OWNER": owner_id(site, ADMINISTRATOR), "COMPANY": COMPANY}
    forced = OWNER.replace("worker._use_owner_token(True)", "")
    children = [agent(site, tmp_path, program, **keys(DEVELOPER), **grace) for program in (OWNER, forced)]
    refused, none = [finish(child) for child in children]
    assert (refused.code, none.code) == (1, 1)
    assert "User role not suitable for --use-owner-token option" in refused.output
    assert "'NoneType' object has no attribute 'send_request'" in none.output, "no session for somebody else"
