"""``config schema``: the reference page and the JSON Schema say what the loader does (issue: layers and origins)."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from test_config_files import SAME
from test_config_hostile import small

from gateway.cli import main
from gateway.config.describe import Key, Kind, describe, parts
from gateway.config.json_schema import json_schema
from gateway.config.load import ConfigurationError, load
from gateway.config.origin import Origin, Problems, plain_value
from gateway.config.reading import Reading
from gateway.config.reference import reference
from gateway.config.schema import Configuration
from gateway.config.schema.shape import leaves, shape_of
from gateway.config.schema.units import parse_duration, parse_interval, parse_size
from gateway.config.sources import parse
from gateway.config.spellings import ROOT

TREE = Path(__file__).parents[2]
LDAP = "apiserver.auth.fixed_user_providers.ldap"
KEYS = [entry for part in parts(describe()) for entry in part.entries if isinstance(entry, Key)]
VALIDATOR = Draft202012Validator(json_schema())


def complaints(tree: Any) -> list[str]:
    """Where and by which keyword the schema refuses a tree."""
    return list(dict.fromkeys(f"{error.json_path} {error.validator}" for error in VALIDATOR.iter_errors(tree)))


def read(file: Path) -> Any:
    """The plain tree of a file, as the loader reads it."""
    return plain_value(parse(file.read_text(encoding="utf-8"), file.suffix, Origin("file", str(file)), Reading(), Problems()))


def test_every_key_is_described() -> None:
    described = {re.sub(r"\[\]|(?<=\.)NAME(?=\.|$)", lambda found: ".*" if found[0] == "[]" else "*", key.path) for key in KEYS}
    maps = {"attributes.extra": ".*", "access_control.networks": ".*", "identity_headers.presets": ".*.*"}
    maps |= dict.fromkeys(("vault.policies", "vault.mounts", "vault.groups", "local.groups", "realm.groups"), ".*")
    described = {path + next((stars for name, stars in maps.items() if path.endswith(name)), "") for path in described}
    assert described == {".".join(path) for path, _ in leaves(shape_of(Configuration))}
    assert [key.path for key in KEYS if not key.text] == []
    assert [part.path for part in parts(describe()) if not part.text] == []


def test_the_reference_page_is_current() -> None:
    """Make it anew: python -m gateway config schema --format markdown > docs/reference.md"""
    assert (TREE / "docs" / "reference.md").read_text(encoding="utf-8") == reference()


def test_the_page_has_every_key_and_every_spelling() -> None:
    page = reference()
    assert [key.path for key in KEYS if f"| `{key.name}` |" not in page] == []
    spelled = [".".join(path) for path, _ in leaves(ROOT) if path[0] in ("apiserver", "secure", "services")]
    assert page.count("| `apiserver.") + page.count("| `secure.") + page.count("| `services.") == len(spelled)
    cells = {len(re.findall(r"(?<!\\)\|", line)) for line in page.splitlines() if line.startswith("|")}
    assert cells == {3, 6}


def test_defaults_are_those_of_the_loader(tmp_path: Path) -> None:
    """What the page says is the default changes nothing when it is written."""
    least = {"servers": [{"host": "h", "search_base_dns": ["dc=x"]}], "users": [{"username": "a", "disabled": True}]}
    full: dict[str, Any] = json.loads(json.dumps(least))
    for key in KEYS:
        if "group_mappings" in key.path or "NAME" in key.path or key.default in (None, "", [], {}):
            continue
        table: Any = full
        for step in key.path.replace("[]", ".0").split(".")[:-1]:
            table = table[int(step)] if isinstance(table, list) else table.setdefault(step, {})
        table.setdefault(key.name, key.default)
    loaded: list[Configuration] = []
    for name, tree in (("least", least), ("full", full)):
        (tmp_path / f"{name}.json").write_text(json.dumps(tree))
        loaded.append(load([tmp_path / f"{name}.json"], {}, working_directory=tmp_path).configuration)
    assert complaints(full) == []
    assert loaded[0] == loaded[1]


def test_it_is_a_json_schema() -> None:
    Draft202012Validator.check_schema(json_schema())
    assert json.loads(json.dumps(json_schema())) == json_schema()


FILES = [TREE / "conf" / "gateway.conf", TREE / "conf" / "quickstart.conf"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_files_of_conf(file: Path) -> None:
    assert complaints(read(file)) == []


def test_every_key_of_gateway_conf() -> None:
    text = FILES[0].read_text(encoding="utf-8")
    text = re.sub(r"^(\s*)#(?=\S)", r"\1", text, flags=re.MULTILINE)
    assert complaints(plain_value(parse(text, ".conf", Origin("file", "x"), Reading(), Problems()))) == []


@pytest.mark.parametrize("suffix", SAME)
def test_files_of_every_format(suffix: str) -> None:
    assert complaints(plain_value(parse(SAME[suffix], suffix, Origin("file", "x"), Reading(), Problems()))) == []


def nested(path: str, value: Any) -> Any:
    """A tree with one value."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


