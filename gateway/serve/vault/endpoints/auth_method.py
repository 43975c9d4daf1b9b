"""``auth/<mount>/config``, ``groups`` and ``users``: what the people of a mount get (vault.md 2, 3).

What is written is a layer of the configuration (DECISIONS 22); what is read is in force.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from gateway.config.schema.fields import Form
from gateway.config.vault_config import (
    CONFIG_FIELDS,
    MAP,
    InvalidField,
    check_tokens,
    config_changes,
    config_warnings,
    left_out,
    needs_bindpass,
    read_config,
    read_tokens,
    settings_of,
    unmoved,
    with_new_names,
    without_effect,
)
from gateway.config.vault_fields import OLD_NAMES
from gateway.serve.vault.call import Call, Operation
from gateway.serve.vault.fields import Field, Type
from gateway.serve.vault.paths import shown_path
from gateway.serve.vault.reply import Reply, VaultError, not_found
from gateway.serve.vault.routes import MOUNT, Route
from gateway.serve.vault.stored import Values, store
from gateway.settings import FORGOTTEN
from gateway.tokens.vault_children import policies as policy_list
from gateway.vault_mappings import LONGEST_NAME
from gateway.vault_mounts import MountPoint, Mounts

if TYPE_CHECKING:
    from gateway.config.load import Snapshot
    from gateway.runtime import Live

_TYPES: Final = {
    Form.FLAG: Type.FLAG,
    Form.INT: Type.INTEGER,
    Form.DURATION: Type.DURATION,
    Form.TEXTS: Type.TEXTS,
}
"""Other forms are texts."""


async def read(call: Call) -> Reply:
    """The configuration without its secrets."""
    mount = _mount(call.live.vault.mounts, call)
    if mount.server is None:
        return Reply(read_tokens(mount.settings))
    return Reply(read_config(mount.server), warnings=config_warnings(mount.server))


async def write(call: Call) -> Reply:
    """Change the fields that are given."""
    values = {name: call.values[name] for name in CONFIG_FIELDS if call.given(name)}
    said: list[str] = []

    def plan(snapshot: Snapshot) -> Values:
        mount = _mount(Mounts(snapshot.configuration), call)
        try:
            changes = _changes(snapshot, mount, values)
        except InvalidField as error:
            raise VaultError(400, str(error)) from None
        if mount.server is not None:
            said[:] = config_warnings(mount.server.model_copy(update=_as_keys(changes)))
            if mount.configuration.vault.compatibility:
                changes = dict.fromkeys(left_out(values), FORGOTTEN) | changes
            return {(*mount.place[:2], *path): value for path, value in changes.items()}
        return {(*mount.place, path[-1]): value for path, value in changes.items()}

    reply = await store(call, plan)
    return Reply(warnings=[*said, *without_effect(values), *reply.warnings])


def _as_keys(changes: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """Of a server's own keys, those that warnings are about."""
    return {path[0]: value or "" for path, value in changes.items() if path in (("search_filter",), ("user_attr",))}


