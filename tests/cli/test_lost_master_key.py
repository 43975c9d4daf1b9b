"""Losing ``master.key`` (DECISIONS 19): what docs/operations.md says of it, and its way out."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.daemon import Daemon
from tests.serve.test_clearml_protocol import password_hash

DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"
ADA = ("ada", "lovelace")
CONFIGURATION = {
    "users": [{"username": "ada", "password_hash": password_hash("lovelace")}],
    "conjur": {"account": "myorg"},
    "login": {"floor": 0},
}


def refuses_to_start(daemon: Daemon, told: str) -> None:
    daemon.launch()
    assert daemon.process.wait(20) != 0
    assert told in daemon.log.splitlines()[-1]


def test_the_way_out_that_is_documented(tmp_path: Path) -> None:
    """No start, be ``clearml.token_secret`` set; then by the documented statement, and what lives on does."""
    file = tmp_path / "gateway.json"
    file.write_text(json.dumps(CONFIGURATION))
    daemon = Daemon(tmp_path, files=[file]).start()
    token = daemon.token(*ADA)
    made = daemon.call("/auth.create_credentials", bearer=token, method="POST", headers={"Content-Type": "application/json"}, body="{}")
    pair = made.data["credentials"]
    api_key = daemon.call("/authn/myorg/login", basic=ADA).body
    assert daemon.stop() == 0

    (tmp_path / "state" / "master.key").unlink()
    refuses_to_start(daemon, "the stored signing keys do not open with this master key")
    file.write_text(json.dumps({**CONFIGURATION, "clearml": {"token_secret": "s" * 64}}))
    refuses_to_start(daemon, "the stored signing keys do not open with this master key")
    file.write_text(json.dumps(CONFIGURATION))

    with closing(sqlite3.connect(tmp_path / "state" / "gateway.db")) as database:
        lost = (json.dumps(["servers", "corp", "bind_password"]), b"\1" + bytes(60))
        database.execute("INSERT INTO settings VALUES (?, NULL, ?, 1, 1, 'ada')", lost)
        database.executescript(re.findall(r'^sqlite3 \S+ "(.*)"$', DOCUMENT.read_text(), re.MULTILINE)[0])
    daemon.start()
    try:
        assert daemon.call("/users.get_current_user", bearer=token).status == 401
        assert daemon.call("/authn/myorg/ada/authenticate", method="POST", body=api_key).status == 401
        assert daemon.login(pair["access_key"], pair["secret_key"]).status == 200
        assert daemon.call("/authn/myorg/login", basic=ADA).status == 200
        assert daemon.call("/.well-known/jwks.json").status == 200
    finally:
        assert daemon.stop() == 0
