"""The one pipeline from files and environment to a snapshot: read, translate, merge, validate, check.

Blocking (files, parsing): at reload it runs in a thread. What it returns depends on its arguments and on the files that
they name, apart from the random salts of plain passwords.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from .checks import server_findings
from .environment import read_environment
from .grafana import GrafanaReader, drop_unused_files, read_grafana
from .layer import Layer, LayerTree, Shaper
from .merge import Merger, fill, origin_within
from .origin import DEFAULT, ConfigurationError, Given, Origin, Problem, Problems
from .origin import Path as KeyPath
from .schema import Configuration
from .schema.section import Finding, Place
from .schema.shape import Leaf, Node, Table, Tables
from .sources import HOCON_SIZE, OTHER_SIZE, SourceError, anchored, parse, read_text, suffix_of
from .spellings import FIXED_USERS, KNOWN, LDAP, NATIVE, ROOT, SERVER, translate
from .wording import Wording, written

__all__ = ["DEFAULT", "ConfigurationError", "Origin", "Problem", "Snapshot", "load"]

_ROUNDS: Final = 50
"""Validations after which wrong values are no longer taken out one by one."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One loaded, validated, frozen configuration."""

    configuration: Configuration
    generation: int
    warnings: tuple[Problem, ...]
    files: tuple[Path, ...]
    """The files it was read from, absolute, in order."""
    origins: Mapping[str, Origin]
    """Where each given value came from, by dotted path (items of lists by name or index)."""

    def origin(self, path: str) -> Origin:
        """Where the value at a dotted path came from; ``DEFAULT`` where nobody gave one."""
        return self.origins.get(path, DEFAULT)


def load(
    files: Sequence[Path],
    environment: Mapping[str, str],
    *,
    generation: int = 1,
    working_directory: Path | None = None,
) -> Snapshot:
    """Load files (later ones win) and, above them, variables and systemd credentials.

    :raises ConfigurationError: with every problem of every layer at once.
    """
    directory = (working_directory or Path.cwd()).absolute()
    names = tuple(anchored(directory, file) for file in files)
    problems = Problems()
    layers = [_read_file(name, environment, problems) for name in names]
    complete = None not in layers
    usable = [layer for layer in layers if layer is not None]
    usable += read_environment(environment, directory, problems)
    translation = translate(usable, problems)
    tree = _merge(usable, problems)
    _default_state_dir(tree, environment, directory)
    if translation.maker is not None:
        _default_registration(tree)
    if complete and translation.provider is not None and not tree.get("servers"):
        _no_server(translation.provider, problems)
    configuration = _validate(tree, problems, translation.wording, complete=complete)
    if problems.errors or configuration is None:
        raise ConfigurationError(problems.all)
    return Snapshot(configuration, generation, problems.all, names, MappingProxyType(_origins(NATIVE, tree)))


def _read_file(file: Path, environment: Mapping[str, str], problems: Problems) -> Layer | None:
    """The layer of one file; None where it cannot be read, which is then reported."""
    origin = Origin("file", str(file))
    shaper = Shaper(origin, file.parent, problems, KNOWN)
    fallbacks: LayerTree = {}
    names: tuple[str, ...] = ()
    try:
        suffix = suffix_of(file)
        text = read_text(file, HOCON_SIZE if suffix in (".conf", ".hocon") else OTHER_SIZE)
        raw = read_grafana(text, environment, origin, problems) if suffix == ".toml" else None
        if raw is None:
            raw = parse(text, suffix)
        else:
            reader = GrafanaReader(origin, problems)
            raw, fallbacks, names = reader.adapt(raw), reader.fallbacks, reader.names
            shaper = Shaper(origin, file.parent, problems, KNOWN, unknown="warning")
    except SourceError as error:
        problems.add(origin, "", str(error))
        return None
    return Layer(shaper.shape(ROOT, raw, ()), fallbacks, names)


def _merge(layers: Sequence[Layer], problems: Problems) -> LayerTree:
    tree: LayerTree = {}
    merger = Merger(problems)
    for layer in layers:
        merger.overlay(NATIVE, tree, layer.tree)
    for layer in layers:
        fill(NATIVE, tree, layer.fallbacks)
        for name in layer.grafana:
            drop_unused_files(tree.get("servers", {}).get(name), ("servers", name), problems)
    return tree


def _no_server(provider: Origin, problems: Problems) -> None:
    server = (*LDAP, "server")
    if not problems.refuse(server) and not problems.refuse(("servers",)):
        path = (*FIXED_USERS, "provider")
        problems.add(provider, path, f"is ldap, and there is no server: set {written(server, provider)}")


def _default_registration(tree: LayerTree) -> None:
    """ClearML's whitelist mode: its keys made the server and named no company for new users (DECISIONS 7)."""
    server = tree.get("servers", {}).get(SERVER[1], {})
    company = server.get("clearml", {}).get("default_company") if isinstance(server, dict) else None
    clearml = tree.setdefault("clearml", {})
    if (company is not None and company.value) or not isinstance(clearml, dict) or "registration" in clearml:
        return
    clearml["registration"] = Given("whitelist", DEFAULT)


