"""``/admin/vault/mappings``: all group and user mappings of one mount of the Vault dialect, as one document.

======================  ============================================================================================
``GET ...?mount=PATH``  the document
``POST .../replace``    ``{"mount": PATH, "document": {...}, "dry_run": false}``: make the mappings what the document
                        says, all or none; what changes, a line each
======================  ============================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.serve.admin.call import Answer, Call
from gateway.serve.admin.callers import Refusal, audit
from gateway.settings import NotWritten, changes_to
from gateway.vault_mappings import UnusableDocument, difference, document_of, read_document
from gateway.vault_mounts import MountPoint, Mounts

if TYPE_CHECKING:
    from gateway.config.load import Snapshot
    from gateway.store.interface import Layer, SettingChange


async def show(call: Call) -> Answer:
    """The document of a mount."""
    mount = _mount(call.live.vault.mounts, call.query.get("mount", ""))
    return 200, {"mount": mount.path, "document": document_of(mount)}


async def replace(call: Call) -> Answer:
    """Make the mappings of a mount what a document says."""
    path, dry_run = call.fields.get("mount", ""), call.fields.get("dry_run", False)
    if not isinstance(dry_run, bool) or not isinstance(path, str):
        raise Refusal(400, "mount: expected a path; dry_run: expected true or false")
    if dry_run:
        return 200, {"changes": [line for line, _, _ in _difference(call, _mount(call.live.vault.mounts, path))]}
    lines: list[str] = []

    def plan(snapshot: Snapshot, layer: Layer) -> list[SettingChange]:
        mount = _mount(Mounts(snapshot.configuration), path)
        found = list(_difference(call, mount))
        lines[:] = [line for line, _, _ in found]
        return changes_to({(*mount.place, *name): value for _, name, value in found}, snapshot, layer)

    try:
        await call.live.write(plan, call.caller.label)
    except NotWritten as refused:
        raise Refusal(400, str(refused)) from None
    audit(call.live, call.caller, "vault.mappings", "success", target=path)
    return 200, {"changes": lines}


def _difference(call: Call, mount: MountPoint) -> Any:
    try:
        return difference(document_of(mount), read_document(call.fields.get("document"), mount))
    except UnusableDocument as error:
        raise Refusal(400, str(error)) from None


def _mount(mounts: Mounts, path: str) -> MountPoint:
    if (mount := mounts.find(path)) is None:
        raise Refusal(404, f"mount: there is none at {path}; there is {', '.join(sorted(mounts.names))}")
    return mount
