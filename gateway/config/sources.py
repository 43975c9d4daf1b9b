"""Reads one file into a plain tree: HOCON, TOML, YAML or JSON, by suffix.

Every error is a ``SourceError`` whose text never quotes the file: what stands next to a syntax error may be a password.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import stat
import threading
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Final, NoReturn

import pyhocon.config_parser
import pyparsing
from pyhocon.exceptions import ConfigException

from .yaml_source import parse_yaml

HOCON_SIZE: Final = 1024 * 1024
"""Largest HOCON text in bytes."""
OTHER_SIZE: Final = 8 * 1024 * 1024
"""Largest text of the other formats: 20,000 group mappings with long DNs must fit."""
SECRET_SIZE: Final = 64 * 1024
"""Largest file that holds one secret, in bytes."""
TOO_DEEP: Final = "nested too deeply"

Tree = dict[str, Any]


class SourceError(ValueError):
    """A file that cannot be read. The text says why, without quoting it."""


class IncludeForbiddenError(Exception):
    """A HOCON text asks for another file or an address."""


def suffix_of(path: Path) -> str:
    """The suffix by which a file is read.

    :raises SourceError: for one that is not known.
    """
    suffix = path.suffix.lower()
    if suffix not in PARSERS:
        raise SourceError(f"unknown kind of file; expected one of {', '.join(PARSERS)}")
    return suffix


def anchored(directory: Path, name: str | Path) -> Path:
    """A path that belongs to a directory; without ``..`` where that leads to the same place (links may forbid it)."""
    path = directory / name
    if ".." not in path.parts:
        return path
    plain = Path(os.path.normpath(path))
    try:
        return plain if os.path.realpath(plain) == os.path.realpath(path) else path
    except (OSError, ValueError):
        return path


def read_text(path: Path, limit: int) -> str:
    """Text of a regular file of at most ``limit`` bytes, in UTF-8, without byte order mark.

    :raises SourceError: for anything else.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise SourceError("not a regular file")
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"cannot be read: {getattr(error, 'strerror', None) or 'not a valid path'}") from None
    if len(data) > limit:
        raise SourceError(f"larger than {limit} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"not UTF-8 text (byte {error.start})") from None


def _open_at_once(path: str, flags: int) -> int:
    """A FIFO without a writer must not hold a reload for ever."""
    return os.open(path, flags | os.O_NONBLOCK)


def parse(text: str, suffix: str) -> Tree:
    """The tree that a text of the kind ``suffix`` holds.

    :raises SourceError: for text that is not of that kind, too deep, or no table at its top.
    """
    try:
        tree = PARSERS[suffix](text)
    except RecursionError:
        raise SourceError(TOO_DEEP) from None
    if not isinstance(tree, dict):
        raise SourceError("expected keys and values at the top level")
    return tree


def _toml(text: str) -> Tree:
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise SourceError(f"not valid TOML: {error}") from None


def _yaml(text: str) -> Any:
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise SourceError(f"not valid YAML: {error}") from None


def parse_json(text: str) -> Any:
    """JSON as RFC 8259 has it, with a key given twice or a number that is none being errors.

    :raises SourceError: for anything else.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise SourceError(f"not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise SourceError(TOO_DEEP) from None
    except ValueError as error:
        raise SourceError(f"not valid JSON: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> Tree:
    tree = dict(pairs)
    if len(tree) < len(pairs):
        raise ValueError("a key is given twice")
    return tree


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


_EXPECTED: Final = re.compile(r"Expected ('[^\w']'|end of text)")
"""What pyparsing says it expected, where that is one sign of HOCON's own or the end."""
_hocon_lock: Final = threading.Lock()


def _hocon(text: str) -> Any:
    module = _restricted_hocon()
    # pyparsing keeps its white space in a class attribute, and leaves it changed after a syntax error.
    with _hocon_lock:
        white = pyparsing.ParserElement.DEFAULT_WHITE_CHARS
        try:
            return _plain(module.ConfigParser.parse(text))
        except pyparsing.ParseBaseException as error:
            expected = _EXPECTED.fullmatch(error.msg)
            hint = f": expected {expected[1]}" if expected else ""
            hint += "; text with signs such as = must be quoted" if hint.endswith("end of text") else ""
            raise SourceError(f"not valid HOCON (line {error.lineno}, column {error.column}){hint}") from None
        except IncludeForbiddenError:
            raise SourceError("include is not supported: name each file with -c") from None
        except ConfigException as error:
            raise SourceError(_substitution_error(error)) from None
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            raise SourceError("not valid HOCON") from None
        finally:
            pyparsing.ParserElement.set_default_whitespace_chars(white)


def _plain(value: Any) -> Any:
    if isinstance(value, pyhocon.ConfigTree):
        return _plain(value.as_plain_ordered_dict())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _substitution_error(error: ConfigException) -> str:
    text = str(error)
    if text.startswith("Cannot resolve variable"):
        return f"{text[0].lower()}{text[1:]}: only keys of the same file can be referred to"
    return "not valid HOCON: a substitution cannot be resolved, or keys contradict each other"


@cache
def _restricted_hocon() -> ModuleType:
    """A private instance of pyhocon's parser without includes, network and environment.

    It also leaves ``10s`` and ``30 days`` as text: the key decides whether that is a duration.
    """
    spec = importlib.util.spec_from_file_location("restricted_hocon", pyhocon.config_parser.__file__)
    if spec is None or spec.loader is None:
        raise ImportError("pyhocon's parser cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    module.__package__ = "pyhocon"
    spec.loader.exec_module(module)

    def refuse(*_arguments: object, **_options: object) -> NoReturn:
        raise IncludeForbiddenError

    names: dict[str, Any] = vars(module)
    names.update(urlopen=refuse, glob=refuse, find_package_dirs=refuse, get_period_expr=pyparsing.NoMatch)
    names["os"] = SimpleNamespace(environ={}, path=os.path)
    names["ConfigFactory"].parse_file = names["ConfigFactory"].parse_URL = refuse
    names["ConfigParser"].resolve_package_path = refuse
    return module


PARSERS: Final[dict[str, Callable[[str], Any]]] = {
    ".conf": _hocon,
    ".hocon": _hocon,
    ".toml": _toml,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".json": parse_json,
}
"""How a text is parsed, by suffix."""
