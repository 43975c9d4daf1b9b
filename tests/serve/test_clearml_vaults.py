"""Vaults over HTTP (clearml.md 7.1, 11.2; DECISIONS 32): who sees what, who may write what, in which form."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.daemon import Answer, Daemon, running

EVERYONE = "30795571-a470-4717-a80d-e8705fc776bf"
SDK = "enabled=true&types=config&types=config"
PASSWORD = "lovelace"
TIME = re.compile(r'"last_update":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000000\+00:00"')


def password_hash() -> str:
    import bcrypt

    return bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    tmp_path = tmp_path_factory.mktemp("vaults")
    people = [("ada", ["admins"]), ("jane", ["ds"]), ("bob", []), ("kim", [])]
    users = [{"username": name, "groups": groups, "password_hash": password_hash()} for name, groups in people]
    file = tmp_path / "team.yaml"
    file.write_text("sdk:\n  k: 5\n")
    vaults = {
        "groups": {"science": {"group": "ds"}, "pair": {"users": ["bob"], "id": "pair-id"}},
        "declared": {
            "base": {"data": "sdk.a = base", "description": "for all"},
            "team": {"scope": "group", "group": "science", "format": "yaml", "file": str(file)},
            "jane": {"scope": "user", "user": "jane", "data": "sdk.mine = 1"},
            "off": {"enabled": False, "data": "sdk.off = 1"},
        },
        "max_size": 4096,
        "history": 50,
    }
    environment = {
        "CLEARML__users": json.dumps(users),
        "CLEARML__clearml__credentials": json.dumps({"svc": {"role": "system", "user_key": "K", "user_secret": "s"}}),
        "CLEARML__admins": "group:admins",
        "CLEARML__vaults": json.dumps(vaults),
    }
    with running(tmp_path, environment=environment) as started:
        yield started


@pytest.fixture(autouse=True)
def nothing_left(daemon: Daemon) -> Iterator[None]:
    """Each test begins with the declared vaults alone; personal ones are empty again."""
    yield
    everything = [Client(daemon, name).vaults() for name in ("ada", "jane", "bob", "kim")]
    ids = {vault["id"] for vaults in everything for vault in vaults if vault["editable"]}
    administrator = Client(daemon, "ada")
    for vault_id in ids:
        administrator.save(id=vault_id, enabled=True, description="", format="hocon", data="")
    administrator.call("delete_vaults", vaults=list(ids))


class Client:
    def __init__(self, daemon: Daemon, name: str) -> None:
        self.daemon = daemon
        self.token = daemon.token(*(("K", "s") if name == "svc" else (name, PASSWORD)))

    def call(self, action: str, **fields: Any) -> Answer:
        headers = {"Content-Type": "application/json"}
        path = f"/{action if '.' in action else f'users.{action}'}"
        return self.daemon.call(path, bearer=self.token, method="PUT", body=json.dumps(fields), headers=headers)

    def save(self, group: str | None = None, user: str | None = None, **vault: Any) -> Answer:
        others = {"group": group, "user": user}
        return self.call("add_or_update_vault", vault=vault, **{key: value for key, value in others.items() if value})

    def saved(self, group: str | None = None, **vault: Any) -> str:
        answer = self.save(group, **vault)
        assert answer.status == 200, answer.body
        found: str = answer.data["vault"]
        return found

    def vaults(self, **fields: Any) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.call("get_vaults", **fields).data["vaults"]
        return listed

    def texts(self, **fields: Any) -> list[str]:
        return [vault["data"] for vault in self.vaults(**fields)]

    def applied(self) -> list[str]:
        return self.texts(enabled=True, types=["config"])


@pytest.fixture
def ada(daemon: Daemon) -> Client:
    return Client(daemon, "ada")


@pytest.fixture
def jane(daemon: Daemon) -> Client:
    return Client(daemon, "jane")


@pytest.fixture
def bob(daemon: Daemon) -> Client:
    return Client(daemon, "bob")


BASE, TEAM, MINE = "sdk.a = base", "sdk:\n  k: 5\n", "sdk.mine = 1"
CONVERTED = '{"sdk": {\n  "k": 5}}'


def test_golden_listing(ada: Client) -> None:
    """7.1 field for field, keys in order; what is empty and optional is left out."""
    vault_id = ada.saved(EVERYONE, scope="group", data='sdk.x: "s3://b/x"', description="S3", type="config")
    assert re.fullmatch("[0-9a-f]{32}", vault_id)
    body = ada.call("get_organization_vaults", enabled=True).body.decode().partition('"data":')[2]
    base, _, made = json.loads(f'{{"data":{body}')["data"]["vaults"]
    assert base == {
        "id": base["id"], "scope": "organization", "enabled": True, "type": "config", "format": "hocon",
        "description": "for all", "data": BASE, "editable": False,
    }  # fmt: skip
    expected = (
        f'{{"id":"{vault_id}","scope":"group","enabled":true,"type":"config","format":"hocon","description":"S3",'
        f'"data":"sdk.x: \\"s3://b/x\\"","group":"{EVERYONE}","group_name":"users",T,"editable":true}}'
    )
    assert expected in TIME.sub("T", body)
    assert list(made) == [
        "id", "scope", "enabled", "type", "format", "description", "data", "group", "group_name", "last_update",
        "editable",
    ]  # fmt: skip


def test_the_documented_commands(ada: Client) -> None:
    """11.2: the reference's curl lines, bodies copied verbatim."""
    create = (
        '{"group":"30795571-a470-4717-a80d-e8705fc776bf","vault":{"scope":"group","enabled":true,"data":"sdk.a: 1",'
        '"format":"hocon","type":"config"}}'
    )

    def put(action: str, body: str | None = None) -> Answer:
        headers = {"Content-Type": "application/json"} if body else {}
        return ada.daemon.call(f"/users.{action}", bearer=ada.token, method="PUT", body=body, headers=headers)

    created = put("add_or_update_vault", create).data
    assert list(created) == ["vault"]
    update = create.replace('"vault":{', f'"vault":{{"id":"{created["vault"]}",').replace("sdk.a: 1", "sdk.a: 2")
    assert put("add_or_update_vault", update).data == created
    assert "sdk.a: 2" in ada.texts()
    assert "sdk.a: 1" not in ada.texts()
    assert put("delete_vaults", json.dumps({"vaults": [created["vault"]]})).data == {"deleted": 1}
    assert put("delete_vaults", json.dumps({"vaults": [created["vault"]]})).data == {"deleted": 0}


