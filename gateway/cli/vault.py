"""``ldap-gateway vault export|import MOUNT``: the group and user mappings of a mount as one document."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    from gateway.cli.admin import add_state_dir_option, guarded
    from gateway.cli.config import add_files_option

    vault = subparsers.add_parser("vault", help="mappings of the Vault API, from groups and user names to policies")
    actions = vault.add_subparsers(metavar="ACTION", required=True)
    export = actions.add_parser("export", help="print all mappings of MOUNT, as the running daemon has them")
    export.add_argument("--format", choices=("yaml", "json"), default="yaml")
    export.set_defaults(run=guarded(run_export))
    imported = actions.add_parser("import", help="make the mappings of MOUNT what a file says, and remove all others")
    imported.add_argument("--dry-run", action="store_true", help="only say what would change")
    imported.set_defaults(run=guarded(run_import))
    for command in (export, imported):
        command.add_argument("mount", metavar="MOUNT", help="path of the mount, as in auth/MOUNT/")
        add_files_option(command, meaning="a file of the daemon, to find its state_dir; no more")
        add_state_dir_option(command)
    imported.add_argument("document", metavar="DOCUMENT", type=Path, help="YAML or JSON; - for standard input")


def run_export(arguments: argparse.Namespace) -> int:
    """Print the document."""
    from gateway.cli.admin import ask

    data = ask(arguments, "GET", f"/admin/vault/mappings?{urlencode({'mount': arguments.mount})}")
    if arguments.format == "json":
        print(json.dumps(data["document"], ensure_ascii=False, indent=2))
    else:
        print("\n".join(_yaml(data["document"])))
    return 0


def run_import(arguments: argparse.Namespace) -> int:
    """Import a document, and print what changes."""
    from gateway.cli.admin import ask

    fields = {"mount": arguments.mount, "document": _read(arguments.document), "dry_run": arguments.dry_run}
    lines = ask(arguments, "POST", "/admin/vault/mappings/replace", fields)["changes"]
    for line in lines:
        print(line)
    if not lines:
        print("Nothing would change." if arguments.dry_run else "Nothing changed.")
    return 0


def _yaml(document: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A mapping a line; what is JSON is YAML, too."""
    for section, items in document.items():
        yield f"{section}:" if items else f"{section}: {{}}"
        for name, value in items.items():
            yield f"  {json.dumps(name, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}"


def _read(path: Path) -> Any:
    """The document as plain data. Raises NotDone."""
    from gateway.cli.admin import NotDone
    from gateway.config.origin import Origin, plain_value
    from gateway.config.reading import SourceError
    from gateway.config.yaml_source import parse_yaml

    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        return plain_value(parse_yaml(text, Origin("file", str(path))))
    except (OSError, UnicodeDecodeError) as error:
        raise NotDone(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    except SourceError as error:
        raise NotDone(f"{path}:{error.line}:{error.column}: {error}") from None
