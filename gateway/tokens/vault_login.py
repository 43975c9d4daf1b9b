"""The token that a login through a mount gives, and by which it is judged when it is renewed (vault.md 6). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.tokens.vault_children import NewToken, login_policies
from gateway.tokens.vault_ttl import Terms

if TYPE_CHECKING:
    from gateway.identity import Identity
    from gateway.vault_mounts import MountPoint


def login_token(mount: MountPoint, identity: Identity, username: str, client: str | None = None) -> NewToken:
    """What to issue to ``identity``, who logged in through the mount as ``username``.

    Raises Refused where its policies are none that a login may give. ``client`` is the address it is bound to where
    the mount says so; of a local socket None, which binds to nothing.
    """
    settings = mount.settings
    strictly = (client,) if settings.token_strictly_bind_ip and client else ()
    given = (*identity.grant.policies, *settings.token_policies)
    return NewToken(
        policies=login_policies(given, default=not settings.token_no_default_policy),
        path=f"{login_path(mount)}{username}",
        terms=Terms(
            ttl=int(settings.token_ttl),
            max_ttl=int(settings.token_max_ttl),
            explicit_max_ttl=int(settings.token_explicit_max_ttl),
            period=int(settings.token_period),
        ),
        caps=mount.caps,
        identity=identity.id,
        server=identity.account.server,
        display_name=f"{mount.path.replace('/', '-')}-{username}",
        meta={"username": username},
        type=settings.issues,
        num_uses=settings.token_num_uses,
        cidrs=strictly or settings.token_bound_cidrs,
    )


def login_path(mount: MountPoint) -> str:
    """What the paths of its logins begin with."""
    return f"auth/{mount.path}/login/"