def test_who_gets_what(ada: Client, jane: Client, bob: Client) -> None:
    """DECISIONS 32; order organization, group by creation, user; disabled ones are no business of non-admins."""
    ada.saved("pair-id", scope="group", data="g.pair = 1")
    ada.saved(scope="organization", data="o.later = 1")
    ada.saved("pair-id", scope="group", data="g.off = 1", enabled=False)
    assert jane.applied() == [BASE, "o.later = 1", CONVERTED, MINE, ""]
    assert jane.texts() == [BASE, "o.later = 1", TEAM, MINE, ""]
    assert bob.applied() == bob.texts() == [BASE, "o.later = 1", "g.pair = 1", ""]
    assert ada.applied() == [BASE, "o.later = 1", ""]
    everything = [BASE, "sdk.off = 1", "o.later = 1", TEAM, "g.pair = 1", "g.off = 1"]
    assert ada.texts() == [*everything, ""]
    organization = ada.call("get_organization_vaults").data["vaults"]
    assert [vault["data"] for vault in organization] == everything
    assert bob.call("get_organization_vaults").verdict == (403, 20)
    assert [vault["editable"] for vault in bob.vaults()] == [False, False, False, True]
    assert [vault["editable"] for vault in organization] == [False, False, True, False, True, True]
    service = Client(ada.daemon, "svc")
    assert service.applied() == [BASE, "o.later = 1", ""]


