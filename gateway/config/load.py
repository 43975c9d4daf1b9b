"""The one pipeline from files and environment to a snapshot: read, translate, merge, validate, check.

Blocking (files, parsing): at reload it runs in a thread. What it returns depends on its arguments and on the files that
they name; only whether a certificate of ours has expired also on the clock.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from .access_advice import doubtful_access
from .checks import server_findings, sync_findings
from .difference import pending_keys
from .environment import read_environment
from .grafana import drop_unused_files
from .grafana_advice import doubtful_delivery
from .grafana_ini import LdapToml, MainSettings
from .layer import Layer, LayerTree, Shaper
from .listener_checks import listener_findings
from .merge import Merger, fill, live
from .origin import DEFAULT, ConfigurationError, Given, Origin, Problem, Problems
from .origin import Path as KeyPath
from .presets import apply_presets
from .reading import Content, Reading, anchored
from .schema import Configuration, QueryCondition
from .schema.fields import Form
from .schema.meant import meant
from .schema.section import Finding, Place
from .schema.shape import Leaf, Node, Table, Tables
from .sources import read_files
from .spellings import FIXED_USERS, KNOWN, LDAP, NATIVE, SERVER, translate
from .stored import Stored, read_stored
from .vault_files import check_declared, read_vault_files
from .withheld import withhold_passwords
from .wording import Wording, written

__all__ = ["DEFAULT", "ConfigurationError", "Origin", "Problem", "Snapshot", "load"]

_FILTERS: Final = ("search_filter", "group_search_filter")
_ROUNDS: Final = 50
"""Validations after which wrong values are no longer taken out one by one."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One loaded, validated, frozen configuration."""

    configuration: Configuration
    """What is in force with it: where the process has begun with other values of keys that need a restart, those."""
    written: Configuration
    """What the layers say."""
    generation: int
    warnings: tuple[Problem, ...]
    notes: tuple[Problem, ...]
    """What is nothing wrong and may yet surprise: an include without file, a file read by Grafana's rules."""
    files: tuple[Path, ...]
    """The files it was read from, absolute, in order."""
    origins: Mapping[KeyPath, tuple[Origin, ...]]
    """Where each value came from that somebody gave, by path (items of lists by name or index; names may hold dots):
    the origin that holds, then those that it overrides, the nearest first. A value that was removed is among them."""
    contents: Mapping[Path, Content]
    """Every file that was read, secrets and certificates too, and what it held."""
    ldap_toml: LdapToml | None = None
    """What Grafana's main settings come to; None where nobody gave any."""
    numbered: Mapping[str, Origin] = field(default_factory=dict)
    """The servers that files give no name, by the name that their order gives them, folded, and their places."""

    def origin(self, path: str | KeyPath) -> Origin:
        """Where the value at a path came from, which is dotted where no key of it holds a dot; ``DEFAULT`` where nobody
        gave one."""
        return self.origins.get(tuple(path.split(".")) if isinstance(path, str) else path, (DEFAULT,))[0]


def load(
    files: Sequence[Path],
    environment: Mapping[str, str],
    *,
    generation: int = 1,
    working_directory: Path | None = None,
    stored: Sequence[Stored] = (),
    begun_with: Configuration | None = None,
    held: Mapping[Path, Content] | None = None,
) -> Snapshot:
    """Load files (later ones win), above them what an API wrote, and above all variables and systemd credentials.

    ``begun_with`` is what the process started with: its values of keys that need a restart stay in force, and the rest
    is checked together with them. What is safe on the listener that is written may not be so on the one that is open.
    ``held`` is what the files held at an earlier load: then none is read, and files of certificates are not checked.

    :raises ConfigurationError: with every problem of every layer at once.
    """
    # A load makes some 100,000 objects and hardly a cycle: looking for cycles among them takes a third of its time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        directory = (working_directory or Path.cwd()).absolute()
        return _load(files, environment, generation, directory, stored, begun_with, Reading(held))
    finally:
        if collecting:
            gc.enable()


