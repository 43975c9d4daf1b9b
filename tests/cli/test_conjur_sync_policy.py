"""``ldap-gateway conjur sync-policy`` (conjur.md 5, 7): what a YAML reader makes of its output, from a real slapd."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli import main
from gateway.grants.conjur_policy import Draft, GroupEntry, PersonEntry
from gateway.printable import printable
from tests.directories.process import free_port
from tests.directories.slapd import BASE_DN, SERVICE_DN, SERVICE_PASSWORD, Slapd

ROOT = Path(__file__).parents[2]
PEOPLE, GROUPS = f"ou=people,{BASE_DN}", f"ou=groups,{BASE_DN}"
_UNITS = ("people", "groups", "services", "left")
SUFFIX = "\n\n".join((
    f"dn: {BASE_DN}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example",
    *(f"dn: ou={name},{BASE_DN}\nobjectClass: organizationalUnit\nou: {name}" for name in _UNITS),
    f"dn: {SERVICE_DN}\nobjectClass: simpleSecurityObject\nobjectClass: device\ncn: svc\nuserPassword: {SERVICE_PASSWORD}",
))  # fmt: skip


# A reader of policy text that knows nothing of who wrote it


class _Policy(yaml.SafeLoader):
    """Reads Conjur's tags: a scalar is the id of a record, a mapping its fields."""


