"""clearml.md 11.2: the vendor's documented curl commands, copied as they are printed, in a real bash with curl and jq.

Only what stands in angle brackets is filled in; one command lacks its closing quote there and has it here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serve.clearml_site import Site, clearml_site

TOKEN = """\
export CLEARML_API_TOKEN=$(curl -s -u "$CLEARML_ACCESS_KEY:$CLEARML_SECRET_KEY" $CLEARML_SERVER/auth.login | jq -r '.data.token')
"""
ANY_CALL = """\
curl -s -H "Authorization: Bearer ${CLEARML_API_TOKEN}" <clearml-server>/...
"""
LIST = """\
curl -s $CLEARML_SERVER/users.get_vaults -H "Authorization: Bearer $CLEARML_API_TOKEN"
"""
CREATE = """\
curl -s -XPUT $CLEARML_SERVER/users.add_or_update_vault \\
-H "Authorization: Bearer $CLEARML_API_TOKEN" \\
-H "Content-Type: application/json" \\
--data-raw '{
"group": "30795571-a470-4717-a80d-e8705fc776bf",
"vault": {
"scope": "group",
"enabled": true,
"data": "<vault configuration, same format as in clearml.conf>",
"format": "hocon",
"type": "config"
}
}'
"""
UPDATE = """\
curl -s -XPUT $CLEARML_SERVER/users.add_or_update_vault \\
-H "Authorization: Bearer $CLEARML_API_TOKEN" \\
-H "Content-Type: application/json" \\
--data-raw '{
"group": "30795571-a470-4717-a80d-e8705fc776bf",
"vault": {
"id": "<existing-vault-id>",
"scope": "group",
"enabled": true,
"data": "<vault configuration, same format as in clearml.conf>",
"format": "hocon",
"type": "config"
}
}'
"""
DELETE = """\
curl -s -XPUT $CLEARML_SERVER/users.delete_vaults \\
-H "Authorization: Bearer $CLEARML_API_TOKEN" \\
-H "Content-Type: application/json" \\
--data-raw '{
"vaults": ["<vault-id>"]
}'
"""
WHITELIST = """\
curl $APISERVER_URL/login.add_whitelist_entries \\
     -H "Content-Type: application/json" \\
     -H "X-Clearml-Act-As: <ADMIN_USER_ID>" \\
     -u $APISERVER_KEY:$APISERVER_SECRET \\
     -d '{"emails":["<email1>", "<email2>", ...],"is_admin":false}'
"""
DOMAINS = """\
curl $APISERVER_URL/login.set_domains \\
  -H "Content-Type: application/json" \\
  -H "X-Clearml-Act-As: <ADMIN_USER_ID>" \\
  -u $APISERVER_KEY:$APISERVER_SECRET \\
  -d '{"domains":["<USERS_EMAIL_DOMAIN>"]}'