def _load(
    files: Sequence[Path],
    environment: Mapping[str, str],
    generation: int,
    directory: Path,
    stored: Sequence[Stored],
    begun_with: Configuration | None,
    reading: Reading,
) -> Snapshot:
    names = tuple(anchored(directory, file) for file in files)
    problems = Problems()
    shaper = Shaper(directory, problems, reading, KNOWN)
    main = MainSettings(environment, shaper)
    layers = read_files(names, main)
    complete = None not in layers
    usable = [layer for layer in layers if layer is not None]
    usable.append(read_stored(stored, shaper))
    usable += read_environment(environment, shaper)
    main.add_variables(usable[-1])
    translation = translate(usable, problems)
    tree, numbered = _merge(usable, problems, translation.wording)
    _default_state_dir(tree, environment, directory)
    if translation.maker is not None:
        _default_registration(tree)
    if complete and translation.provider is not None and not live(tree).get("servers"):
        _no_server(translation.provider, problems)
    _note_other_files(NATIVE, tree, reading)
    read_vault_files(tree, reading, problems)
    origins = dict(_origins(tree))
    _warn_of_hidden(origins, problems)
    withhold_passwords(tree, problems)
    configuration = _validate(tree, problems, translation.wording, reading, complete=complete)
    if problems.errors or configuration is None:
        raise ConfigurationError(problems.all, reading.contents, configuration, whole=complete)
    in_force = configuration if begun_with is None else _in_force(tree, configuration, begun_with, problems)
    if problems.errors:
        raise ConfigurationError(problems.all, reading.contents, configuration)
    kept_origins = MappingProxyType(origins)
    notes = tuple(problems.notes)
    return Snapshot(
        in_force, configuration, generation, problems.all, notes, names, kept_origins, reading.contents, main.ldap_toml,
        numbered,
    )  # fmt: skip


def _in_force(
    tree: LayerTree, configuration: Configuration, begun_with: Configuration, problems: Problems
) -> Configuration:
    """The configuration with the values that the process cannot change, and what is wrong with that."""
    pending = pending_keys(configuration, begun_with)
    if not pending:
        return configuration
    plain = _plain(NATIVE, tree)
    for key in pending:
        *tables, name = key.split(".")
        table = plain
        for outer in tables:
            table = table.setdefault(outer, {})
        table[name] = attrgetter(key)(begun_with)
    in_force = Configuration.model_validate(plain)
    for finding in in_force.all_findings():
        if finding.severity == "error":
            path, origin = locate(NATIVE, tree, finding.place)
            message = f"{finding.message} (that is in force until a restart: {', '.join(pending)})"
            problems.add(origin, path, message)
    return in_force


def _warn_of_hidden(origins: Mapping[KeyPath, tuple[Origin, ...]], problems: Problems) -> None:
    """A file that somebody edits in vain is a riddle (DECISIONS 22)."""
    for path, (origin, *overridden) in origins.items():
        if origin.kind == "stored" and (hidden := next((below for below in overridden if below.kind == "file"), None)):
            dotted = ".".join(path)
            problems.warn(hidden, path, f"hidden by what was {origin}; ldap-gateway config forget {dotted} drops that")


def _merge(layers: Sequence[Layer], problems: Problems, wording: Wording) -> tuple[LayerTree, Mapping[str, Origin]]:
    """All layers in one tree, and the servers that nobody gave a name."""
    tree = LayerTree()
    merger = Merger(problems)
    for layer in layers:
        merger.overlay(NATIVE, tree, layer.tree)
    _warn_of_numbers([name for layer in layers for name in layer.grafana], merger.numbered, problems)
    apply_presets(tree, problems, wording)
    for layer in layers:
        fill(NATIVE, tree, layer.fallbacks)
        for name in layer.grafana:
            drop_unused_files(live(tree).get("servers", {}).get(name), ("servers", name), problems)
    return tree, merger.numbered