def _record(loader: _Policy, kind: str, node: yaml.Node) -> tuple[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return kind, node.value
    assert isinstance(node, yaml.MappingNode)
    return kind, loader.construct_mapping(node, deep=True)


_Policy.add_multi_constructor("!", _record)


class Read:
    """What a policy comes to."""

    def __init__(self, text: str) -> None:
        self.users: dict[str, dict[str, str]] = {}
        self.groups: dict[str, dict[str, str]] = {}
        self.grants: list[tuple[str, tuple[str, str]]] = []
        self.policies: list[dict[str, Any]] = []
        for kind, fields in yaml.load(text, _Policy) or []:
            if kind == "grant":
                assert fields["role"][0] == "group"
                self.grants.append((fields["role"][1], fields["member"]))
            elif kind == "policy":
                self.policies.append(fields)
            else:
                known = {"user": self.users, "group": self.groups}[kind]
                assert fields["id"] not in known
                known[fields["id"]] = fields["annotations"]


# The directory


def person(name: str, *, ou: str = "people", rdn: str = "", **more: object) -> str:
    dn = f"uid={rdn or name},ou={ou},{BASE_DN}"
    lines = [f"dn: {dn}", "objectClass: inetOrgPerson"]
    if "uidNumber" in more:
        lines += ["objectClass: posixAccount", "gidNumber: 1", "homeDirectory: /"]
    return "\n".join([*lines, f"uid: {name}", "cn: x", "sn: x", *(f"{key}: {value}" for key, value in more.items())])


def group(name: str, members: Iterable[str], *, ou: str = "groups", rdn: str = "", kind: str = "groupOfNames") -> str:
    attribute = {"groupOfNames": "member", "groupOfUniqueNames": "uniqueMember", "posixGroup": "memberUid"}[kind]
    number = ["gidNumber: 7"] if kind == "posixGroup" else []
    values = [f"{attribute}: {member}" for member in members]
    return "\n".join([f"dn: cn={rdn or name},ou={ou},{BASE_DN}", f"objectClass: {kind}", f"cn: {name}", *number, *values])


def uid(name: str, ou: str = "people") -> str:
    return f"uid={name},ou={ou},{BASE_DN}"


# what a person is called, how that stands in the DN, whether it is a user (conjur.md 7; names of real directories)
NAMES = [
    ("nina", "nina", True),
    ("Ada.Lovelace-1", "Ada.Lovelace-1", True),
    ("yes", "yes", True),
    ("null", "null", True),
    ("1234", "1234", True),
    ("1e3", "1e3", True),
    ("2024-01-01", "2024-01-01", True),
    ("nina@example.com", "nina@example.com", True),
    ("two words", "two words", True),
    ("a: b", "a: b", True),
    ("user:root", "user:root", True),
    ("x #y", "x \\23y", True),
    ("{x}", "{x}", True),
    ("[x], y", "[x]\\, y", True),
    ("- x", "- x", True),
    ("!x", "!x", True),
    ("&x", "&x", True),
    ("*x", "*x", True),
    ("%x", "%x", True),
    ("'x'", "'x'", True),
    ('say "hi"', 'say \\"hi\\"', True),
    ("back\\slash", "back\\5cslash", True),
    ("bjørn", "bjørn", True),
    ("日本", "日本", True),
    ("😀", "😀", True),
    ("apps/backup", "apps/backup", False),
    ("host/x", "host/x", False),
    ("admin", "admin", False),
    ("tab\there", "tab\\09here", False),
    ("bell\x07", "bell\\07", False),
    ("zero\u200bwidth", "zero\u200bwidth", False),
]


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    ldif = [
        SUFFIX,
        *(person(name, rdn=rdn) for name, rdn, _ in NAMES),
        person("numbered", uidNumber=1001),
        person("twice"), person("Twice", ou="left"),
        person("elsewhere", ou="left"),
        group("ops", [uid("nina"), uid("1234"), uid("nobody"), uid("twice"), f"cn=nested,{GROUPS}", f"cn=ops,{GROUPS}"]),
        group("nested", [uid("numbered"), uid("NINA").upper()]),
        group("unique", [uid("nina")], kind="groupOfUniqueNames"),
        group("build", ["nina", "numbered", "ghost"], kind="posixGroup"),
        group("conjur/authn-ldap/corp/clients", [uid("nina")]),
        group("on", [uid("bjørn")]),
        group("same", [uid("nina")]), group("Same", [uid("1234")], ou="left"),
    ]  # fmt: skip
    with Slapd.start("\n\n".join(ldif), directory=tmp_path_factory.mktemp("sync") / "slapd") as started:
        yield started


def write(tmp_path: Path, slapd: Slapd, conjur: str = "", **changes: object) -> Path:
    server = slapd.server(**{"search_base_dns": [BASE_DN], "search_filter": "(uid=%s)", **changes})
    file = tmp_path / "gateway.yaml"
    text = yaml.safe_dump({"servers": [server]}) + (f"conjur:\n{conjur}" if conjur else "")
    file.write_text(text)
    return file


def run_here(capsys: pytest.CaptureFixture[str], file: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr, without the cost of a process."""
    code = main(["conjur", "sync-policy", "-c", str(file), *arguments])
    output = capsys.readouterr()
    assert SERVICE_PASSWORD not in output.out + output.err
    return code, output.out, output.err


def sync_policy(file: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-m", "gateway", "conjur", "sync-policy", "-c", str(file),
         *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", **environment},
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, encoding="utf-8",
    )  # fmt: skip
    for output in (done.stdout, done.stderr):
        assert SERVICE_PASSWORD not in output
        assert "Traceback" not in output, output
    return done


@pytest.fixture(scope="module")
def whole(slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    return sync_policy(write(tmp_path_factory.mktemp("whole"), slapd))


@pytest.mark.parametrize(("name", "usable"), [(name, usable) for name, _, usable in NAMES], ids=range(len(NAMES)))
def test_a_name_is_read_back_exactly_or_left_out(
    whole: subprocess.CompletedProcess[str], name: str, usable: bool
) -> None:
    assert whole.returncode == 0, whole.stderr
    assert (name in Read(whole.stdout).users) is usable, whole.stderr
    told = [line for line in whole.stderr.splitlines() if line.startswith("left out: uid=")]
    assert any(line.endswith(f": {printable(name)}") for line in told) is not usable


def test_annotations_tell_where_a_user_came_from(whole: subprocess.CompletedProcess[str], slapd: Slapd) -> None:
    found = Read(whole.stdout)
    source = {"ldap-sync/source": f"127.0.0.1:{slapd.port}"}
    assert found.users["numbered"] == {**source, "ldap-sync/upstream-dn": uid("numbered"), "ldap-sync/uid-number": "1001"}
    assert found.users["nina"] == {**source, "ldap-sync/upstream-dn": uid("nina")}
    assert found.groups["ops"] == {**source, "ldap-sync/upstream-dn": f"cn=ops,{GROUPS}"}


def test_memberships_by_dn_by_uid_and_of_groups(whole: subprocess.CompletedProcess[str]) -> None:
    assert sorted(Read(whole.stdout).grants) == [
        ("build", ("user", "nina")), ("build", ("user", "numbered")),
        ("nested", ("user", "nina")), ("nested", ("user", "numbered")),
        ("on", ("user", "bjørn")),
        ("ops", ("group", "nested")), ("ops", ("user", "1234")), ("ops", ("user", "nina")),
        ("unique", ("user", "nina")),
    ]  # fmt: skip
    assert "left out: group ops: 2 of its members are no user and no group" in whole.stderr  # nobody, twice
    assert "left out: group build: 1 of its members" in whole.stderr  # ghost


def test_two_of_a_name_are_nobody(whole: subprocess.CompletedProcess[str]) -> None:
    """DECISIONS 4 and 9: neither two people nor two groups become one."""
    found = Read(whole.stdout)
    assert not {"twice", "Twice"} & found.users.keys()
    assert not {"same", "Same"} & found.groups.keys()
    assert f"2 entries have this name: {uid('Twice', 'left')}; {uid('twice')}" in whole.stderr
    assert "group Same: 2 entries have this name" in whole.stderr


def test_no_group_slips_into_a_policy_of_conjurs_own(whole: subprocess.CompletedProcess[str]) -> None:
    assert "conjur/authn-ldap/corp/clients" not in Read(whole.stdout).groups
    assert "its name has a /" in whole.stderr


def test_the_same_text_each_time_and_in_any_locale(
    whole: subprocess.CompletedProcess[str], slapd: Slapd, tmp_path: Path
) -> None:
    file = write(tmp_path, slapd)
    assert sync_policy(file, "corp").stdout == whole.stdout
    ascii_only = sync_policy(file, PYTHONUTF8="0", LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="ascii")
    assert ascii_only.stdout.isascii()
    assert Read(ascii_only.stdout).users == Read(whole.stdout).users


def test_filters_bases_and_attributes_of_conjur_sync(
    slapd: Slapd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """configuration.md 1.6; overlapping bases count an entry once."""
    conjur = f"""\
  sync:
    user_filter: (uidNumber=*)
    group_filter: (objectClass=posixGroup)
    user_attr: uidNumber
    base_dns: ["{PEOPLE}", "{BASE_DN}"]
"""
    found = Read(run_here(capsys, write(tmp_path, slapd, conjur))[1])
    assert list(found.users) == ["1001"]
    assert list(found.groups) == ["build"]
    assert found.grants == [("build", ("user", "1001"))]


# what conjur.services.corp.allow is, who is in the group of the authenticator (conjur.md 5)
ALLOWED = [
    ("all", {"nina", "numbered", "elsewhere", "bjørn"}, set()),
    ('["user:NINA", "group:nested"]', {"nina", "numbered"}, {"elsewhere", "bjørn"}),
    (f'["group:cn=nested,{GROUPS}"]', {"nina", "numbered"}, {"elsewhere"}),
    ('["user:nobody"]', set(), {"nina"}),
    (f'["group:cn=same,{GROUPS}"]', {"nina"}, {"1234"}),  # though neither of two groups of this name is in the text
]


@pytest.mark.parametrize(("allow", "inside", "outside"), ALLOWED)
def test_the_policy_of_the_authenticator(
    slapd: Slapd, tmp_path: Path, capsys: pytest.CaptureFixture[str], allow: str, inside: set[str], outside: set[str]
) -> None:
    conjur = f"  account: myorg\n  services:\n    corp: {{allow: {allow}}}\n"
    code, text, errors = run_here(capsys, write(tmp_path, slapd, conjur), "--authn-policy")
    assert code == 0, errors
    found = Read(text)
    assert found.policies == [{
        "id": "conjur/authn-ldap/corp",
        "body": [
            ("webservice", ""),
            ("group", "clients"),
            ("permit", {
                "role": ("group", "clients"),
                "privilege": ["read", "authenticate"],
                "resource": ("webservice", ""),
            }),
        ],
    }]  # fmt: skip
    clients = {member for role, member in found.grants if role == "conjur/authn-ldap/corp/clients"}
    assert {("user", name) for name in inside} <= clients
    assert not {("user", name) for name in outside} & clients


# the server, allow, the names let in, entries that let in nobody; conjur.md 5: as a login decides (DECISIONS 9, 37)
_SEARCHED: dict[str, object] = {
    "group_search_filter": "(&(objectClass=groupOfNames)(member={{.UserDN}}))", "group_search_base_dns": [GROUPS],
}  # fmt: skip
CLIENTS: list[tuple[dict[str, object], list[str], set[str], list[str]]] = [
    ({}, ["group:nested", f"group:cn=same,{GROUPS}"], {"nina", "numbered"}, []),
    ({}, ["group:SAME"], {"nina", "1234"}, []),  # memberOf names both
    ({"group_search_base_dns": [GROUPS]}, ["group:same"], {"nina"}, []),
    ({"nested_groups": True}, ["group:ops"], {"nina", "1234", "numbered", "twice"}, []),
    (_SEARCHED, ["group:nested"], {"nina", "numbered"}, []),
    (_SEARCHED, ["group:unique", "user:bjørn"], {"bjørn"}, ["group:unique"]),
    ({}, ["group:nestd", "user:nina", f"group:cn=nested,ou=group,{BASE_DN}", "user:ghost"], {"nina"},
     ["group:nestd", f"group:cn=nested,ou=group,{BASE_DN}", "user:ghost"]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "allow", "inside", "fruitless"), CLIENTS, ids=range(len(CLIENTS)))
def test_clients_are_those_whom_a_login_lets_in(
    slapd: Slapd, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    changes: dict[str, object], allow: list[str], inside: set[str], fruitless: list[str],
) -> None:  # fmt: skip
    """People are below one base and their groups below another, as in most directories."""
    conjur = yaml.safe_dump({"account": "myorg", "services": {"corp": {"allow": allow}}})
    file = write(tmp_path, slapd, "".join(f"  {line}" for line in conjur.splitlines(keepends=True)),
                 search_base_dns=[PEOPLE], **changes)  # fmt: skip
    code, text, errors = run_here(capsys, file, "--authn-policy")
    assert code == 0, errors
    grants = Read(text).grants
    assert {name for role, (_, name) in grants if role == "conjur/authn-ldap/corp/clients"} == inside
    told = [line for line in errors.splitlines() if "conjur.services.corp.allow" in line]
    assert [line.partition("allow: ")[2] for line in told] == [
        f"{entry} lets in nobody of those who were read" for entry in fruitless
    ]
    assert all(line.startswith(f"warning: {file}:") for line in told)
    has_groups = "group_search_base_dns" in changes
    assert ("there are no groups" in errors) is not has_groups
    assert has_groups or f"finds none below {PEOPLE}; see conjur.sync.group_filter, and conjur.sync.base_dns" in errors


def test_pages_go_beyond_the_size_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """RFC 2696: slapd gives 500 entries at once and no more, in pages all 2500; a group of them all."""
    many = [f"p{number:04}" for number in range(2500)]
    ldif = [SUFFIX, *map(person, many), group("everybody", map(uid, many))]
    slapd = Slapd.start("\n\n".join(ldif), directory=tmp_path / "slapd")
    try:
        slapd.stop()
        configuration = tmp_path / "slapd" / "slapd.conf"
        limits = "sizelimit 500\nlimits users size.soft=500 size.hard=500 size.prtotal=unlimited\naccess to attrs"
        configuration.write_text(configuration.read_text().replace("access to attrs", limits, 1))
        slapd.run()
        code, text, errors = run_here(capsys, write(tmp_path, slapd))
        assert (code, errors) == (0, "")
        found = Read(text)
        assert sorted(found.users) == many
        assert [member for _, (_, member) in found.grants] == many

        configuration.write_text(configuration.read_text().replace("size.prtotal=unlimited", "size.prtotal=hard"))
        slapd.restart()
        code, text, errors = run_here(capsys, write(tmp_path, slapd))
        assert (code, text) == (1, "")
        assert "server corp: search below" in errors
        assert "sizeLimitExceeded" in errors
    finally:
        slapd.stop()


# changes to the server, arguments, conjur, exit code, what is said
REFUSED: list[tuple[dict[str, object], list[str], str, int, str]] = [
    ({}, ["other"], "", 2, "there is no server other; known: corp"),
    ({"urls": [f"ldap://127.0.0.1:{free_port()}"]}, [], "", 1, "server corp: "),
    ({"bind_password": "wrong"}, [], "", 1, "server corp: "),
    ({"bind_dn": f"uid=%s,{PEOPLE}", "bind_password": ""}, [], "", 2, "set servers.corp.bind_dn and bind_password"),
    ({"search_base_dns": [f"ou=none,{BASE_DN}"]}, [], "", 1, "noSuchObject"),
    ({}, ["--authn-policy"], "", 2, "conjur.services has no corp"),
    ({}, [], "  sync: {user_filter: (uid=%s)}\n", 78, "conjur.sync.user_filter"),
    ({}, [], "  sync: {group_filter: (cn=}\n", 78, "conjur.sync.group_filter"),
    ({}, [], "  sync: {base_dns: [nonsense]}\n", 78, "conjur.sync.base_dns"),
    ({"search_filter": "(uid>=%s)"}, [], "", 2, "set conjur.sync.user_filter"),
]


@pytest.mark.parametrize(
    ("changes", "arguments", "conjur", "code", "said"), REFUSED, ids=[f"{index}" for index in range(len(REFUSED))]
)
def test_nothing_is_printed_where_something_is_wrong(
    slapd: Slapd, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, object],
    arguments: list[str], conjur: str, code: int, said: str,
) -> None:  # fmt: skip
    done = run_here(capsys, write(tmp_path, slapd, conjur, **changes), *arguments)
    assert done[:2] == (code, ""), done
    assert said in done[2]


# The text alone


@given(st.lists(st.text(min_size=1), max_size=5), st.text())
def test_any_text_survives(names: list[str], dn: str) -> None:
    """Whatever a directory holds: names come back as they are or not at all, and DNs in any case."""
    draft = Draft("h:1")
    for index, name in enumerate(names):
        draft.add_person(PersonEntry(name, f"{index}{dn}", (), "007"))
        draft.add_group(GroupEntry(name, f"g{index}{dn}", (f"{index}{dn}",), ()))
    text = "\n".join(draft.finish().lines())
    assert len(text.splitlines()) == text.count("\n") + bool(text)
    found = Read(text)
    assert set(found.users) <= set(names)
    assert set(found.groups) <= set(names)
    for fields in found.users.values():
        assert fields["ldap-sync/upstream-dn"][1:] == dn
        assert fields["ldap-sync/uid-number"] == "007"
