"""Reads files into layers: HOCON, TOML, YAML, JSON or Grafana's two files, by suffix.

No error quotes the file: what stands next to a syntax error may be a password.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from gateway.hocon import FileIncludes, HoconError, Limits, Value
from gateway.hocon import parse as parse_hocon

from .grafana import GrafanaReader, read_grafana
from .grafana_ini import SECTION, LdapToml, MainSettings, last_of
from .grafana_ini import SUFFIX as INI
from .json_source import parse_json
from .layer import Layer, Shaper
from .origin import Given, Origin, Problems
from .reading import TOO_DEEP, Reading, SourceError, real_path
from .spellings import ROOT
from .toml_source import parse_toml
from .yaml_source import parse_yaml

SIZE: Final = 8 * 1024 * 1024
"""Largest file in bytes, with all that it includes: 20,000 group mappings with long DNs must fit."""
_LIMITS: Final = Limits(size=SIZE, values=1_000_000, expansion=32 * 1024 * 1024)


def read_files(files: Sequence[Path], main: MainSettings) -> list[Layer | None]:
    """The layers of the files in their order, None for each that cannot be read.

    The ``ldap.toml`` that Grafana's main settings name comes behind the ``grafana.ini``; behind all files, where only
    variables name it. One that is among the files anyway is not read twice.
    """
    environment, shaper = main.environment, main.shaper

    def layer_of(file: Path) -> Layer | None:
        return main.read(file) if file.suffix.lower() == INI else _read_file(file, environment, shaper)

    behind = last_of(files) + 1
    layers = [layer_of(file) for file in files[:behind]]
    named = main.find()
    if named is not None and named.path is not None and real_path(named.path) not in map(real_path, files):
        default = f" ({named})" if named.default else ""
        shaper.problems.note(named.origin, f"{SECTION}: {named.shown} is read{default}")
        layers.append(_read_file(named.path, environment, shaper, named=named))
    return [*layers, *map(layer_of, files[behind:])]


def _read_file(
    file: Path, environment: Mapping[str, str], shaper: Shaper, *, named: LdapToml | None = None
) -> Layer | None:
    """The layer of one file; None where it cannot be read, which is then reported.

    ``named`` says that Grafana's main settings name it: then it is an ``ldap.toml``, whatever it holds.
    """
    origin = Origin("file", str(file))
    layer = Layer()
    try:
        suffix = ".toml" if named else suffix_of(file)
        text = shaper.reading.text(file, SIZE, "configuration")
        raw: Given | None = None
        if suffix == ".toml":
            raw = read_grafana(text, environment, origin, shaper.problems, shaper.reading, certain=named is not None)
        if raw is None:
            raw = parse(text, suffix, origin, shaper.reading, shaper.problems)
        else:
            if (first := _read_before(file, shaper)) is not None:
                shaper.problems.warn(origin, "", f"is the same file as {first}, and passed over")
                return layer
            why = "Grafana's settings name it" if named else "it holds only servers"
            rules = f"{why}: unknown keys are passed over, ${{}} is expanded, a mapping is required"
            shaper.problems.note(origin, f"read by the rules of Grafana's ldap.toml, because {rules}")
            reader = GrafanaReader(origin, shaper.problems, shaper.blocks)
            raw = reader.adapt(raw)
            layer.fallbacks, layer.grafana = reader.fallbacks, reader.names
            shaper = replace(shaper, unknown="warning")
    except SourceError as error:
        if named and named.expressions and not error.line:  # what the expression became may be a secret
            shaper.problems.add(named.origin, "", f"{SECTION}: {named.shown} {error}")
            return None
        place = Origin("file", error.file or origin.place, error.line, error.column)
        hint = f" ({named})" if named and not error.line else ""
        shaper.problems.add(place, "", f"{error}{hint}")
        return None
    if (tree := shaper.shape(ROOT, raw, ())) is not None:
        layer.tree = tree
    return layer


def _read_before(file: Path, shaper: Shaper) -> str | None:
    """The name under which a file was read by Grafana's rules already: once more, its blocks would be other servers."""
    real = real_path(file)
    return next((at.place for at in shaper.blocks.values() if real_path(Path(at.place)) == real), None)


def suffix_of(path: Path) -> str:
    """The suffix by which a file is read.

    :raises SourceError: for one that is not known.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise SourceError(f"unknown kind of file; expected one of {', '.join(SUFFIXES)}, or a grafana.ini")
    return suffix


def parse(text: str, suffix: str, origin: Origin, reading: Reading, problems: Problems) -> Given:
    """The tree that a text of the kind ``suffix`` holds.

    :raises SourceError: for text that is not of that kind, too deep, or no table at its top.
    """
    try:
        tree = _PARSERS[suffix](text, origin) if suffix in _PARSERS else _hocon(text, origin, reading, problems)
    except RecursionError:
        raise SourceError(TOO_DEEP) from None
    if not isinstance(tree.value, dict):
        raise SourceError("expected keys and values at the top level")
    return tree


def _hocon(text: str, origin: Origin, reading: Reading, problems: Problems) -> Given:
    """HOCON with includes of files below the directory of the file; variables are not seen (DESIGN 4.4)."""

    def included(path: Path) -> str:
        try:
            return reading.text(path, SIZE, "configuration")
        except SourceError:
            if not reading.exists(path):
                problems.note(origin, f"includes {path}, which does not exist and is passed over")
                raise FileNotFoundError(path) from None
            raise

    include = FileIncludes(Path(origin.place).parent, included)
    try:
        value = parse_hocon(text, name=origin.place, limits=_LIMITS, include=include)
    except HoconError as error:
        at = error.position
        raise SourceError(f"not valid HOCON: {error.message}", at.line, at.column, at.name) from None
    tree = _given(value)
    for quoted in _in_single_quotes(value) if "'" in text else ():
        message = "single quotes are part of the text in HOCON: write it in double quotes"
        problems.warn(Origin("file", *quoted.position), "", message)
    return tree


def _in_single_quotes(value: Value) -> Iterator[Value]:
    held = value.value
    if isinstance(held, dict | list):
        for item in held.values() if isinstance(held, dict) else held:
            yield from _in_single_quotes(item)
    elif isinstance(held, str) and value.text is not None and len(held) > 1 and held[0] == held[-1] == "'":
        yield value


def _given(value: Value) -> Given:
    name, line, column = value.position
    held = value.value
    if isinstance(held, dict):
        held = {key: _given(item) for key, item in held.items()}
    elif isinstance(held, list):
        held = [_given(item) for item in held]
    given = Given(held, Origin("file", name, line, column))
    link, below = given, value.overridden
    while below is not None:
        # Of what is overridden only the place matters, and whether it was a null, which removes.
        link.overridden = Given(None if below.value is None else "", Origin("file", *below.position))
        link, below = link.overridden, below.overridden
    return given


_PARSERS: Final[Mapping[str, Callable[[str, Origin], Given]]] = {
    ".toml": parse_toml,
    ".yaml": parse_yaml,
    ".yml": parse_yaml,
    ".json": parse_json,
}
SUFFIXES: Final = (".conf", ".hocon", *_PARSERS)
"""Suffixes by which files are read."""