"""
DOCUMENT = (Path(__file__).parents[2] / "docs/clearml.md").read_text()
ACT_AS = """-H "X-Clearml-Act-As: <ADMIN_USER_ID>" \\\n"""


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    missing = [tool for tool in ("bash", "curl", "jq") if shutil.which(tool) is None]
    if missing:
        advice = f"as root: apt-get install -y --no-install-recommends {' '.join(missing)}"
        assert os.geteuid() != 0, advice
        pytest.skip(advice)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with clearml_site(tmp_path_factory.mktemp("curl")) as started:
        yield started


@pytest.fixture(scope="module")
def variables(site: Site) -> dict[str, str]:
    made = site.call("admin", "auth.create_credentials").data["credentials"]
    names = {"CLEARML_ACCESS_KEY": "access_key", "CLEARML_SECRET_KEY": "secret_key"}
    names |= {"APISERVER_KEY": "access_key", "APISERVER_SECRET": "secret_key"}
    return {"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1", **{name: made[field] for name, field in names.items()}}


@pytest.fixture(params=["", "/api"])
def shell(request: pytest.FixtureRequest, site: Site, variables: dict[str, str], tmp_path: Path) -> Shell:
    url = f"http://127.0.0.1:{site.daemon.port}{request.param}"
    names = dict.fromkeys(("CLEARML_SERVER", "APISERVER_URL", "SERVER"), url)
    keys = {"KEY": variables["APISERVER_KEY"], "SECRET": variables["APISERVER_SECRET"]}
    return Shell({**variables, **names, **keys, "HOME": str(tmp_path)})


class Shell:
    def __init__(self, variables: dict[str, str]) -> None:
        self._variables = variables

    def run(self, *commands: str, **filled: str) -> Any:
        """The data of what the last command printed."""
        script = "set -euo pipefail\n" + "".join(commands)
        for place, text in filled.items():
            script = script.replace(PLACES[place], text)
        assert "<" not in script, "something is not filled in"
        done = subprocess.run(["bash", "-c", script], env=self._variables, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert answer["meta"]["result_code"] == 200, answer
        return answer["data"]


PLACES = {
    "server": "<clearml-server>",
    "call": "...\n",
    "text": "<vault configuration, same format as in clearml.conf>",
    "existing": "<existing-vault-id>",
    "vault": "<vault-id>",
    "emails": '"<email1>", "<email2>", ...',
    "domain": "<USERS_EMAIL_DOMAIN>",
    "admin": "<ADMIN_USER_ID>",
}


def test_vaults(shell: Shell, site: Site) -> None:
    user = shell.run(TOKEN, ANY_CALL, server="$CLEARML_SERVER", call="users.get_current_user\n")["user"]
    assert user["id"] == site.id("admin")
    made = shell.run(TOKEN, CREATE, text="sdk.a: 1")
    assert list(made) == ["vault"]

    def listed() -> dict[str, str]:
        return {vault["scope"]: vault["data"] for vault in shell.run(TOKEN, LIST)["vaults"]}

    assert listed() == {"group": "sdk.a: 1", "user": ""}
    assert shell.run(TOKEN, UPDATE, existing=made["vault"], text="sdk.a: 2") == made
    assert listed() == {"group": "sdk.a: 2", "user": ""}
    assert shell.run(TOKEN, DELETE, vault=made["vault"]) == {"deleted": 1}
    assert listed() == {"user": ""}


@pytest.mark.parametrize("acting", [True, False], ids=["Act-As", "newer"])
def test_whitelist(shell: Shell, site: Site, acting: bool) -> None:
    """8: newer documentation has no X-Clearml-Act-As; both forms are printed."""
    add, domains = (text if acting else text.replace(ACT_AS, "\\\n") for text in (WHITELIST, DOMAINS))
    assert ("Act-As" in add + domains) == acting
    filled = {"admin": site.id("admin")} if acting else {}
    assert shell.run(add, emails='"a@x.org", "b@x.org"', **filled) == {"added": ["a@x.org", "b@x.org"]}
    assert shell.run(add, emails='"b@x.org", "c@x.org"', **filled) == {"added": ["c@x.org"]}
    assert shell.run(domains, domain="y.org", **filled) == {}
    settings = site.call("admin", "login.get_settings").data
    assert settings["domains"] == ["y.org"]
    assert [entry["email"] for entry in settings["whitelist_entries"]] == ["a@x.org", "b@x.org", "c@x.org"]
    site.call("admin", "login.remove_whitelist_entries", emails=["a@x.org", "b@x.org", "c@x.org"])
    site.call("admin", "login.set_domains", domains=[])


def test_our_own_document(shell: Shell, site: Site) -> None:
    """The commands of docs/clearml.md with curl in them, as they are printed there."""

    def printed(mark: str) -> str:
        [block] = [text for text in re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL) if mark in text]
        lines = re.findall(r"^\w*=?(?:\$\()?curl (?:.*\\\n)*.*$", block, re.MULTILINE)
        return "\n".join(lines).replace("ada:password", "ada:lovelace") + "\n"

    assert shell.run(printed("auth.create_credentials"))["credentials"]["label"] == "laptop"
    token = printed("TOKEN=$(curl -s -u ada").replace("$CLEARML_API_HOST", "$SERVER")
    assert shell.run(token)["user"]["name"] == "Ada Doe"
    [block] = [text for text in re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL) if "vault() {" in text]
    define, calls = block.split("\n\n", 1)
    ready = f"{token.partition(chr(10))[0]}\n{define}\n"
    made, own, changed, off, deleted, listed = re.findall(r"^vault .*(?:\n  .*)*", calls, re.MULTILINE)
    vault = shell.run(ready, made)["vault"]
    assert shell.run(ready, own)["vault"] != vault
    for call in (changed, off):
        assert shell.run(ready, call.replace("5f0c...", vault))["vault"] == vault
    shown = {found["id"]: found for found in shell.run(ready, listed)["vaults"]}
    assert (shown[vault]["data"], shown[vault]["enabled"]) == ('sdk.development.default_output_uri: "s3://new"', False)
    assert shell.run(ready, deleted.replace("5f0c...", vault)) == {"deleted": 1}
    added, domains = printed("whitelist add").splitlines()
    assert shell.run(added) == {"added": ["bob@example.org"]}
    assert shell.run(domains) == {}
    site.call("admin", "login.remove_whitelist_entries", emails=["bob@example.org"])