def _warn_of_numbers(blocks: Sequence[str], numbered: Mapping[str, Origin], problems: Problems) -> None:
    """Of several blocks of Grafana's files those without a name are others once one of them goes or moves."""
    called = {name: numbered[name] for name in blocks if name in numbered}
    if len(blocks) > 1 and called and not problems.errors:
        shown = ", ".join(f"{name} ({origin})" for name, origin in called.items())
        message = f"only their order gives these blocks their names: {shown}. Once a block goes or moves, rights "
        message += "(admins), sessions and keys go over to the people of another directory: give each block a name"
        problems.warn(next(iter(called.values())), ("servers",), message)


def _no_server(provider: Origin, problems: Problems) -> None:
    server = (*LDAP, "server")
    if not problems.refuse(server) and not problems.refuse(("servers",)):
        path = (*FIXED_USERS, "provider")
        problems.add(provider, path, f"is ldap, and there is no server: set {written(server, provider)}")


def _default_registration(tree: LayerTree) -> None:
    """ClearML's whitelist mode: its keys made the server and named no company for new users (DECISIONS 7)."""
    server = live(tree).get("servers", {}).get(SERVER[1], {})
    company = live(server).get("clearml", {}).get("default_company") if isinstance(server, LayerTree) else None
    if company is not None and company.value:
        return
    whitelist = LayerTree(DEFAULT, {"registration": Given("whitelist", DEFAULT)})
    fill(NATIVE, tree, LayerTree(DEFAULT, {"clearml": whitelist}))


def _default_state_dir(tree: LayerTree, environment: Mapping[str, str], directory: Path) -> None:
    given = environment.get("STATE_DIRECTORY", "").split(":")[0]
    origin = Origin("variable", "STATE_DIRECTORY") if given else DEFAULT
    fill(NATIVE, tree, LayerTree(origin, {"state_dir": Given(str(directory / (given or "var")), origin)}))


def _note_other_files(node: Node, tree: Any, reading: Reading) -> None:
    """Remember what certificate files held, so that a change of one is a change of the configuration."""
    if isinstance(tree, Given):
        if isinstance(node, Leaf) and node.form in (Form.PATH, Form.PATHS):
            for name in tree.value if isinstance(tree.value, list) else (tree.value,):
                if isinstance(name, str) and name:
                    reading.certificate(Path(name))
        return
    for key, below in tree.items() if isinstance(tree, LayerTree) else enumerate(tree):
        child = node.item if isinstance(node, Tables) else node.child(str(key)) if isinstance(node, Table) else node
        if key != "state_dir" and child is not None:
            _note_other_files(child, below, reading)


def _validate(
    tree: LayerTree, problems: Problems, wording: Wording, reading: Reading, *, complete: bool
) -> Configuration | None:
    """The configuration, with every wrong value reported.

    Wrong values are taken out and the rest is validated again, so that the checks across keys run in any case. What is
    only missing is not reported unless all files could be read.
    """
    for _ in range(_ROUNDS):
        try:
            configuration = Configuration.model_validate(_plain(NATIVE, tree))
        except ValidationError as error:
            wrong: dict[Place, None] = {}
            for detail in error.errors(include_url=False, include_context=True, include_input=False):
                missing = detail["type"] == "missing"
                if detail["type"] != "default_factory_not_called" and (complete or not missing):
                    path, origin = locate(NATIVE, tree, detail["loc"])
                    context = detail.get("ctx", {})
                    message = _message(detail["type"], detail["msg"], context, detail["loc"])
                    if "item" in context:
                        _, origin = locate(NATIVE, tree, (*detail["loc"], context["item"]))
                    problems.add(origin, path, message + wording.hint(path, origin))
                if problems.full:
                    return None
                wrong[detail["loc"][:-1] if missing else detail["loc"]] = None
            for place in reversed(wrong):  # the last first: what is taken out of a list moves what stands behind it
                _take_out(NATIVE, tree, place)
        else:
            about_files = (*server_findings(configuration, files=not reading.by_heart),
                           *listener_findings(configuration, reading), *sync_findings(configuration))  # fmt: skip
            for finding in (*configuration.all_findings(), *about_files, *_about_use(configuration)):
                if problems.full:
                    break
                _report(finding, tree, problems, wording, complete=complete)
            check_declared(configuration, tree, problems)
            return configuration
    return None