SPELLED = tomllib.loads((Path(__file__).parent / "spellings.toml").read_text(encoding="utf-8"))["row"]


@pytest.mark.parametrize("row", SPELLED, ids=lambda row: str(row["spelled"]))
def test_spellings(row: dict[str, Any]) -> None:
    """Each row of the table that the loader is held against."""
    path = re.sub(r"^L\.", f"{LDAP}.", row["spelled"])
    assert complaints(nested(path, row["value"])) == []


ACCEPTED: list[tuple[str, Any, str]] = [
    ("login.cache", 5, "1.1: a bare number is seconds"),
    ("login.cache", "1H 30 Min", "1.1"),
    ("http.max_body", "64 KiB", "1.1"),
    ("session.max_stale", "never", "1.5"),
    ("listen", "127.0.0.1:1", "1.1: a list of one"),
    ("listen.1", "127.0.0.1:1", "1.1: by index works for all"),
    ("tokens.master_key_file", "/run/key", "1.1: k_file"),
    ("servers.corp.bind_password_file", "p", "1.1: by key field"),
    ("servers", [{"host": "h"}], "1.1: without a name"),
    ("servers.corp", None, "1.1: null removes"),
    ("servers.0.group_mappings.1", None, "1.1: null removes, by index"),
    ("http", None, "1.1: null removes"),
    ("servers.corp.min_tls_version", "tls1.3", "1.3"),
    ("servers.corp.attributes.extra.phone", "telephoneNumber", "1.3: a map"),
    ("clearml.credentials.ci.user_secret_file", "p", "1.6"),
    ("group_mappings", [{"org_role": "", "grafana_admin": ""}], "1.3"),
    (f"{LDAP}.telephone", "phone", "1.7: any other key is an attribute"),
]


@pytest.mark.parametrize(("path", "value", "proves"), ACCEPTED)
def test_what_it_accepts(path: str, value: Any, proves: str) -> None:
    """configuration.md."""
    assert complaints(nested(path, value)) == [], proves


