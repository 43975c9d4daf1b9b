"""Grafana's main settings: ``[auth.ldap]`` of a grafana.ini and the ``GF_AUTH_LDAP_`` variables (grafana.md 1.4, 2.6)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli import main
from gateway.config.ini_source import read_section
from gateway.config.load import ConfigurationError, Snapshot, load
from gateway.config.origin import Origin
from gateway.config.reading import SourceError

BLOCK = '[[servers]]\nhost = "127.0.0.1"\nsearch_filter = "(cn=%s)"\nsearch_base_dns = ["dc=x"]\n'
ORIGIN = Origin("file", "grafana.ini")


def values(text: str) -> dict[str, str] | None:
    section = read_section(text, "auth.ldap", ORIGIN)
    return None if section is None else {name: found.value for name, found in section.items()}


SECTIONS: list[tuple[str, dict[str, str] | None, str]] = [
    ("", None, "nothing"),
    ("[auth]\nenabled = true\n[auth.ldap.x]\nenabled = true", None, "other sections"),
    ("[auth.ldap]", {}, "an empty one"),
    ("[auth.ldap]\nenabled = true", {"enabled": "true"}, "a value"),
    ("  [auth.ldap] ; LDAP\r\n  enabled\t=  true  \r\n", {"enabled": "true"}, "blanks and CRLF"),
    ("[auth.ldap]\nenabled: true", {"enabled": "true"}, "a colon"),
    ("[auth.ldap]\n;enabled = true\n# enabled = true", {}, "comments"),
    ("[auth.ldap]\nenabled = true ; as always\nconfig_file = /a#b", {"enabled": "true", "config_file": "/a"}, "comments behind"),
    ('[auth.ldap]\nconfig_file = """/a#b;c"""', {"config_file": "/a#b;c"}, "three quotes keep # and ;"),
    ("[auth.ldap]\nconfig_file = `/a#b`  # why", {"config_file": "/a#b"}, "backquotes"),
    ('[auth.ldap]\nconfig_file = "/a b"\nenabled = \'true\'', {"config_file": "/a b", "enabled": "true"}, "quotes"),
    ("[auth.ldap]\nconfig_file = /a\\\n  /b\nenabled = true", {"config_file": "/a/b", "enabled": "true"}, "continued"),
    ('[x]\na = """\n[auth.ldap]\nenabled = true\n"""\n', None, "inside a value of another section"),
    ('[x]\na = """never closed\n[auth.ldap]\nenabled = true', {"enabled": "true"}, "another section's fault is not ours"),
    ("[x]\nno delimiter\n[y\n[auth.ldap]\nenabled = true", {"enabled": "true"}, "another section's fault is not ours"),
    ("[auth.ldap]\nenabled = true\n[x]\nenabled = false\n[auth.ldap]\nconfig_file = a", {"enabled": "true", "config_file": "a"}, "in two parts"),
    ("[auth.ldap]\nenabled = true\nenabled = false", {"enabled": "false"}, "the last of equal keys"),
    ("[auth.ldap]\nenabled =", {"enabled": ""}, "empty"),
    ("[AUTH.LDAP]\nenabled = true", None, "letter case counts"),
]


@pytest.mark.parametrize(("text", "expected", "proves"), SECTIONS, ids=[str(i) for i in range(len(SECTIONS))])
def test_section(text: str, expected: dict[str, str] | None, proves: str) -> None:
    """What gopkg.in/ini.v1 makes of it, with the options that Grafana gives it (none)."""
    assert values(text) == expected, proves


def test_places() -> None:
    """The place is that of the key; what an earlier line said is kept below."""
    section = read_section('[x]\na = """\n"""\n[auth.ldap]\nenabled = 1\n  enabled = 0', "auth.ldap", ORIGIN)
    assert section is not None
    assert [str(origin) for origin in section["enabled"].origins] == ["grafana.ini:6:3", "grafana.ini:5:1"]


FAULTS = [("[auth.ldap\nenabled = true", 1), ("[auth.ldap]\n\nenabled", 3), ("[auth.ldap]\n = x", 2), ("[auth.ldap]\na = `x\n\n", 2)]


