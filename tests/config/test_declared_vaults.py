"""``vaults.declared`` and ``vaults.groups`` at load (configuration.md 1.6): checked as the API checks, with places."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.config.load import ConfigurationError, load

USERS = 'users = [{ username = ada, disabled = true }]\n'
# what it proves, vaults, the problem
REFUSED = [
    ("a text is needed", "declared.a {}", "gateway.conf:2:19: vaults.declared.a: needs data or file"),
    ("not both", 'declared.a { data = "a = 1", file = good.conf }', "vaults.declared.a.file: cannot be given together with data"),
    ("the file is there", "declared.a.file = missing.conf", "missing.conf: cannot be read: No such file or directory"),
    ("place in the file", "declared.a.file = bad.conf", "bad.conf:3:1: vaults.declared.a.file: "),
    ("place in the text", 'declared.a.data = """x = 1\\n  y = {"""', "vaults.declared.a.data: line 2, column 8 of the text: "),
    ("YAML is read as YAML", "declared.a { file = bad.yaml, format = yaml }", "bad.yaml:3:"),
    ("not UTF-8", "declared.a.file = latin.conf", "latin.conf:1:5: vaults.declared.a.file: not UTF-8 text"),
    ("credentials are nobody's but the owner's", 'declared.a.data = "api.credentials.k = planted"', "api.credentials must not be given to others"),
    ("no larger than others", "max_size = 1024, declared.a.file = large.conf", "larger than vaults.max_size (1024 bytes)"),
    ("a group of that name", "declared.a { scope = group, group = x, file = good.conf }", "there is no group x: declare it in vaults.groups"),
    ("a group at all", "declared.a { scope = group, file = good.conf }", "is needed with scope group"),
    ("for nobody else", "declared.a { group = users, file = good.conf }", "is for scope group alone"),
    ("a person at all", "declared.a { scope = user, file = good.conf }", "is needed with scope user"),
    ("one id, one group", "groups { a.id = x, b.id = x }", "vaults.groups.b.id: is the same as of a"),
]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "good.conf").write_text("sdk.a = 1\n")
    (tmp_path / "bad.conf").write_text("x = 1\ny = {\n")
    (tmp_path / "bad.yaml").write_text("a:\n  b: 1\n c: 2\n")
    (tmp_path / "latin.conf").write_bytes("a = é".encode("latin-1"))
    (tmp_path / "large.conf").write_text("a = " + "x" * 2000)
    return tmp_path


def written(directory: Path, vaults: str) -> Path:
    file = directory / "gateway.conf"
    file.write_text(f"{USERS}vaults {{ {vaults.replace(chr(92) + 'n', chr(10))} }}\n")
    return file


@pytest.mark.parametrize(("proves", "vaults", "problem"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused(directory: Path, proves: str, vaults: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load([written(directory, vaults)], {})
    errors = [str(found) for found in caught.value.problems if found.severity == "error"]
    assert len(errors) == 1, proves
    assert problem in errors[0], proves
    assert "planted" not in errors[0]


def test_read_and_watched(directory: Path) -> None:
    """Relative to the file that names it; recorded, so that a change is a change of the configuration."""
    vaults = 'declared { a { file = good.conf }, b { scope = user, user = ada, data = "api.credentials.k = v" } }'
    snapshot = load([written(directory, vaults)], {})
    declared = snapshot.configuration.vaults.declared
    assert declared["a"].data.reveal() == "sdk.a = 1\n"
    assert directory / "good.conf" in snapshot.contents
    assert "credentials.k" not in repr(snapshot.configuration)


# vaults, the warning
DOUBTFUL = [
    ("groups.a {}", "vaults.groups.a: nobody is in it: give group, group_dn or users"),
    ("groups.a.users = [adda]", "vaults.groups.a.users.0: NAME is for local users, and this is none: write SERVER/NAME"),
    ("groups.a.users = [ada, crop/grace]", "vaults.groups.a.users.1: there is no server crop"),
    ("groups.a.group = crop/team", "vaults.groups.a.group: there is no server crop"),
    ("declared.a { scope = user, user = adda, file = good.conf }", "vaults.declared.a.user: NAME is for local users"),
    ("declared.a { scope = user, user = crop/ada, file = good.conf }", "vaults.declared.a.user: there is no server crop"),
    ("declared.a { type = confg, file = good.conf }", "vaults.declared.a.type: no ClearML SDK or agent asks"),
    ("declared.a { company = acme, file = good.conf }", "vaults.declared.a.company: nobody is of this company"),
]


@pytest.mark.parametrize(("vaults", "warning"), DOUBTFUL)
def test_what_reaches_nobody_is_a_warning(directory: Path, vaults: str, warning: str) -> None:
    found = [str(found) for found in load([written(directory, vaults)], {}).warnings if "vaults." in str(found)]
    assert len(found) == 1 and warning in found[0], found


SYNCED = "servers = [{ name = corp, host = h, search_base_dns = [\"dc=x\"], clearml.groups.enabled = true }]\n"


def test_what_may_reach_somebody_is_none(directory: Path) -> None:
    vaults = 'groups { users {}, a {}, b { group = team }, c { users = [ada, "corp/x"], group = "corp/team" } }'
    vaults += f', declared.a {{ company = {"d1bd92a3b039400cbafc60a7a5b1e52b"}, file = good.conf }}'
    file = written(directory, vaults)
    file.write_text(SYNCED + file.read_text())
    assert not [str(found) for found in load([file], {}).warnings if "vaults." in str(found)]


def test_remarks_are_warnings_with_their_place(directory: Path) -> None:
    (directory / "odd.conf").write_text('x = 1\nl = ["", "y"]\n')
    warnings = [str(found) for found in load([written(directory, "declared.a.file = odd.conf")], {}).warnings]
    assert any(f"{directory}/odd.conf:2:" in warning and "empty strings" in warning for warning in warnings)


def test_from_the_environment(directory: Path) -> None:
    """1.1: as one JSON object, or key by key."""
    given = {"a": {"data": "x = 1"}}
    environment = {"CLEARML__vaults__declared": json.dumps(given), "CLEARML__vaults__declared__a__format": "json"}
    with pytest.raises(ConfigurationError, match=r"vaults\.declared\.a\.data: line 1, column 1 of the text"):
        load([], environment)
    environment["CLEARML__vaults__declared__a__format"] = "hocon"
    assert load([], environment).configuration.vaults.declared["a"].data.reveal() == "x = 1"
