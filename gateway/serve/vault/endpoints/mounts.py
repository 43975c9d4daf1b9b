"""``sys/auth``: which mounts there are, making and ending them, and their tune (vault.md 9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from gateway.config.schema.servers import SERVER_NAME
from gateway.identity import fold_name
from gateway.serve.vault.call import Call, Operation
from gateway.serve.vault.fields import Field, Type, convert, parse_duration
from gateway.serve.vault.paths import shown_path
from gateway.serve.vault.reply import Reply, VaultError
from gateway.serve.vault.routes import Route
from gateway.serve.vault.stored import Values, store
from gateway.settings import declared_in
from gateway.vault_mounts import TOKEN, MountPoint, Mounts

if TYPE_CHECKING:
    from gateway.config.load import Snapshot
    from gateway.config.schema import Mount

_TYPE: Final = "ldap"
_LONGEST: Final = 200
_LONGEST_DESCRIPTION: Final = 1024
"""Bytes: strangers are shown it."""
_SYSTEM: Final = ("", "system")
_VISIBILITY: Final = ("", "hidden", "unauth")
_TOKEN_TYPES: Final = ("default-service", "default-batch", "service", "batch")
_LOCKOUT: Final = {
    "lockout_threshold": ("failures", Type.INTEGER),
    "lockout_duration": ("duration", Type.DURATION),
    "lockout_counter_reset": ("window", Type.DURATION),
    "lockout_counter_reset_duration": ("window", Type.DURATION),
    "lockout_disable": ("disabled", Type.FLAG),
}
"""Fields of ``user_lockout_config`` with our keys."""


async def listed(call: Call) -> Reply:
    """All mounts, that of the tokens among them."""
    entries = {f"{path}/": _entry(mount) for path, mount in call.live.vault.mounts.all.items()}
    return Reply(dict(sorted((entries | {f"{TOKEN}/": _token_entry()}).items())), top_level=True)


async def read(call: Call) -> Reply:
    """One mount."""
    path = _path(call)
    if path == TOKEN:
        return Reply(_token_entry(), top_level=True)
    mount = call.live.vault.mounts.find(path)
    if mount is None:
        raise VaultError(400, f"No auth engine at {shown_path(path)}/")
    return Reply(_entry(mount), top_level=True)


async def enable(call: Call) -> Reply:
    """Make a server of a new mount. It adds nobody to the other dialects (DECISIONS 3)."""
    path = _path(call)
    kind = call.text("type")
    if not kind:
        raise VaultError(400, "backend type must be specified as a string")
    if kind != _TYPE:
        raise VaultError(400, f"plugin not found in the catalog: there is only {_TYPE}")
    if SERVER_NAME.fullmatch(path) is None or "//" in path or len(path) > _LONGEST:
        raise VaultError(400, "expected a path of letters, digits and . _ - /, a letter or digit first")
    tuned = _tuned({**call.mapping("config"), "description": call.text("description")})

    def plan(snapshot: Snapshot) -> Values:
        place = _free_place(snapshot, path)
        named: dict[tuple[str, ...], object] = {(*place, "preset"): "vault", (*place, "realm"): False}
        if fold_name(path) != path:
            named[*place, "name"] = path
        return named | {(*place, "vault", *key): value for key, value in tuned.items() if value != ""}

    reply = await store(call, plan)
    # What an earlier mount of this path has left must not come to life again.
    await call.live.vault.tokens.revoke_path(f"auth/{path}", call.now)
    return reply


def _free_place(snapshot: Snapshot, path: str) -> tuple[str, str]:
    """Where the settings of a new mount may stand. Raises VaultError 400."""
    if taken := Mounts(snapshot.configuration).taken(path):
        raise VaultError(400, f"path is already in use at {taken}/")
    place = ("servers", fold_name(path))
    if any(fold_name(server.name) == place[1] for server in snapshot.configuration.servers):
        where = declared_in(snapshot, place) or "by this API"
        raise VaultError(400, f"path is already in use: server {path} is declared at {where} and mounted elsewhere")
    return place


async def disable(call: Call) -> Reply:
    """End a mount with its configuration, its mappings and its tokens."""
    path = _path(call)
    if path == TOKEN:
        raise VaultError(400, "token credential backend cannot be disabled")
    ended: list[MountPoint] = []

    def plan(snapshot: Snapshot) -> Values:
        mount = Mounts(snapshot.configuration).find(path)
        ended[:] = [mount] if mount is not None else []
        if mount is None:
            return {}  # other paths are no mounts, and what was made there is not this path's to end
        if mount.server is None:
            raise VaultError(400, f"auth/{path}/ follows from the configuration and cannot be disabled")
        place = mount.place[:2]
        if where := declared_in(snapshot, place):
            raise VaultError(400, f"auth/{path}/ is declared at {where}: remove it there")
        return {place: None}

    reply = await store(call, plan)
    if ended:
        await call.live.vault.tokens.revoke_path(f"auth/{path}", call.now)
    return reply


async def read_tune(call: Call) -> Reply:
    """The tune of a mount."""
    path = _path(call)
    mount = call.live.vault.mounts.find(path)
    if mount is not None:
        return Reply(_tune(mount), top_level=True)
    if path != TOKEN:
        raise VaultError(400, f"cannot fetch sysview for path {shown_path(path)}/")
    caps = call.live.vault.caps
    times = {"default_lease_ttl": caps.default_ttl, "max_lease_ttl": caps.max_ttl}
    return Reply({**times, "description": "token based credentials", "force_no_cache": False,
                  "token_type": "default-service"}, top_level=True)  # fmt: skip


async def write_tune(call: Call) -> Reply:
    """Change the tune of a mount."""
    path = _path(call)
    tuned = _tuned(call.values)

    def plan(snapshot: Snapshot) -> Values:
        mount = Mounts(snapshot.configuration).find(path)
        if mount is None:
            raise VaultError(400, f"no mount at {shown_path(path)}/ can be tuned")
        if not mount.login_server and any(key[0] == "lockout" for key in tuned):
            raise VaultError(400, f"auth/{path}/ locks as the servers do whose people log in there: tune their mounts")
        default, longest = (
            tuned.get((name,), getattr(mount.settings, name)) for name in ("default_lease_ttl", "max_lease_ttl")
        )
        if default and longest and default > longest:
            raise VaultError(400, "'default_lease_ttl' cannot be greater than 'max_lease_ttl'")
        return {(*mount.place, *key): value for key, value in tuned.items()}

    return await store(call, plan)


def _path(call: Call) -> str:
    return call.parameters["path"].strip("/")


def _tuned(given: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """Our settings, by path below those of a mount. Raises VaultError 400."""
    tuned: dict[tuple[str, ...], Any] = {}
    if "description" in given:
        tuned["description",] = description = _converted("description", Type.TEXT, given["description"])
        if len(description.encode()) > _LONGEST_DESCRIPTION:
            raise VaultError(400, f"'description' has at most {_LONGEST_DESCRIPTION} bytes")
    for name in ("default_lease_ttl", "max_lease_ttl"):
        if name in given:
            tuned[name,] = _lease(name, given[name])
    for name, key, allowed in (
        ("listing_visibility", "listing_visibility", _VISIBILITY),
        ("token_type", "mount_token_type", _TOKEN_TYPES),
    ):
        if name in given and (text := _converted(name, Type.TEXT, given[name])) is not None:
            if text not in allowed and (text or name != "token_type"):
                raise VaultError(400, f"invalid value for '{name}': expected one of {', '.join(filter(None, allowed))}")
            tuned[key,] = text or ("hidden" if name == "listing_visibility" else "default-service")
    for name, value in _converted("user_lockout_config", Type.MAPPING, given.get("user_lockout_config")).items():
        if name in _LOCKOUT:
            key, type_ = _LOCKOUT[name]
            number = _converted(name, type_, value)
            if type_ is Type.INTEGER and number < 0:
                raise VaultError(400, f"'{name}' cannot be negative")
            tuned["lockout", key] = number
    return tuned


def _lease(name: str, value: Any) -> int:
    """0 stands for what the system has."""
    text = str(_converted(name, Type.TEXT, value)).strip()
    if text in _SYSTEM:
        return 0
    try:
        return parse_duration(text)
    except ValueError as error:
        raise VaultError(400, f"unable to parse {name}: {error}") from None


def _converted(name: str, type_: Type, value: Any) -> Any:
    try:
        return convert(type_, value)
    except ValueError as error:
        raise VaultError(400, f'Field validation failed: error converting input for field "{name}": {error}') from None


def _tune(mount: MountPoint) -> dict[str, Any]:
    settings, caps = mount.settings, mount.caps
    return {
        "default_lease_ttl": caps.default_ttl,
        "max_lease_ttl": caps.max_ttl,
        "description": settings.description,
        "force_no_cache": False,
        "listing_visibility": settings.listing_visibility,
        "token_type": settings.mount_token_type,
        **_lockout(settings),
    }


def _lockout(settings: Mount) -> dict[str, Any]:
    tuned = settings.lockout
    if not (tuned.failures or tuned.window or tuned.duration or tuned.disabled):
        return {}
    return {
        "user_lockout_threshold": tuned.failures,
        "user_lockout_duration": int(tuned.duration),
        "user_lockout_counter_reset_duration": int(tuned.window),
        "user_lockout_disable": tuned.disabled,
    }


def _entry(mount: MountPoint) -> dict[str, Any]:
    settings = mount.settings
    config: dict[str, Any] = {
        "default_lease_ttl": int(settings.default_lease_ttl),
        "max_lease_ttl": int(settings.max_lease_ttl),
        "force_no_cache": False,
        "token_type": settings.mount_token_type,
    }
    if settings.listing_visibility != "hidden":
        config["listing_visibility"] = settings.listing_visibility
    return _described(_TYPE, settings.description, mount.accessor, mount.uuid, config)


def _token_entry() -> dict[str, Any]:
    config = {"default_lease_ttl": 0, "max_lease_ttl": 0, "force_no_cache": False, "token_type": "default-service"}
    described = "token based credentials"
    return _described(TOKEN, described, "auth_token_00000000", "00000000-0000-0000-0000-000000000000", config)


def _described(type_: str, description: str, accessor: str, uuid: str, config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": type_,
        "description": description,
        "accessor": accessor,
        "uuid": uuid,
        "local": False,
        "seal_wrap": False,
        "external_entropy_access": False,
        "options": None,
        "plugin_version": "",
        "running_plugin_version": "",
        "running_sha256": "",
        "deprecation_status": "supported",
        "config": config,
    }


_IGNORED: Final = (
    Field("options", Type.ANY, "Has no effect here."),
    Field("plugin_version", Type.TEXT, "Has no effect here."),
    Field("force_no_cache", Type.FLAG, "Has no effect here."),
)
_TUNE: Final = (
    Field("default_lease_ttl", Type.ANY, "How long tokens live: a duration, or system."),
    Field("max_lease_ttl", Type.ANY, "How long tokens can be renewed: a duration, or system."),
    Field("description", Type.TEXT, "A few words about the mount."),
    Field("listing_visibility", Type.TEXT, "hidden, or unauth: shown to people who have not logged in."),
    Field("token_type", Type.TEXT, "default-service, default-batch, service or batch."),
    Field("user_lockout_config", Type.MAPPING, "When failed logins lock an account."),
    *(Field(name, Type.TEXTS, "Has no effect here.") for name in (
        "audit_non_hmac_request_keys", "audit_non_hmac_response_keys", "passthrough_request_headers",
        "allowed_response_headers")),
    *_IGNORED,
)  # fmt: skip
_ENABLE: Final = (
    Field("type", Type.TEXT, "ldap."),
    Field("description", Type.TEXT, "A few words about the mount."),
    Field("config", Type.MAPPING, "Its tune."),
    Field("local", Type.FLAG, "Has no effect here."),
    Field("seal_wrap", Type.FLAG, "Has no effect here."),
    Field("external_entropy_access", Type.FLAG, "Has no effect here."),
    Field("plugin_name", Type.TEXT, "Has no effect here."),
    *_IGNORED,
)
_TUNE_HANDLERS: Final = {Operation.READ: read_tune, Operation.UPDATE: write_tune}
ROUTES: Final = (
    Route("sys/auth", {Operation.READ: listed}, help="Lists what people can log in with."),
    Route("sys/auth/{path*}", {Operation.READ: read, Operation.UPDATE: enable, Operation.DELETE: disable}, _ENABLE,
          help="Reads, enables and disables a way to log in."),
    Route("sys/auth/{path*}/tune", _TUNE_HANDLERS, _TUNE, help="Reads and changes the tune of a mount."),
    Route("sys/mounts/auth/{path*}/tune", _TUNE_HANDLERS, _TUNE, help="Reads and changes the tune of a mount."),
)  # fmt: skip