@pytest.mark.parametrize(("text", "line"), FAULTS, ids=["section", "delimiter", "key", "quotes"])
def test_fault(text: str, line: int) -> None:
    with pytest.raises(SourceError) as caught:
        values(text)
    assert caught.value.line == line


@given(st.text(alphabet='[]aut=:;#"`\\\n\r \x00é.', max_size=200))
def test_any_text_ends(text: str) -> None:
    try:
        values("[auth.ldap]\n" + text)
    except SourceError as error:
        assert 1 <= error.line <= text.count("\n") + 2


def loaded(folder: Path, ini: str, toml: str = BLOCK, **environment: str) -> Snapshot:
    (folder / "grafana.ini").write_text(ini)
    (folder / "ldap.toml").write_text(toml)
    return load([folder / "grafana.ini"], environment, working_directory=folder)


def notes(snapshot: Snapshot) -> str:
    return "\n".join(map(str, snapshot.notes))


def test_an_ini_names_the_file(tmp_path: Path) -> None:
    """Origins of both files; both are watched."""
    snapshot = loaded(tmp_path, "[auth.ldap]\nenabled = true\nconfig_file = ldap.toml\nallow_sign_up = no\nskip_org_role_sync = T\n")
    assert [server.host for server in snapshot.configuration.servers] == ["127.0.0.1"]
    assert snapshot.configuration.servers[0].require_mapping
    assert snapshot.origin("servers.ldap.host") == Origin("file", str(tmp_path / "ldap.toml"), 2, 1)
    grafana = snapshot.configuration.grafana
    assert (grafana.allow_sign_up, grafana.skip_org_role_sync) == (False, True)
    assert snapshot.origin("grafana.skip_org_role_sync") == Origin("file", str(tmp_path / "grafana.ini"), 5, 1)
    assert {tmp_path / "grafana.ini", tmp_path / "ldap.toml"} <= set(snapshot.contents)
    assert f"grafana.ini:3:1: auth.ldap: {tmp_path}/ldap.toml is read" in notes(snapshot)


# ini, variables, whether ldap.toml is read, what is noted
ENABLED = [
    ("", {}, False, "auth.ldap.enabled is not set, which means false"),
    ("[auth.ldap]\nenabled = false\nconfig_file = ldap.toml", {}, False, "grafana.ini:2:1: auth.ldap.enabled is false"),
    ("[auth.ldap]\nenabled =\nconfig_file = ldap.toml", {}, False, "auth.ldap.enabled is false"),
    ("[auth.ldap]\nenabled = false\nconfig_file = ldap.toml", {"ENABLED": "true"}, True, "is read"),
    ("[auth.ldap]\nenabled = true\nconfig_file = ldap.toml", {"ENABLED": "false"}, False, "GF_AUTH_LDAP_ENABLED: auth.ldap.enabled is false"),
    ("[auth.ldap]\nenabled = true\nconfig_file = ldap.toml", {"ENABLED": ""}, True, "is read"),
    ("[auth.ldap]\nenabled = true\nconfig_file = none", {"CONFIG_FILE": "DIRECTORY/ldap.toml"}, True, "GF_AUTH_LDAP_CONFIG_FILE: auth.ldap: "),
    ("[auth.ldap]\nenabled = ${ON}\nconfig_file = $__file{DIRECTORY/name}", {"ON": "yes"}, True, "the file that $__file{DIRECTORY/name} becomes is read"),
]


@pytest.mark.parametrize(("ini", "variables", "read", "note"), ENABLED, ids=[str(i) for i in range(len(ENABLED))])
def test_enabled(tmp_path: Path, ini: str, variables: dict[str, str], read: bool, note: str) -> None:
    """Variables win over the file, unless they are empty; expressions work in both."""
    (tmp_path / "name").write_text("ldap.toml\n")
    environment = {
        (name if name == "ON" else f"GF_AUTH_LDAP_{name}"): value.replace("DIRECTORY", str(tmp_path))
        for name, value in variables.items()
    }
    snapshot = loaded(tmp_path, ini.replace("DIRECTORY", str(tmp_path)), **environment)
    assert bool(snapshot.configuration.servers) is read
    assert notes(snapshot).count("auth.ldap") == 1
    assert note.replace("DIRECTORY", str(tmp_path)) in notes(snapshot)


