"""Grafana's main settings of LDAP: ``[auth.ldap]`` of a ``grafana.ini``, and the ``GF_AUTH_LDAP_`` variables over it.

``enabled`` and ``config_file`` say which ``ldap.toml`` is read; ``allow_sign_up`` and ``skip_org_role_sync`` become
``grafana.allow_sign_up`` and ``grafana.skip_org_role_sync`` (configuration.md 1.6). Grafana's order: a variable that is
not empty replaces the value of the file, then expressions are replaced (grafana.md 1.4), then the text is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .expressions import SIZE, expanded_value
from .ini_source import read_section
from .layer import Layer, LayerTree, Shaper
from .origin import Given, Origin
from .reading import SourceError, anchored

SUFFIX: Final = ".ini"
SECTION: Final = "auth.ldap"
PREFIX: Final = "GF_AUTH_LDAP_"
DEFAULT_FILE: Final = "/etc/grafana/ldap.toml"
"""What ``config_file`` is where nobody says."""
_HANDED_ON: Final = ("allow_sign_up", "skip_org_role_sync")
_TRUE: Final = frozenset({"1", "t", "true", "y", "yes", "on"})
_FALSE: Final = frozenset({"0", "f", "false", "n", "no", "off"})


@dataclass(frozen=True, slots=True)
class NamedFile:
    """The ``ldap.toml`` that the settings name."""

    path: Path
    origin: Origin
    """Where it is named, or where LDAP is enabled without a name for the file."""


@dataclass(slots=True)
class MainSettings:
    """The settings of all ``grafana.ini`` that were given; later ones win."""

    environment: Mapping[str, str]
    shaper: Shaper
    _given: dict[str, Given] = field(default_factory=dict)
    _files: list[Origin] = field(default_factory=list)

    def read(self, file: Path) -> Layer | None:
        """Take a ``grafana.ini``; its layer is what it hands on. None where it cannot be read, which is reported."""
        origin = Origin("file", str(file))
        self._files.append(origin)
        try:
            text = self.shaper.reading.text(file, SIZE, "configuration")
            given = read_section(text, SECTION, origin)
        except SourceError as error:
            self.shaper.problems.add(origin.at(error.line, error.column), "", str(error))
            return None
        self._given.update(given or {})
        return _handed_on(given or {}, self.environment, self.shaper)

    def ldap_toml(self) -> NamedFile | None:
        """The file to read; None where LDAP is not enabled, which is noted if somebody spoke of it."""
        given = self._given | _variables(self.environment)
        enabled = given.get("enabled")
        flag = None if enabled is None else _flag(enabled, "enabled", self.environment, self.shaper)
        if enabled is None or not flag:
            if enabled is None or flag is False or not enabled.value:
                self._note_disabled(enabled, given)
            return None
        named = given.get("config_file") or Given("", enabled.origin)
        try:
            name = _text(named, "config_file", self.environment, self.shaper) or DEFAULT_FILE
        except SourceError as error:
            self.shaper.problems.add(_place(named, error), _path(named, "config_file"), str(error))
            return None
        return NamedFile(anchored(self._home(named.origin), name), named.origin)

    def _note_disabled(self, enabled: Given | None, given: Mapping[str, Given]) -> None:
        named = [given["config_file"].origin] if "config_file" in given else []
        for place in ([enabled.origin] if enabled else [*self._files, *named])[:1]:
            said = "is false" if enabled else "is not set, which means false"
            self.shaper.problems.note(place, f"{SECTION}.enabled {said}: the ldap.toml that it names is not read")

    def _home(self, origin: Origin) -> Path:
        """Where a relative name belongs: Grafana's home if that is known, else as with every path (configuration.md
        1.1)."""
        if home := self.environment.get("GF_PATHS_HOME"):
            return self.shaper.base / home
        return Path(origin.place).parent if origin.kind == "file" else self.shaper.base


def read_variables(environment: Mapping[str, str], layer: Layer, shaper: Shaper) -> None:
    """Add what the variables hand on to the layer of the environment."""
    for name, given in _variables(environment).items():
        if name in _HANDED_ON and (value := _flag(given, name, environment, shaper)) is not None:
            layer.foreign.append(((given.origin.place,), ("grafana", name), Given(value, given.origin)))


def _handed_on(given: Mapping[str, Given], environment: Mapping[str, str], shaper: Shaper) -> Layer:
    """The layer of what a section hands on."""
    layer = Layer()
    for name in _HANDED_ON:
        if name in given and (value := _flag(given[name], name, environment, shaper)) is not None:
            table = layer.tree.setdefault("grafana", LayerTree(given[name].origin))
            table[name] = Given(value, given[name].origin)
    return layer


def _variables(environment: Mapping[str, str]) -> dict[str, Given]:
    """The variables that say something, by the key they set."""
    names = ("enabled", "config_file", *_HANDED_ON)
    variables = {name: PREFIX + name.upper() for name in names}
    return {
        name: Given(environment[variable], Origin("variable", variable))
        for name, variable in variables.items()
        if environment.get(variable)
    }


def _flag(given: Given, name: str, environment: Mapping[str, str], shaper: Shaper) -> bool | None:
    """The value of a switch; None where it is empty, or none (which is reported)."""
    try:
        text = _text(given, name, environment, shaper).lower()
    except SourceError as error:
        shaper.problems.add(_place(given, error), _path(given, name), str(error))
        return None
    if text and text not in _TRUE | _FALSE:
        shaper.report(given.origin, _path(given, name), "expected true or false")
    return True if text in _TRUE else False if text in _FALSE else None


def _text(given: Given, name: str, environment: Mapping[str, str], shaper: Shaper) -> str:
    """A value with its expressions replaced. Raises ``SourceError``."""
    text = expanded_value(given.value, environment, given.origin, shaper.problems, shaper.reading)
    if "%(" in text:
        raise SourceError(f"%(...)s is not read here: write {name} out", given.origin.line, given.origin.column)
    return text.strip()


def _path(given: Given, name: str) -> tuple[str, ...]:
    """How problems name the key; a variable says by itself which it is."""
    return (SECTION, name) if given.origin.kind == "file" else ()


def _place(given: Given, error: SourceError) -> Origin:
    return given.origin.at(error.line, error.column)


def last_of(files: Sequence[Path]) -> int:
    """The index of the last ``grafana.ini`` among the files, behind which its ``ldap.toml`` has its place; else that of
    the last file."""
    return max((i for i, file in enumerate(files) if file.suffix.lower() == SUFFIX), default=len(files) - 1)
