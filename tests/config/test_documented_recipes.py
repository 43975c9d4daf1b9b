"""Every block of docs/directories.md and docs/conjur.md is a configuration that loads, with nothing to say of it."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from gateway.config.load import load
from tests.directories.slapd import make_certificates

DOCUMENTS = Path(__file__).parents[2] / "docs"
TEXT = (DOCUMENTS / "directories.md").read_text()
BLOCKS = re.findall(r"^#{2,3} ([^\n]+)$|^```(hocon|toml|yaml|json)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
CONJUR = (DOCUMENTS / "conjur.md").read_text()
FIRST, *FURTHER = re.findall(r"^```hocon\n(.*?)^```$", CONJUR, re.MULTILINE | re.DOTALL)
"""Of docs/conjur.md; each further block adds to the first."""
PASSWORD = "$__file{/etc/grafana/ldap-password}"


def recipes() -> list[tuple[str, str, str]]:
    """Heading, format and text of each block. Where several blocks belong together, the later one adds to the first."""
    found, heading = [], ""
    for title, form, text in BLOCKS:
        if form:
            found.append((heading, form, text))
        heading = title or heading
    return found


@pytest.fixture
def directory(tmp_path: Path, certificate: Path) -> Path:
    """A directory with the files that the recipes name."""
    (tmp_path / "svc-password").write_text("secret\n")
    for name in ("corp-ca.pem", "ipa-ca.crt"):
        shutil.copy(certificate, tmp_path / name)
    return tmp_path


def test_there_are_recipes() -> None:
    headings = [heading for heading, _, _ in recipes()]
    assert headings.count("Active Directory") == 3
    assert {"OpenLDAP", "FreeIPA", "389 Directory Server", "lldap", "A Grafana file"} <= set(headings)


@pytest.mark.parametrize(("heading", "form", "text"), recipes())
def test_recipe(directory: Path, heading: str, form: str, text: str) -> None:
    files = [directory / f"recipe.{'conf' if form == 'hocon' else form}"]
    files[0].write_text(text.replace(PASSWORD, "secret"))
    if heading == "A Grafana file" and form == "hocon":
        files.insert(0, directory / "ldap.toml")
        grafana = next(text for _, form, text in recipes() if form == "toml")
        files[0].write_text(grafana.replace(PASSWORD, "secret"))
    snapshot = load(files, {}, working_directory=directory)
    assert [str(warning) for warning in snapshot.warnings] == []
    (server,) = snapshot.configuration.servers
    modes = {"service"} if server.bind_dn else {"upn"}
    assert server.mode in modes


@pytest.mark.parametrize("further", ["", *FURTHER], ids=range(len(FURTHER) + 1))
def test_recipe_of_conjur(directory: Path, further: str) -> None:
    make_certificates(directory / "gw", names=("gw.example",))
    (directory / "gw" / "server.pem").rename(directory / "gw.example.crt")
    (directory / "gw" / "server.key").rename(directory / "gw.example.key")
    for name, text in (("first.conf", FIRST), ("further.conf", further)):
        (directory / name).write_text(text)
    snapshot = load([directory / "first.conf", directory / "further.conf"], {}, working_directory=directory)
    assert [str(warning) for warning in snapshot.warnings] == []
    assert snapshot.configuration.conjur.account == "myorg"
    assert "corp" in snapshot.configuration.conjur.services


def test_variables_of_conjur() -> None:
    """Conjur's own, and the two that it has no variables for."""
    exports = re.findall(r"^export (.*LDAP_URI.*|CLEARML__conjur.*)$", CONJUR, re.MULTILINE)
    variables = dict(pair.split("=", 1) for line in exports for pair in shlex.split(line))
    snapshot = load([], variables)
    assert [str(warning) for warning in snapshot.warnings] == []
    (server,) = snapshot.configuration.servers
    conjur = snapshot.configuration.conjur
    assert (server.name, conjur.account, conjur.authn_alias) == ("ldap", "myorg", True)
    assert list(conjur.services) == ["ldap"]