def test_variables_alone(tmp_path: Path) -> None:
    """A container that is configured by its environment; a relative name belongs to Grafana's home."""
    (tmp_path / "ldap.toml").write_text(BLOCK)
    environment = {"GF_AUTH_LDAP_ENABLED": "true", "GF_AUTH_LDAP_CONFIG_FILE": "ldap.toml", "GF_PATHS_HOME": str(tmp_path),
                   "GF_AUTH_LDAP_SKIP_ORG_ROLE_SYNC": "true", "GF_AUTH_LDAP_ALLOW_SIGN_UP": "false"}  # fmt: skip
    snapshot = load([], environment)
    assert [server.name for server in snapshot.configuration.servers] == ["ldap"]
    grafana = snapshot.configuration.grafana
    assert (grafana.allow_sign_up, grafana.skip_org_role_sync) == (False, True)
    assert str(snapshot.origin("grafana.allow_sign_up")) == "GF_AUTH_LDAP_ALLOW_SIGN_UP"
    del environment["GF_AUTH_LDAP_ENABLED"]
    snapshot = load([], environment)
    assert (snapshot.configuration.servers, "GF_AUTH_LDAP_CONFIG_FILE" in notes(snapshot)) == ((), True)
    assert load([], {"GF_SERVER_ROOT_URL": "true"}).notes == ()


# ini, variables, allow_sign_up and skip_org_role_sync in force, what the note says of them
SWITCHES: list[tuple[str, dict[str, str], tuple[bool, bool], str]] = [
    ("enabled = true\nskip_org_role_sync = true\nallow_sign_up = false", {}, (False, True), ""),
    ("enabled = false\nskip_org_role_sync = true", {}, (True, False), ", and skip_org_role_sync does not count"),
    ("skip_org_role_sync = true", {}, (True, False), ", and skip_org_role_sync does not count"),
    ("enabled = false\nallow_sign_up = false", {}, (True, False), ", and allow_sign_up does not count"),
    ("enabled = true\nskip_org_role_sync = true", {"ENABLED": "false"}, (True, False), ", and skip_org_role_sync does not count"),
    ("enabled = false\nskip_org_role_sync = true", {"ENABLED": "true"}, (True, True), ""),
    ("enabled = false", {"SKIP_ORG_ROLE_SYNC": "true"}, (True, False), ", and skip_org_role_sync does not count"),
    ("", {"ALLOW_SIGN_UP": "false"}, (True, False), ", and allow_sign_up does not count"),
]


@pytest.mark.parametrize(("ini", "variables", "expected", "said"), SWITCHES, ids=[str(i) for i in range(len(SWITCHES))])
def test_switches_count_while_ldap_is_enabled(
    tmp_path: Path, ini: str, variables: dict[str, str], expected: tuple[bool, bool], said: str
) -> None:
    """2.6: Grafana looks at none of the section while it is off; else a mapping would be required of nobody."""
    (tmp_path / "own.toml").write_text(BLOCK)
    (tmp_path / "ldap.toml").write_text(BLOCK.replace("127.0.0.1", "named"))
    (tmp_path / "grafana.ini").write_text(f"[auth.ldap]\nconfig_file = ldap.toml\n{ini}")
    environment = {f"GF_AUTH_LDAP_{name}": value for name, value in variables.items()}
    snapshot = load([tmp_path / "own.toml", tmp_path / "grafana.ini"], environment)
    grafana = snapshot.configuration.grafana
    assert (grafana.allow_sign_up, grafana.skip_org_role_sync) == expected
    assert notes(snapshot).count("does not count") == bool(said)
    assert f"is not read{said}" in notes(snapshot) or not said


def test_variables_win_over_the_file(tmp_path: Path) -> None:
    ini = "[auth.ldap]\nenabled = true\nconfig_file = ldap.toml\nallow_sign_up = true"
    snapshot = loaded(tmp_path, ini, GF_AUTH_LDAP_ALLOW_SIGN_UP="off")
    assert snapshot.configuration.grafana.allow_sign_up is False
    origins = [str(origin) for origin in snapshot.origins["grafana", "allow_sign_up"]]
    assert origins == ["GF_AUTH_LDAP_ALLOW_SIGN_UP", f"{tmp_path}/grafana.ini:4:1"]