def _about_use(configuration: Configuration) -> Iterator[Finding]:
    yield from doubtful_access(configuration)
    yield from doubtful_delivery(configuration)


def _report(finding: Finding, tree: LayerTree, problems: Problems, wording: Wording, *, complete: bool) -> None:
    """Report a finding, unless it only follows from what is reported already."""

    def refused(path: KeyPath) -> bool:
        spelled = wording.spelled(path)
        named_file = (*path[:-1], f"{path[-1]}_file") if path else path
        return any(problems.refuse(name) for name in (path, named_file, spelled or path))

    path, origin = locate(NATIVE, tree, finding.place)
    if finding.absence and (not complete or refused(path)):
        return
    if any(refused(locate(NATIVE, tree, place)[0]) for place in finding.rests_on):
        return
    message, severity = finding.message + wording.hint(path, origin), finding.severity
    if severity == "error" and origin.kind == "stored" and path[:1] == ("servers",) and path[-1] in _FILTERS:
        # Who wrote it through the Vault API must not keep everybody else out (DECISIONS 24).
        message, severity = f"{message}: until it is mended nobody can log in to this server", "warning"
    problems.add(origin, path, message, severity)


def _message(kind: str, text: str, context: Mapping[str, Any], place: Place) -> str:
    """Pydantic's finding in the words of this configuration; never with the value."""
    match kind:
        case "missing":
            return "is needed"
        case "extra_forbidden":  # conditions are values: whoever reads a layer does not look into them
            return "unknown key" + meant(str(place[-1]), QueryCondition.model_fields)
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
        if isinstance(tree, Given) and isinstance(step, int) and step < len(tree.items):
            origin = tree.items[step]
        key, node, tree = _step(node, tree, step)
        path.append(key)
        if isinstance(tree, LayerTree | Given) and tree.origin is not DEFAULT:
            origin = tree.origin
    return tuple(path), origin


def _step(node: Node, tree: Any, step: str | int) -> tuple[str, Node, Any]:
    if isinstance(node, Leaf):
        return str(step), node, None
    if isinstance(node, Tables):
        index = int(step)
        items = live(tree) if isinstance(tree, LayerTree) else tree
        if not isinstance(items, dict | list) or index >= len(items):
            return str(step), node.item, None
        name, item = next(islice(items.items(), index, None)) if isinstance(items, dict) else (step, items[index])
        return str(name), node.item, item
    child = node.child(str(step))
    return str(step), child or Table(), tree.get(str(step)) if isinstance(tree, LayerTree) else None


def _take_out(node: Node, tree: Any, place: Place) -> None:
    """Remove what stands at a place, or the value that encloses it."""
    for index, step in enumerate(place):
        key, child, below = _step(node, tree, step)
        if index == len(place) - 1 or isinstance(below, Given):
            if isinstance(tree, list):
                tree[int(key)] = LayerTree()
            elif isinstance(tree, dict):
                tree.pop(key, None)
            return
        node, tree = child, below


def _plain(node: Node, tree: Any) -> Any:
    """The tree as the models take it: values without origins, lists of tables as lists, nothing that was removed."""
    if isinstance(tree, Given):
        return tree.value
    if isinstance(node, Table):
        return {key: _plain(node.child(key) or Table(), value) for key, value in live(tree).items()}
    item = node.item if isinstance(node, Tables) else node
    return [_plain(item, value) for value in (live(tree).values() if isinstance(tree, LayerTree) else tree)]


def _origins(tree: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, tuple[Origin, ...]]]:
    """Path and origins of every value below, removed ones included."""
    for key, value in tree.items() if isinstance(tree, LayerTree) else enumerate(tree):
        if isinstance(value, Given):
            yield (*path, str(key)), value.origins
        else:
            yield from _origins(value, (*path, str(key)))
