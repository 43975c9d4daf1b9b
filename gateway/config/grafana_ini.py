"""Grafana's main settings of LDAP: ``[auth.ldap]`` of a ``grafana.ini``, and the ``GF_AUTH_LDAP_`` variables over it.

``enabled`` and ``config_file`` say which ``ldap.toml`` is read; ``allow_sign_up`` and ``skip_org_role_sync`` become
``grafana.allow_sign_up`` and ``grafana.skip_org_role_sync`` (configuration.md 1.6), as long as LDAP is enabled.
Grafana's order: a variable that is not empty replaces the value of the file, then expressions are replaced (grafana.md
1.4), then the text is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .expressions import SIZE, expanded_value, has_expressions
from .ini_source import read_section
from .layer import Layer, LayerTree, Shaper
from .origin import Given, Origin
from .reading import SourceError, anchored
from .schema.meant import asked, meant, nearest

SUFFIX: Final = ".ini"
SECTION: Final = "auth.ldap"
PREFIX: Final = "GF_AUTH_LDAP_"
DEFAULT_FILE: Final = "/etc/grafana/ldap.toml"
"""What ``config_file`` is where nobody says."""
_HANDED_ON: Final = ("allow_sign_up", "skip_org_role_sync")
_KNOWN: Final = ("enabled", "config_file", *_HANDED_ON, "active_sync_enabled", "sync_cron")
"""The keys that Grafana knows; the last two mean nothing here."""
_TRUE: Final = frozenset({"1", "t", "true", "y", "yes", "on"})
_FALSE: Final = frozenset({"0", "f", "false", "n", "no", "off"})


@dataclass(frozen=True, slots=True)
class LdapToml:
    """What the settings come to, where somebody spoke of them."""

    path: Path | None
    """The ``ldap.toml`` to read; None while LDAP is not enabled, so that none is."""
    origin: Origin
    """Where it is named, or where LDAP is switched on without a name for the file, or off."""
    default: bool = False
    """Whether nobody names it."""
    expressions: str = ""
    """How its name is written where that holds expressions: their values are never shown."""

    @property
    def shown(self) -> str:
        """The file, as messages may name it."""
        return f"the file that {self.expressions} becomes" if self.expressions else str(self.path)

    def __str__(self) -> str:
        return "the default, as config_file is not set" if self.default else f"{self.origin} names it"


@dataclass(slots=True)
class MainSettings:
    """The settings of all ``grafana.ini`` that were given; later ones win."""

    environment: Mapping[str, str]
    shaper: Shaper
    ldap_toml: LdapToml | None = None
    """See ``find``; None before, where nobody spoke of it, and where what is said is wrong."""
    _given: dict[str, Given] = field(default_factory=dict)
    _files: list[Origin] = field(default_factory=list)
    _layers: list[Layer] = field(default_factory=list)

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
        for name, item in (given or {}).items():
            if name not in _KNOWN:
                self.shaper.problems.warn(item.origin, (SECTION, name), "unknown key" + meant(name, _KNOWN))
        self._given.update(given or {})
        self._layers.append(_handed_on(given or {}, self.environment, self.shaper))
        return self._layers[-1]

    def find(self) -> LdapToml | None:
        """What all of it comes to, when every ``grafana.ini`` was read; ``ldap_toml`` from then on.

        While LDAP is not enabled nothing of it counts, which is noted if somebody spoke of it.
        """
        self._warn_of_variables()
        given = self._given | _variables(self.environment)
        enabled = given.get("enabled")
        flag = None if enabled is None else _flag(enabled, "enabled", self.environment, self.shaper)
        if enabled is not None and flag:
            self.ldap_toml = self._named(given.get("config_file") or Given("", enabled.origin))
            return self.ldap_toml
        for layer in self._layers:
            layer.tree.clear()
        if enabled is None or flag is False or not enabled.value:
            self.ldap_toml = self._disabled(enabled, given)
        return self.ldap_toml

    def _warn_of_variables(self) -> None:
        for variable in self.environment:
            name = variable.removeprefix(PREFIX).lower()
            if variable.startswith(PREFIX) and name not in _KNOWN:
                likely = asked(f"{PREFIX}{near.upper()}" if (near := nearest(name, _KNOWN)) else "")
                self.shaper.problems.warn(Origin("variable", variable), "", f"unknown variable{likely}")

    def add_variables(self, layer: Layer) -> None:
        """Add what the variables hand on to the layer of the environment. To be called after ``find``."""
        enabled = self.ldap_toml is not None and self.ldap_toml.path is not None
        for name, given in _variables(self.environment).items():
            value = _flag(given, name, self.environment, self.shaper) if name in _HANDED_ON else None
            if enabled and value is not None:
                layer.foreign.append(((given.origin.place,), ("grafana", name), Given(value, given.origin)))

    def _named(self, named: Given) -> LdapToml | None:
        try:
            name = _text(named, "config_file", self.environment, self.shaper)
        except SourceError as error:
            self.shaper.problems.add(_place(named, error), _path(named, "config_file"), str(error))
            return None
        path = anchored(self._home(named.origin), name or DEFAULT_FILE)
        if path.suffix.lower() == SUFFIX:
            self.shaper.report(named.origin, _path(named, "config_file"), "names a grafana.ini: expected an ldap.toml")
            return None
        written = named.value if has_expressions(named.value) else ""
        return LdapToml(path, named.origin, default=not name, expressions=written)

    def _disabled(self, enabled: Given | None, given: Mapping[str, Given]) -> LdapToml | None:
        ignored = [name for name in ("config_file", *_HANDED_ON) if name in given]
        places = [enabled.origin] if enabled else [*self._files, *(given[name].origin for name in ignored)]
        if not places:
            return None
        said = "is false" if enabled else "is not set, which means false"
        more = "".join(f", and {name} does not count" for name in ignored if name in _HANDED_ON)
        self.shaper.problems.note(places[0], f"{SECTION}.enabled {said}: the ldap.toml that it names is not read{more}")
        return LdapToml(None, places[0])

    def _home(self, origin: Origin) -> Path:
        """Where a relative name belongs: Grafana's home if that is known, else as with every path (configuration.md
        1.1)."""
        if home := self.environment.get("GF_PATHS_HOME"):
            return self.shaper.base / home
        return Path(origin.place).parent if origin.kind == "file" else self.shaper.base


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