def test_a_personal_vault_is_its_owners(ada: Client, jane: Client, bob: Client) -> None:
    own = jane.vaults()[-1]["id"]
    assert jane.saved(scope="user", data="sdk:\n  x: ${HOME}", format="yaml") == own
    assert jane.saved(id=own, description="mine") == own
    shown = jane.vaults()[-1]
    assert (shown["id"], shown["format"], shown["data"], shown["description"]) == (own, "yaml", "sdk:\n  x: ${HOME}", "mine")
    delivered = jane.vaults(enabled=True)[-1]
    assert (delivered["format"], "HOME" in delivered["data"]) == ("hocon", True)
    for other in (bob, ada):
        assert own not in [vault["id"] for vault in other.vaults()]
    assert jane.saved(id=own, enabled=False) == own
    assert own not in [vault["id"] for vault in jane.vaults(enabled=True)]
    assert jane.vaults()[-1]["enabled"] is False, "the own one is shown, switched off or not"
    assert bob.save(id=own, data="stolen = 1").verdict == (403, 20)
    assert bob.call("delete_vaults", vaults=[own]).verdict == (403, 20)
    assert bob.save(user=jane.daemon.user(jane.token)["id"], scope="user", data="a = 1").verdict == (403, 20)


def test_other_types_are_passed_on_as_they_are(daemon: Daemon) -> None:
    kim = Client(daemon, "kim")
    kim.saved(scope="user", type="ssh", data="anything at all {", format="json")
    assert kim.texts() == [BASE, "", "anything at all {"]
    assert kim.texts(types=["ssh"]) == kim.texts(types=["ssh"], enabled=True) == ["anything at all {"]
    assert kim.applied() == [BASE, ""]
    ssh = kim.vaults()[-1]["id"]
    assert kim.save(id=ssh, type="config").verdict == (400, 12)
    assert kim.call("delete_vaults", vaults=[ssh]).data == {"deleted": 1}
    assert kim.texts() == [BASE, "", ""]


def test_administrators_write_for_others(ada: Client, jane: Client) -> None:
    user = jane.daemon.user(jane.token)["id"]
    own = jane.vaults()[-1]["id"]
    answer = ada.save(user=user, scope="user", data="sdk.gift = 1")
    assert answer.data == {"vault": own}
    assert jane.applied()[-1] == "sdk.gift = 1"
    assert ada.save(user="nobody", scope="user", data="a = 1").verdict == (400, 301)
    assert ada.call("delete_vaults", vaults=[own]).data == {"deleted": 1}
    assert jane.texts()[-1] == "", "it is emptied, and stays"
    assert jane.call("delete_vaults", vaults=[own]).data == {"deleted": 1}


def test_masked_previews(daemon: Daemon, ada: Client) -> None:
    """7.1 preview_data: string leaves masked; all of what cannot be read."""
    kim = Client(daemon, "kim")
    kim.saved(scope="user", data='sdk { key: secret1, n: 5, l: ["secret2", true, null], e = ${?SECRET3} }')
    kim.saved(scope="user", type="ssh", data="secret4 {")
    shown = kim.texts(preview_data=True)
    assert sorted(shown[1:]) == ["******", '{"sdk":{"key":"******","n":5,"l":["******",true,null],"e":"******"}}']
    assert "secret" not in kim.call("get_vaults", preview_data=True).body.decode().lower()
    assert "secret" not in kim.call("get_vaults", preview_data=True, enabled=True).body.decode().lower()
    ada.saved(scope="organization", data="sdk.key = secret5")
    assert b"secret5" not in ada.call("get_organization_vaults", preview_data=True).body


