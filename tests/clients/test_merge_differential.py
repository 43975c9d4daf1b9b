"""clearml.md 7.2: our merge and the SDK's own parser, loader and merge come to the same configuration."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.vaults.merge import Merged, Source, merge
from gateway.vaults.text import UnusableText, prepare
from tests.clients.vault_sets import CLIENT, VaultSet, vault_sets
from tests.clients.warm_child import WarmChild
from tests.daemon import Answer, Daemon, running
from tests.serve.clearml_site import PASSWORD, environment

PYTHON = Path(__file__).parents[2] / ".venvs/clearml-2.1.12/bin/python"
SETS = 300
SEED = 5
SESSIONS = 30
EVERYONE = "30795571-a470-4717-a80d-e8705fc776bf"
CONSTRUCTS = ["substitution", "+=", "dotted key", "null", "list", "yaml", "json", "client-side variable", "missing variable", "several substitutions", "lost"]
FEWEST = 20
OWN = ("env", "logging")
"""Sections that the SDK changes by itself while it starts."""


class Client(WarmChild):
    """The SDK in a warm child process."""

    def __init__(self, folder: Path, **variables: str) -> None:
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "NO_PROXY": "127.0.0.1",
            "CLEARML_CONFIG_FILE": str(folder / "no-clearml.conf"), **CLIENT, **variables,
        }  # fmt: skip
        super().__init__(PYTHON, Path(__file__).with_name("clearml_child.py"), folder, environment)

    def configuration(self, call: dict[str, Any]) -> dict[str, Any]:
        """What the SDK holds after one call; see ``clearml_child``."""
        return {key: value for key, value in self.put(call).items() if key not in OWN}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    started = Client(tmp_path_factory.mktemp("client"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def sets() -> list[VaultSet]:
    return list(vault_sets(SEED, SETS))


def delivered(made: VaultSet) -> list[str]:
    """The texts as clients get them; what is refused at write time goes as it is, as an older gateway may have it."""
    texts = []
    for form, text in made.vaults:
        try:
            texts.append(prepare(text, form, shared=True).delivered)
        except UnusableText:
            assert form == "hocon", text
            texts.append(text)
    return texts


def merged(texts: Sequence[str], environment: dict[str, str] | None) -> Merged:
    return merge([Source(str(number), text) for number, text in enumerate(texts)], environment)


def test_the_generator_has_enough_of_everything(sets: list[VaultSet]) -> None:
    used: Counter[str] = Counter()
    for made in sets:
        used += made.used
    assert {construct: used[construct] for construct in CONSTRUCTS if used[construct] < FEWEST} == {}


def test_sets(client: Client, sets: list[VaultSet]) -> None:
    moved, dropped, vaults = 0, 0, 0
    for made in sets:
        texts = delivered(made)
        ours, theirs = merged(texts, CLIENT), client.configuration({"vaults": texts})
        assert canonical(ours.tree) == canonical(theirs), texts
        moved += canonical(merged(texts[::-1], CLIENT).tree) != canonical(theirs)
        vaults += len(texts)
        dropped += len(ours.dropped)
    assert moved > 0.7 * len(sets), "the order of vaults must matter"
    assert FEWEST <= dropped < vaults / 10


def test_variables_as_written(sets: list[VaultSet]) -> None:
    """What is shown without the client's variables is what it will have, but for theirs."""
    compared = 0
    for made in sets:
        if not made.used["missing variable"]:
            shown = json.dumps(merged(delivered(made), None).tree)
            for name, value in CLIENT.items():
                shown = shown.replace(f"${{{name}}}", value).replace(f"${{?{name}}}", value)
            assert canonical(json.loads(shown)) == canonical(merged(delivered(made), CLIENT).tree)
            compared += 1
    assert compared > FEWEST


def test_whole_sessions(tmp_path: Path) -> None:
    """A daemon keeps the vaults; ``Session()`` logs in, gets them, and holds them over its own defaults."""
    with running(tmp_path, environment=environment()) as daemon:
        session = Client(
            tmp_path, CLEARML_API_HOST=f"http://127.0.0.1:{daemon.port}", CLEARML_API_ACCESS_KEY="jane",
            CLEARML_API_SECRET_KEY=PASSWORD, CLEARML_WEB_HOST="http://127.0.0.1:1", CLEARML_FILES_HOST="http://127.0.0.1:2",
        )  # fmt: skip
        try:
            defaults = session.configuration({"session": True})
            for made in vault_sets(SEED + 1, SESSIONS):
                kept = store(daemon, made)
                expected = defaults
                for text in kept:
                    expected = over(expected, merged([text], CLIENT).tree)
                assert canonical(session.configuration({"session": True})) == canonical(expected), kept
                shown = daemon.call("/api/vaults/merged", basic=("jane", PASSWORD)).json["config"]
                assert canonical(shown) == canonical(merged(kept, None).tree)
        finally:
            session.close()


def store(daemon: Daemon, made: VaultSet) -> list[str]:
    """Replace all vaults by those of a set: the first for everyone, the last Jane's own, the others of the group of
    everyone. Returns what clients get of those that were accepted.
    """
    administrator = daemon.token("ada", PASSWORD)
    jane = daemon.user(daemon.token("jane", PASSWORD))["id"]

    def call(action: str, **fields: Any) -> Answer:
        return daemon.call(f"/users.{action}", method="PUT", body=json.dumps(fields), bearer=administrator)

    old = [vault["id"] for vault in call("get_organization_vaults").data["vaults"]]
    assert call("delete_vaults", vaults=old).data["deleted"] == len(old)
    assert call("add_or_update_vault", vault={"scope": "user", "data": ""}, user=jane).status == 200
    kept = []
    for number, (form, text) in enumerate(made.vaults):
        if number == 0:
            scope: dict[str, Any] = {"vault": {"scope": "organization"}}
        elif number == len(made.vaults) - 1:
            scope = {"vault": {"scope": "user"}, "user": jane}
        else:
            scope = {"vault": {"scope": "group"}, "group": EVERYONE}
        scope["vault"] |= {"format": form, "data": text}
        status = call("add_or_update_vault", **scope).status
        assert status in (200, 400)
        if status == 200:
            kept.append(prepare(text, form, shared=scope["vault"]["scope"] != "user").delivered)
    return kept


def over(tree: Any, more: Any) -> Any:
    """Objects joined deeply, everything else replaced."""
    if not isinstance(tree, dict) or not isinstance(more, dict):
        return more
    return {**tree, **{key: over(tree[key], value) if key in tree else value for key, value in more.items()}}


def canonical(tree: Any) -> str:
    """With kinds of numbers told apart, and without the order of keys, which means nothing."""
    return json.dumps(tree, sort_keys=True)