def test_the_place_among_the_layers(tmp_path: Path) -> None:
    """Files behind the grafana.ini win over the ldap.toml that it names; a file given anyway is not read twice."""
    (tmp_path / "before.conf").write_text('servers = [{name = ldap, port = 1, timeout = 7}]')
    (tmp_path / "after.conf").write_text('servers = [{name = ldap, port = 3}]')
    (tmp_path / "grafana.ini").write_text("[auth.ldap]\nenabled = 1\nconfig_file = ldap.toml")
    (tmp_path / "ldap.toml").write_text(BLOCK + "port = 2\n")
    names = ["before.conf", "grafana.ini", "after.conf"]
    server = load([tmp_path / name for name in names], {}).configuration.servers[0]
    assert (server.port, server.timeout, server.host) == (3, 7.0, "127.0.0.1")
    snapshot = load([tmp_path / name for name in ("grafana.ini", "ldap.toml")], {})
    assert [origin.line for origin in snapshot.origins["servers", "ldap", "port"]] == [5]


def test_several_ini_files(tmp_path: Path) -> None:
    """Grafana's own order: defaults first, what is custom over them."""
    (tmp_path / "defaults.ini").write_text("[auth.ldap]\nenabled = false\nconfig_file = ldap.toml\nallow_sign_up = true")
    (tmp_path / "grafana.ini").write_text("[auth.ldap]\nenabled = true")
    (tmp_path / "ldap.toml").write_text(BLOCK)
    files = [tmp_path / "defaults.ini", tmp_path / "grafana.ini"]
    assert [server.name for server in load(files, {}).configuration.servers] == ["ldap"]


PROBLEMS = [
    ("[auth.ldap]\nenabled = maybe", BLOCK, "grafana.ini:2:1: auth.ldap.enabled: expected true or false"),
    ("[auth.ldap]\nskip_org_role_sync = x", BLOCK, "grafana.ini:2:1: auth.ldap.skip_org_role_sync: expected true or false"),
    ("[auth.ldap]\nenabled", BLOCK, "grafana.ini:2:1: expected KEY = VALUE"),
    ("[auth.ldap]\nenabled = $__file{/nonexistent}", BLOCK, "grafana.ini:2:1: auth.ldap.enabled: $__file{/nonexistent}: cannot be read"),
    ("[auth.ldap]\nenabled = 1\nconfig_file = %(home)s/a", BLOCK, "grafana.ini:3:1: auth.ldap.config_file: %(...)s is not read here"),
    ("[auth.ldap]\nenabled = 1\nconfig_file = none.toml", BLOCK, "none.toml: cannot be read: No such file or directory (D/grafana.ini:3:1 names it)"),
    ("[auth.ldap]\nenabled = 1\nconfig_file = ldap.toml", "", "ldap.toml: servers: no server is defined"),
    ("[auth.ldap]\nenabled = 1\nconfig_file = grafana.ini", BLOCK, "grafana.ini:3:1: auth.ldap.config_file: names a grafana.ini: expected an ldap.toml"),
    ("[auth.ldap]\nenabled = 1\nconfig_file = other.INI", BLOCK, "grafana.ini:3:1: auth.ldap.config_file: names a grafana.ini: expected an ldap.toml"),
    ("[auth.ldap]\nenabled = 1\nconfig_file = ldap.toml", "port = [", "ldap.toml:1:9: not valid TOML"),
]


@pytest.mark.parametrize(("ini", "toml", "problem"), PROBLEMS, ids=[str(i) for i in range(len(PROBLEMS))])
def test_what_refuses(tmp_path: Path, ini: str, toml: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, ini, toml)
    errors = [one for one in caught.value.problems if one.severity == "error"]
    assert len(errors) == 1
    assert str(errors[0]).replace(str(tmp_path), "D").startswith(f"D/{problem}"), errors[0]