# who, vault, others, verdict, text of the answer
REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], tuple[int, int], str]] = [
    ("jane", {"scope": "group", "data": "a = 1"}, {"group": EVERYONE}, (403, 20), "role=user, allowed=(system, root, admin)"),
    ("jane", {"scope": "organization", "data": "a = 1"}, {}, (403, 20), "not allowed for role"),
    ("ada", {"id": "0" * 32, "data": "a = 1"}, {}, (400, 10), "Invalid object id"),
    ("jane", {"id": "0" * 32, "data": "a = 1"}, {}, (400, 10), "Invalid object id"),
    ("ada", {"scope": "group", "data": "a = 1"}, {"group": "unknown"}, (400, 12), "'group'"),
    ("ada", {"scope": "group", "data": "a = 1"}, {}, (400, 12), "'group'"),
    ("ada", {"data": "a = 1"}, {"group": EVERYONE}, (400, 12), "'group'. is for scope group alone"),
    ("ada", {"scope": "world", "data": "a = 1"}, {}, (400, 12), "'scope'"),
    ("jane", {"data": "a = 1", "format": "xml"}, {}, (400, 12), "'format'. expected hocon, json, yaml"),
    ("jane", {"data": "a = 1", "type": ""}, {}, (400, 12), "'type'"),
    ("jane", {"data": "a = 1", "type": "x" * 65}, {}, (400, 12), "'type'"),
    ("jane", {"data": "a = 1", "description": "x" * 5000}, {}, (400, 12), "'description'"),
    ("jane", {"data": {"a": 1}}, {}, (400, 12), "'data'. expected a string"),
    ("jane", {"data": "a = 1", "enabled": "yes"}, {}, (400, 12), "'enabled'"),
    ("jane", {"data": "a = \ud800"}, {}, (400, 12), "'data'"),
    ("jane", {"data": "\n\n  a = {"}, {}, (400, 12), "'data'. line 3, column "),
    ("jane", {"data": "a: [1", "format": "yaml"}, {}, (400, 12), "'data'. line "),
    ("jane", {"data": "x" * 5000}, {}, (400, 12), "5000 bytes, and may have 4096 (vaults.max_size)"),
    ("ada", {"scope": "organization", "data": "api.credentials.access_key = k"}, {}, (400, 12), "api.credentials"),
    ("jane", {"data": 'include "/etc/passwd"'}, {}, (400, 12), "'data'"),
]


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: f"{row[0]} {str(row[1])[:40]}")
def test_refused(daemon: Daemon, row: tuple[str, dict[str, Any], dict[str, Any], tuple[int, int], str]) -> None:
    """7.1 and 2.2: nothing is stored, and the answer does not quote the text."""
    who, vault, others, verdict, text = row
    client = Client(daemon, who)
    before = client.vaults()
    answer = client.call("add_or_update_vault", vault=vault, **others)
    assert answer.verdict == verdict
    assert text in answer.meta["result_msg"]
    assert "passwd" not in answer.meta["result_msg"]
    assert client.vaults() == before


def test_missing_and_malformed_fields(jane: Client) -> None:
    assert jane.call("add_or_update_vault").meta["result_msg"].endswith("'vault'. field is required!)")
    assert jane.call("add_or_update_vault", vault="text").verdict == (400, 12)
    assert jane.call("delete_vaults").verdict == (400, 12)
    assert jane.call("delete_vaults", vaults=[5]).verdict == (400, 12)
    assert jane.call("delete_vaults", vaults=[]).data == {"deleted": 0}


def test_an_update_leaves_what_is_not_given(ada: Client) -> None:
    vault_id = ada.saved(EVERYONE, scope="group", data="sdk:\n  k: 1", format="yaml", description="d", enabled=False)
    assert ada.saved(id=vault_id, enabled=True) == vault_id
    [found] = [vault for vault in ada.vaults() if vault["id"] == vault_id]
    assert (found["data"], found["format"], found["description"], found["enabled"]) == ("sdk:\n  k: 1", "yaml", "d", True)
    assert ada.save(id=vault_id, scope="organization").verdict == (400, 12)
    assert ada.saved("pair-id", id=vault_id) == vault_id
    [found] = [vault for vault in ada.vaults() if vault["id"] == vault_id]
    assert (found["group"], found["group_name"]) == ("pair-id", "pair")


def test_declared_vaults_are_read_only(ada: Client, jane: Client, bob: Client) -> None:
    by_text = {vault["data"]: vault["id"] for vault in (*ada.vaults(), *jane.vaults())}
    for text in (BASE, TEAM, MINE):
        for answer in (ada.save(id=by_text[text], data="a = 1"), ada.call("delete_vaults", vaults=[by_text[text]])):
            assert answer.verdict == (400, 12)
            assert "declared in the configuration (vaults.declared." in answer.meta["result_msg"]
        assert bob.save(id=by_text[text], data="a = 1").verdict == (403, 20)
    assert "/" not in ada.save(id=by_text[TEAM], data="a = 1").meta["result_msg"].partition("vaults.declared")[2]
    assert "restart" not in ada.texts()


