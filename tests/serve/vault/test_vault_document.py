"""docs/vault.md and README.md: each configuration loads, and the requests do what they are said to do."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from vault_calls import ROOT, configuration, serving

from gateway.config.load import load
from tests.directories.slapd import BASE_DN, COMPANY, SERVICE_DN, SERVICE_PASSWORD, Slapd

TOP = Path(__file__).parents[3]
DOCUMENT, README = (TOP / "docs/vault.md").read_text(), (TOP / "README.md").read_text()
BLOCKS = re.findall(r"```hocon\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_configurations_load(tmp_path: Path, number: int) -> None:
    (tmp_path / "secret").write_text("s3cret")
    text = re.sub(r"/run/secrets/[\w-]+", str(tmp_path / "secret"), BLOCKS[number])
    file = tmp_path / "gateway.conf"
    file.write_text(text)
    snapshot = load([file], {"CLEARML__state_dir": str(tmp_path)})
    assert [problem for problem in snapshot.warnings if problem.severity == "error"] == []
    assert not any("unknown" in str(problem) for problem in snapshot.warnings)


@pytest.mark.parametrize("document", [DOCUMENT, README], ids=["docs", "README"])
def test_the_requests_by_curl(tmp_path: Path, document: str) -> None:
    """As they are printed, but for the address, the directory's own values and the password."""
    assert shutil.which("curl"), "apt-get install -y --no-install-recommends curl"
    [block] = [text for text in re.findall(r"```sh\n(.*?)```", document, re.DOTALL) if "curl -X POST" in text and "sys/auth" in text]
    config = {"url": "", "userdn": f"ou=people,{BASE_DN}", "userattr": "uid", "groupdn": f"ou=groups,{BASE_DN}",
              "binddn": SERVICE_DN, "bindpass": SERVICE_PASSWORD}  # fmt: skip
    with Slapd.start(COMPANY, directory=tmp_path / "slapd") as slapd, serving(tmp_path / "gateway", configuration()) as vault:
        (tmp_path / "config.json").write_text(json.dumps(config | {"url": slapd.url}))
        commands = re.sub(r"-d '\{\"url\".*?\}'", "-d @config.json", block).replace('"..."', '"cobol-1959"')
        commands = commands.replace("login/ada", "login/grace").replace("curl ", "curl -sSf ")
        variables = {"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1", "VAULT_TOKEN": ROOT,
                     "VAULT_ADDR": f"http://127.0.0.1:{vault.daemon.port}"}  # fmt: skip
        done = subprocess.run(["bash", "-e"], input=commands, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["auth"]["policies"] == ["default", "operate"]