REFUSED: list[tuple[str, Any, str]] = [
    ("serves", [], "$ additionalProperties"),
    ("http.max_bdy", 1, "$.http additionalProperties"),
    ("servers", [{"hots": "h"}], "$.servers[0] additionalProperties"),
    ("servers.corp.hots", "h", "$.servers.corp additionalProperties"),
    ("servers", ["corp"], "$.servers[0] type"),
    ("group_mappings.first", {}, "$.group_mappings additionalProperties"),
    ("tokens.lifetime_file", "p", "$.tokens additionalProperties"),
    ("log.level", "loud", "$.log.level enum"),
    ("log.level", "", "$.log.level enum"),
    ("log.level", False, "$.log.level enum"),
    ("uvloop", "yes", "$.uvloop type"),
    ("login.queue", "5", "$.login.queue type"),
    ("login.queue", -1, "$.login.queue minimum"),
    ("login.hash_threads", 65, "$.login.hash_threads maximum"),
    ("login.cache", "5 parsecs", "$.login.cache pattern"),
    ("login.cache", -1, "$.login.cache minimum"),
    ("login.cache", True, "$.login.cache type"),
    ("login.cache", "always", "$.login.cache pattern"),
    ("conjur.token_lifetime", 0, "$.conjur.token_lifetime minimum"),
    ("http.max_body", "64 Kilo", "$.http.max_body pattern"),
    ("clearml.company_name", 5, "$.clearml.company_name type"),
    ("admins", [5], "$.admins[0] type"),
    ("admins", {"ada": "x"}, "$.admins additionalProperties"),
    ("audit.to", "syslog", "$.audit.to pattern"),
    ("store.url", "sqlite://x", "$.store.url pattern"),
    ("public_url", "auth.example.com", "$.public_url pattern"),
    ("users", [{"username": ""}], "$.users[0].username minLength"),
    ("servers.corp.min_tls_version", "TLS2", "$.servers.corp.min_tls_version pattern"),
    ("secure.credentials.ci.key", "x", "$.secure.credentials.ci additionalProperties"),
    (f"{LDAP}.use_tls", "yes", f"$.{LDAP}.use_tls type"),
]


@pytest.mark.parametrize(("path", "value", "complaint"), REFUSED)
def test_what_it_refuses(tmp_path: Path, path: str, value: Any, complaint: str) -> None:
    """Mistakes that people make; the loader refuses each as well."""
    assert complaints(nested(path, value)) == [complaint]
    file = tmp_path / "a.json"
    file.write_text(json.dumps(nested(path, value)))
    with pytest.raises(ConfigurationError):
        load([file], {})


def removes(tree: Any) -> bool:
    """Whether a tree removes an item by index: what was wrong with the item goes with it."""
    if isinstance(tree, list):
        return any(map(removes, tree))
    return isinstance(tree, dict) and any((key.isdigit() and item is None) or removes(item) for key, item in tree.items())


@settings(deadline=None, max_examples=400)
@given(tree=small(ROOT).filter(lambda tree: not removes(tree)))
def test_what_the_loader_accepts_it_accepts(tmp_path_factory: Any, tree: dict[str, Any]) -> None:
    """An editor never marks a good file."""
    file: Path = tmp_path_factory.getbasetemp() / "described.json"
    file.write_text(json.dumps(tree))
    try:
        load([file], {})
    except ConfigurationError:
        return
    assert complaints(tree) == []


UNITS = ["", "ms", "S", "secs", "Minutes", "min", "h", "HOURS", "d", "days", "w", "weeks", "month", "b", "Bytes", "k", "KiB", "MB", "gib", "kbit", "always"]
QUANTITIES = st.lists(
    st.tuples(st.sampled_from(["", "1", "05", "1.5", ".5", "1."]), st.sampled_from(["", " "]), st.sampled_from(UNITS)), max_size=3
).map(lambda found: " ".join("".join(part) for part in found))
MEASURES = [("duration", parse_duration), ("interval", parse_interval), ("size", parse_size)]


@settings(deadline=None, max_examples=400)
@given(QUANTITIES)
def test_patterns_are_those_of_the_loader(text: str) -> None:
    """Durations and sizes (1.1)."""
    for name, parse_text in MEASURES:
        try:
            parse_text(text)
            good = True
        except ValueError:
            good = False
        assert (re.search(json_schema()["$defs"][name]["pattern"], text) is not None) is good, (name, text)


def test_secrets_are_never_shown() -> None:
    """writeOnly, without a default, each with its file."""
    definitions = json_schema()["$defs"]
    for part in parts(describe()):
        for key in part.entries:
            if isinstance(key, Key) and key.kind is Kind.SECRET:
                written = definitions[part.model]["properties"]
                assert written[key.name]["writeOnly"]
                assert "default" not in written[key.name]
                assert written[f"{key.name}_file"]["type"] == "string"


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json_schema()
    assert main(["config", "schema", "--format", "markdown"]) == 0
    assert capsys.readouterr().out == reference()