def test_declared_files_are_followed(daemon: Daemon, jane: Client) -> None:
    """configuration.md 1.6; a text that cannot be delivered leaves the old one in force."""
    tmp_path, before = daemon.directory, (daemon.directory / "team.yaml").read_text()
    (tmp_path / "team.yaml").write_text("sdk:\n  k: 6\n  l: 7\n")
    daemon.wait_for("configuration applied")
    assert jane.texts()[1] == "sdk:\n  k: 6\n  l: 7\n"
    (tmp_path / "team.yaml").write_text("sdk:\n  k: [6\n  broken: 1\n")
    daemon.wait_for("reload failed")
    assert f"{tmp_path}/team.yaml:3" in daemon.log
    assert jane.texts()[1] == "sdk:\n  k: 6\n  l: 7\n"
    (tmp_path / "team.yaml").write_text(before)
    daemon.signal(signal.SIGHUP)
    daemon.wait_for("generation 3, serving")
    assert jane.texts()[1] == before


def test_changes_are_recorded_without_texts(daemon: Daemon, ada: Client) -> None:
    vault_id = ada.saved(EVERYONE, scope="group", data="sdk.a = planted_text")
    ada.call("delete_vaults", vaults=[vault_id])
    for action in ("vault.write", "vault.delete"):
        event = daemon.wait_for_event(action=action, target=vault_id)
        assert (event["user"], event["outcome"]) == ("ada", "success")
    assert "planted_text" not in daemon.log


def test_impersonation(daemon: Daemon, ada: Client, jane: Client) -> None:
    """clearml.md 2: become somebody with their role, or act for them with the own one."""
    user = daemon.user(jane.token)["id"]

    def listed(header: str) -> list[str]:
        answer = daemon.call(f"/users.get_vaults?{SDK}", bearer=ada.token, headers={f"X-Clearml-{header}": user})
        return [vault["data"] for vault in answer.data["vaults"]]

    assert listed("Impersonate-As") == listed("Act-As") == jane.applied()
    body = json.dumps({"vault": {"scope": "organization", "data": "a = 1"}})
    for header, status in (("Impersonate-As", 403), ("Act-As", 200)):
        headers = {f"X-Clearml-{header}": user}
        answer = daemon.call("/users.add_or_update_vault", bearer=ada.token, method="POST", body=body, headers=headers)
        assert answer.status == status


def test_writers_at_once_lose_nothing(daemon: Daemon, ada: Client) -> None:
    """Acceptance 5: the later one wins, and every version is kept."""
    vault_id = ada.saved(EVERYONE, scope="group", data="n = start")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: ada.save(id=vault_id, data=f"n = {number}"), range(24)))
    assert {answer.status for answer in answers} == {200}
    assert len([text for text in ada.texts() if text.startswith("n = ")]) == 1
    daemon.stop()

    async def versions() -> list[str]:
        from gateway.store.sealing import Sealer, load_master_key
        from gateway.store.sqlite import SqliteStore

        state = daemon.directory / "state"
        store = SqliteStore.open(state / "gateway.db", sealer=Sealer(load_master_key(state, None)))
        try:
            last = await store.vault(vault_id)
            assert last is not None
            return [last.text, *(version.text for version in await store.vault_versions(vault_id))]
        finally:
            await store.close()

    texts = asyncio.run(versions())
    daemon.start()
    assert texts[-1] == "n = start"
    assert sorted(texts[:-1]) == sorted(f"n = {number}" for number in range(24))