def test_a_named_file_is_an_ldap_toml_whatever_it_holds(tmp_path: Path) -> None:
    """grafana.md 1.1: unknown tables are passed over. Given by itself, such a file would be ours, and be refused."""
    ini = "[auth.ldap]\nenabled = true\nconfig_file = ldap.toml"
    snapshot = loaded(tmp_path, ini, f"colour = 'red'\nVerbose_Logging = true\n{BLOCK}[extra]\na = 1\n")
    assert [str(warning).partition(": ")[2] for warning in snapshot.warnings] == ["colour: unknown key", "extra: unknown key"]
    assert snapshot.configuration.servers[0].verbose_logging


VERBOSE = [("true", True, 0), ("false", False, 0), ("'yes'", False, 1)]


@pytest.mark.parametrize(("written", "verbose", "warned"), VERBOSE, ids=["true", "false", "text"])
def test_verbose_logging(tmp_path: Path, written: str, verbose: bool, warned: int) -> None:
    """The reference's key above the blocks holds for each; a block's own wins; no error whatever it is."""
    (tmp_path / "ldap.toml").write_text(f"verbose_logging = {written}\n{BLOCK}{BLOCK}verbose_logging = false\n")
    snapshot = load([tmp_path / "ldap.toml"], {})
    assert [server.verbose_logging for server in snapshot.configuration.servers] == [verbose, False]
    assert len(snapshot.warnings) == 1 + warned, "and one of the blocks without names"


SECRET = "planted-s3cret"
# how config_file is written, in a file or as a variable; what the error says
HIDDEN = [
    ("config_file = $__file{D/secret}", {}, "D/grafana.ini:3:1: auth.ldap: the file that $__file{D/secret} becomes cannot be read: No such file or directory"),
    ("config_file = /x/${NAME}", {"NAME": SECRET}, "D/grafana.ini:3:1: auth.ldap: the file that /x/${NAME} becomes cannot be read: No such file or directory"),
    ("", {"GF_AUTH_LDAP_CONFIG_FILE": "$__file{D/secret}"},
     "GF_AUTH_LDAP_CONFIG_FILE: auth.ldap: the file that $__file{D/secret} becomes cannot be read: No such file or directory"),
    ("config_file = ${NAME}", {"NAME": f"$__file{{/{SECRET}}}"},
     "D/grafana.ini:3:1: auth.ldap.config_file: a $__file expression with the value of a variable: cannot be read: No such file or directory"),
    ("config_file = $__file{/nowhere}", {}, "D/grafana.ini:3:1: auth.ldap.config_file: $__file{/nowhere}: cannot be read: No such file or directory"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "variables", "said"), HIDDEN, ids=[str(i) for i in range(len(HIDDEN))])
def test_what_an_expression_becomes_is_never_shown(tmp_path: Path, written: str, variables: dict[str, str], said: str) -> None:
    """DECISIONS 40: who took the wrong file finds its content neither in errors nor in the log."""
    (tmp_path / "secret").write_text(SECRET)
    environment = {name: value.replace("D/", f"{tmp_path}/") for name, value in variables.items()}
    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, f"[auth.ldap]\nenabled = true\n{written}\n".replace("D/", f"{tmp_path}/"), **environment)
    assert [str(problem).replace(str(tmp_path), "D") for problem in caught.value.problems if problem.severity == "error"] == [said]
    assert SECRET not in "".join(map(str, caught.value.problems))


def test_the_file_may_be_given_by_a_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is read once, and once ``[auth.ldap]`` is off it is still read: nothing is to be done first."""
    (tmp_path / "link.toml").symlink_to(tmp_path / "ldap.toml")
    (tmp_path / "grafana.ini").write_text("[auth.ldap]\nenabled = true\nconfig_file = ldap.toml\n")
    (tmp_path / "ldap.toml").write_text(BLOCK)
    files = [tmp_path / "grafana.ini", tmp_path / "link.toml"]
    for order in (files, files[::-1]):
        snapshot = load(order, {})
        assert (len(snapshot.configuration.servers), snapshot.warnings) == (1, ())
        assert "ldap.toml is read (" not in notes(snapshot) and "auth.ldap: " not in notes(snapshot)
        assert main(["grafana", "settings", *(text for file in order for text in ("-c", str(file)))]) == 0
        shown = capsys.readouterr()
        assert "FIRST" not in shown.out and "first:" not in shown.err