def _changes(snapshot: Snapshot, mount: MountPoint, values: Values | Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    given: Mapping[str, Any] = {str(name): value for name, value in values.items()}
    if mount.server is None:
        renamed = with_new_names(given)
        if other := [name for name in renamed if not name.startswith("token_")]:
            text = f"{other[0]} cannot be set: auth/{mount.path}/ has no directory of its own, only token_ fields"
            raise InvalidField(text)
        check_tokens(mount.settings, renamed)
        return settings_of(renamed)
    place = mount.place[:2]
    changes = config_changes(
        mount.server, given, lambda key: snapshot.origin((*place, *key.split("."))).kind != "default"
    )
    for name in unmoved(mount.server, given):
        # Kept where it is said: what files say of it later holds, and no bind password is withheld for it.
        path = tuple(CONFIG_FIELDS[name].key.split("."))
        if snapshot.origin((*place, *path)).kind != "stored":
            del changes[path]
    if needs_bindpass(mount.server, given):
        kind = snapshot.origin((*place, "bind_password")).kind
        if kind in ("variable", "credential") or (kind != "stored" and not given.get("bindpass")):
            # It would be sent to whoever the writer names (DECISIONS 15).
            told = "was not set through this API" if kind == "file" else "is fixed by the environment"
            more = ": give bindpass as well" if kind == "file" else ""
            raise InvalidField(f"url, TLS and certificates cannot be changed, because the bind password {told}{more}")
    return changes


async def list_groups(call: Call) -> Reply:
    """Names of all groups that give policies."""
    return _listed(_mount(call.live.vault.mounts, call).groups)


async def list_users(call: Call) -> Reply:
    """All user names that give something."""
    return _listed(_mount(call.live.vault.mounts, call).users)


def _listed(known: Mapping[str, object]) -> Reply:
    if not known:
        raise not_found()
    return Reply({"keys": sorted(known)})


async def read_group(call: Call) -> Reply:
    """Policies of a group."""
    mount = _mount(call.live.vault.mounts, call)
    policies = mount.groups.get(mount.fold(call.text("name")))
    if policies is None:
        raise not_found()
    return Reply({"policies": list(policies)})


async def read_user(call: Call) -> Reply:
    """Groups (one text) and policies of a user name."""
    mount = _mount(call.live.vault.mounts, call)
    user = mount.users.get(mount.fold(call.text("name")))
    if user is None:
        raise not_found()
    return Reply({"policies": list(user[1]), "groups": ",".join(user[0])})


async def write_group(call: Call) -> Reply:
    """Replace what a group gives."""
    policies = list(policy_list(call.texts("policies"), default=False))
    return await _mapped(call, "groups", lambda _: policies)


async def write_user(call: Call) -> Reply:
    """Replace what a user name gives."""
    policies = list(policy_list(call.texts("policies"), default=False))
    groups = call.texts("groups")
    return await _mapped(call, "users", lambda mount: {"groups": list(mount.group_list(groups)), "policies": policies})


async def delete_group(call: Call) -> Reply:
    """A group gives nothing any more."""
    return await _mapped(call, "groups", lambda _: None)


async def delete_user(call: Call) -> Reply:
    """A user name gives nothing of its own any more."""
    return await _mapped(call, "users", lambda _: None)


async def _mapped(call: Call, section: str, value_for: Any) -> Reply:
    """Write or remove one entry. Files may spell a name in several ways: one remains."""
    name = call.text("name")
    if len(name) > LONGEST_NAME:
        raise VaultError(400, f"names have at most {LONGEST_NAME} characters")
    elsewhere: list[str] = []

    def plan(snapshot: Snapshot) -> Values:
        mount = _mount(Mounts(snapshot.configuration), call)
        if not (folded := mount.fold(name)):
            raise VaultError(400, "the name is empty")
        own, common = (getattr(each, section) for each in (mount.settings, mount.configuration.vault))
        if any(mount.fold(known) == folded for known in common):
            elsewhere[:] = [f"{folded} stands in vault.{section}, too, which adds to what every mount gives"]
        value = value_for(mount)
        spelled = [known for known in own if mount.fold(known) == folded]
        kept = [] if value is None else (spelled or [folded])[:1]
        place = (*mount.place, section)
        return {(*place, each): value if each in kept else None for each in (*kept, *spelled)}

    reply = await store(call, plan)
    return Reply(warnings=[*elsewhere, *reply.warnings])


def _mount(mounts: Mounts, call: Call) -> MountPoint:
    mount = mounts.find(call.parameters["mount"])
    if mount is None:
        raise VaultError(404, f'no handler for route "{shown_path(call.path)}". route entry not found.')
    return mount


def _field(name: str, form: Form, key: str) -> Field:
    type_ = Type.MAPPING if name == MAP else _TYPES.get(form, Type.TEXT)
    described = f"Key {key} of the server." if key else "Has no effect here."
    return Field(name, type_, described, same_as=OLD_NAMES.get(name, ""))


def _kept(live: Live, parameters: Mapping[str, str]) -> str:
    return live.vault.mounts.all[parameters["mount"]].fold(parameters["name"])


_CONFIG_FIELDS: Final = tuple(_field(field.name, field.form, field.key) for field in CONFIG_FIELDS.values())
_POLICIES: Final = Field("policies", Type.TEXTS, "Policies, as a list or with commas.")
_GROUPS: Final = Field("groups", Type.TEXTS, "Further groups, as a list or with commas.")
ROUTES: Final = (
    Route(f"{MOUNT}config", {Operation.READ: read, Operation.UPDATE: write}, _CONFIG_FIELDS,
          help="Reads and changes how the directory is asked, and what tokens its people get."),
    Route(f"{MOUNT}groups", {Operation.LIST: list_groups}, help="Lists groups that give policies."),
    Route(f"{MOUNT}groups/{{name*}}",
          {Operation.READ: read_group, Operation.UPDATE: write_group, Operation.DELETE: delete_group}, (_POLICIES,),
          kept=_kept, help="Reads, writes and deletes the policies that a group gives."),
    Route(f"{MOUNT}users", {Operation.LIST: list_users}, help="Lists user names that give groups or policies."),
    Route(f"{MOUNT}users/{{name*}}",
          {Operation.READ: read_user, Operation.UPDATE: write_user, Operation.DELETE: delete_user},
          (_GROUPS, _POLICIES), kept=_kept,
          help="Reads, writes and deletes the groups and policies that a user name gives."),
)  # fmt: skip