def test_a_write_is_seen_at_once_and_after_a_kill(daemon: Daemon, ada: Client, jane: Client) -> None:
    """Acceptance 5: an acknowledged write survives SIGKILL."""
    for number in range(20):
        jane.saved(scope="user", data=f"n = {number}")
        assert jane.applied()[-1] == f"n = {number}"
    daemon.kill()
    daemon.start()
    assert jane.applied()[-1] == "n = 19"


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate", "deflate"),
        ("Deflate;q=0.5", "deflate"),
        ("gzip, deflate;q=0", None),
        ("deflate;q=0.000", None),
        ("deflated", None),
        ("", None),
    ],
)
def test_large_answers_are_compressed_for_who_takes_that(ada: Client, accepted: str, encoding: str | None) -> None:
    """RFC 9110 8.4.1.2, 12.5.3: the same bytes either way; SDKs send ``gzip, deflate``."""
    for number in range(3):
        ada.saved(EVERYONE, scope="group", data=f'sdk.k{number} = "{"é" * 1900}"')
    path, headers = f"/users.get_vaults?{SDK}", {"X-Clearml-Trx": "t", "Accept-Encoding": accepted}
    answer = ada.daemon.call(path, bearer=ada.token, headers=headers)
    assert answer.headers["Content-Encoding"] == encoding
    assert "Accept-Encoding" in answer.headers.get_all("Vary", [])
    body = zlib.decompress(answer.body) if encoding else answer.body
    plain = ada.daemon.call(path, bearer=ada.token, headers={"X-Clearml-Trx": "t"}).body
    assert re.sub(rb'"id":"[0-9a-f]{32}"', b"", body, count=1) == re.sub(rb'"id":"[0-9a-f]{32}"', b"", plain, count=1)
    assert (len(answer.body) < len(plain) // 10) == bool(encoding)


def test_answers_given_again_are_never_stale(daemon: Daemon, ada: Client, jane: Client) -> None:
    """DESIGN 4.2: a known token asks the same again; a write, a logout, another caller or header is another question."""
    path = f"/users.get_vaults?{SDK}"

    def asked(**options: Any) -> list[str]:
        return [vault["data"] for vault in daemon.call(path, bearer=jane.token, **options).data["vaults"]]

    for _ in range(3):
        answers = [daemon.call(path, bearer=jane.token, headers={"X-Clearml-Trx": f"t{n}"}) for n in range(2)]
        assert [answer.meta["trx"] for answer in answers] == ["t0", "t1"]
        assert answers[0].meta["id"] != answers[1].meta["id"]
        assert [vault["data"] for vault in answers[1].data["vaults"]] == [BASE, CONVERTED, MINE, ""]
    ada.saved(scope="organization", data="o.new = 1")
    assert asked() == [BASE, "o.new = 1", CONVERTED, MINE, ""]
    assert asked(body='{"types":["ssh"]}') == asked(), "the query overlays the body"
    assert [vault["data"] for vault in daemon.call("/users.get_vaults", bearer=jane.token).data["vaults"]][1] == "o.new = 1"
    assert [vault["data"] for vault in daemon.call(path, bearer=ada.token).data["vaults"]] == [BASE, "o.new = 1", ""]
    user = daemon.user(jane.token)["id"]
    for _ in range(2):
        for header in ("X-Clearml-Impersonate-As", "X-Trains-Act-As"):
            answer = daemon.call(path, bearer=ada.token, headers={header: user})
            assert len(answer.data["vaults"]) == 5
            assert daemon.call(path, bearer=jane.token, headers={header: user}).verdict == (400, 6)
    old = daemon.call(f"/v2.0{path}", bearer=jane.token)
    assert old.meta["endpoint"]["requested_version"] == 2.0
    other = Client(daemon, "jane")
    assert daemon.call(path, bearer=other.token).status == 200
    assert daemon.call("/login.logout", bearer=jane.token).status == 200
    assert daemon.call(path, bearer=jane.token).verdict == (401, 30)
    assert daemon.call(path, bearer=other.token).status == 200
    assert daemon.call(path, bearer=jane.token[:-2] + "xx").verdict == (401, 30)


def test_an_answer_ends_with_its_token(daemon: Daemon) -> None:
    token = daemon.login("jane", PASSWORD, body='{"expiration_sec":2}').data["token"]
    deadline = time.monotonic() + 20
    assert daemon.call(f"/users.get_vaults?{SDK}", bearer=token).status == 200
    while (answer := daemon.call(f"/users.get_vaults?{SDK}", bearer=token)).status == 200:
        assert time.monotonic() < deadline, "it is good for ever"
        time.sleep(0.1)
    assert answer.verdict == (401, 30)