def _default_state_dir(tree: LayerTree, environment: Mapping[str, str], directory: Path) -> None:
    given = environment.get("STATE_DIRECTORY", "").split(":")[0]
    origin = Origin("variable", "STATE_DIRECTORY") if given else DEFAULT
    tree.setdefault("state_dir", Given(str(directory / (given or "var")), origin))


def _validate(tree: LayerTree, problems: Problems, wording: Wording, *, complete: bool) -> Configuration | None:
    """The configuration, with every wrong value reported.

    Wrong values are taken out and the rest is validated again, so that the checks across keys run in any case. What is
    only missing is not reported unless all files could be read.
    """
    for _ in range(_ROUNDS):
        try:
            configuration = Configuration.model_validate(_plain(NATIVE, tree))
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_context=True, include_input=False):
                missing = detail["type"] == "missing"
                if detail["type"] != "default_factory_not_called" and (complete or not missing):
                    path, origin = locate(NATIVE, tree, detail["loc"])
                    message = _message(detail["type"], detail["msg"], detail.get("ctx", {}))
                    problems.add(origin, path, message + wording.hint(path, origin))
                _take_out(NATIVE, tree, detail["loc"][:-1] if missing else detail["loc"])
        else:
            for finding in (*configuration.all_findings(), *server_findings(configuration)):
                _report(finding, tree, problems, wording, complete=complete)
            return configuration
    return None


def _report(finding: Finding, tree: LayerTree, problems: Problems, wording: Wording, *, complete: bool) -> None:
    """Report a finding, unless it only follows from what is reported already."""

    def refused(path: KeyPath) -> bool:
        spelled = wording.spelled(path)
        named_file = (*path[:-1], f"{path[-1]}_file") if path else path
        return any(problems.refuse(name) for name in (path, named_file, spelled or path))

    path, origin = locate(NATIVE, tree, finding.place)
    if finding.absence and (not complete or refused(path)):
        return
    if not any(refused(locate(NATIVE, tree, place)[0]) for place in finding.rests_on):
        problems.add(origin, path, finding.message + wording.hint(path, origin), finding.severity)


def _message(kind: str, text: str, context: Mapping[str, Any]) -> str:
    """Pydantic's finding in the words of this configuration; never with the value."""
    match kind:
        case "missing":
            return "is needed"
        case "literal_error":
            return f"expected {context['expected']}".replace("'', ", "")
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            words = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
            return "expected " + ", ".join(f"{words[name]} {limit}" for name, limit in context.items())
        case "string_too_short":
            return "expected text that is not empty"
        case "string_too_long":
            return f"expected at most {context['max_length']} characters"
    return text


def locate(node: Node, tree: Any, place: Place) -> tuple[KeyPath, Origin]:
    """Path and origin of a place in the merged tree. An absent value has the origin of its table."""
    path: list[str] = []
    origin = DEFAULT
    for step in place:
        if isinstance(tree, dict | list) and (within := origin_within(tree)) is not DEFAULT:
            origin = within
        key, node, tree = _step(node, tree, step)
        path.append(key)
    if path and tree is not None and (within := origin_within(tree)) is not DEFAULT:
        origin = within
    return tuple(path), origin


def _step(node: Node, tree: Any, step: str | int) -> tuple[str, Node, Any]:
    if isinstance(node, Leaf):
        return str(step), node, tree
    if isinstance(node, Tables):
        index = int(step)
        if not isinstance(tree, dict | list) or index >= len(tree):
            return str(step), node.item, None
        name, item = next(islice(tree.items(), index, None)) if isinstance(tree, dict) else (step, tree[index])
        return str(name), node.item, item
    child = node.child(str(step))
    return str(step), child or Table(), tree.get(str(step)) if isinstance(tree, dict) else None


def _take_out(node: Node, tree: Any, place: Place) -> None:
    """Remove what stands at a place, or the value that encloses it."""
    for index, step in enumerate(place):
        key, child, below = _step(node, tree, step)
        if index == len(place) - 1 or isinstance(below, Given):
            if isinstance(tree, list):
                tree[int(key)] = {}
            elif isinstance(tree, dict):
                tree.pop(key, None)
            return
        node, tree = child, below


def _plain(node: Node, tree: Any) -> Any:
    """The tree as the models take it: values without origins, lists of tables as lists."""
    if isinstance(tree, Given):
        return tree.value
    if isinstance(node, Table):
        return {key: _plain(node.child(key) or Table(), value) for key, value in tree.items()}
    item = node.item if isinstance(node, Tables) else node
    return [_plain(item, value) for value in (tree.values() if isinstance(tree, dict) else tree)]


def _origins(node: Node, tree: Any, path: str = "") -> dict[str, Origin]:
    if isinstance(tree, Given):
        return {path: tree.origin}
    origins: dict[str, Origin] = {}
    item = node.item if isinstance(node, Tables) else None
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        child = item or (node.child(str(key)) if isinstance(node, Table) else None) or Table()
        origins |= _origins(child, value, f"{path}.{key}" if path else str(key))
    return origins
