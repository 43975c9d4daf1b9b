"""Stored identities and what they are under the configuration in force: one row per person of a server."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from gateway.grants.mapping import Grants, Refused
from gateway.grants.whitelist import domain_of, invited_role, servers_by_invitation
from gateway.identity import LOCAL, Account, Grant, Identity, fold_name

if TYPE_CHECKING:
    from gateway.config.schema import Configuration
    from gateway.directory.local_users import LocalUsers
    from gateway.store.interface import IdentityRow, Store

_TYPED: Final = "typed"
_INVITED: Final = "invited_role"


def clearml_user_id(account: Account, company: str) -> str:
    """ClearML's user id: MD5 of company and name as its API server makes it, or an attribute (DECISIONS 1).

    MD5 names here, it protects nothing.
    """
    if account.user_id:
        return account.user_id
    return hashlib.md5(f"{company}:{account.clearml_name}".encode(), usedforsecurity=False).hexdigest()


class Identities:
    """Admits people and finds them again; grants are always those of the configuration in force."""

    def __init__(self, store: Store, configuration: Configuration, local: LocalUsers) -> None:
        self._store = store
        self._grants = Grants(configuration)
        self._local = local
        self._invited_only = servers_by_invitation(configuration)

    async def admit(self, account: Account, typed: str, now: int) -> Identity:
        """Store what the directory said just now of whoever logged in as ``typed``, durable on return.

        The one way in, for logins and re-checks alike. Raises Refused, before anything is stored, where the
        configuration or the whitelist lets the person not in.
        """
        invited = await self._invitation(account) if account.server in self._invited_only else None
        grant = self._grants.grant(account, invited)
        row = await self._store.identity_save(
            account,
            company=grant.company,
            role=grant.clearml_role,
            backend_id=clearml_user_id(account, grant.company),
            granted={_TYPED: typed, _INVITED: invited},
            now=now,
        )
        if invited is not None:
            await self._store.whitelist_accept(fold_name(account.email), row.id, now)
        return _identity(row, account, grant)

    async def _invitation(self, account: Account) -> str:
        """The role somebody is invited with. An entry that was accepted belongs to the identity that accepted it."""
        known = await self._store.identity_of(account.server, account.external_id)
        entries = {}
        for entry in await self._store.whitelist(account.email):
            if entry.identity is None or (known is not None and entry.identity == known.id):
                entries[entry.email] = entry.role
        role = invited_role(account.email, entries, frozenset(await self._store.domains()))
        if role is None:
            shown = domain_of(account.email) or "no usable e-mail address"
            raise Refused(f"not on the whitelist ({shown}); set default_company to admit everyone")
        return role

    async def save_local_users(self, now: int) -> None:
        """Give every local user a record, as ClearML's fixed users have one before their first login."""
        for account in self._local.accounts():
            row = await self._store.identity_of(LOCAL, account.external_id)
            if row is None or self._of(row) is None or _account(row) != account:
                await self.admit(account, account.username, now)

    async def by_id(self, id: str, issued_at: int) -> Identity | None:  # noqa: A002
        """The identity a token of that issue time (seconds since 1970) proves.

        None where the row, its server or its local user is gone, or all its tokens of that time were revoked.
        """
        row = await self._store.identity(id)
        if row is None or issued_at < row.valid_after:
            return None
        return self._of(row)

    async def by_user_id(self, user_id: str, company: str | None) -> Identity | None:
        """The identity with a ClearML user id in a company (None: in any).

        The last seen one where a name was given away again.
        """
        rows = await self._store.identities(backend_id=user_id)
        for row in sorted(rows, key=lambda row: row.checked_at, reverse=True):
            identity = self._of(row)
            if identity is not None and company in (None, identity.grant.company):
                return identity
        return None

    def _of(self, row: IdentityRow) -> Identity | None:
        if row.gone_at is not None:
            return None
        account = self._local.account(row.username) if row.server == LOCAL else _account(row)
        if account is None or account.disabled:
            return None
        invited = row.granted.get(_INVITED)
        try:
            return _identity(row, account, self._grants.grant(account, invited if isinstance(invited, str) else None))
        except Refused:
            return None


def typed_name(row: IdentityRow) -> str:
    """The name under which the login found the person."""
    typed = row.granted.get(_TYPED)
    return typed if isinstance(typed, str) else row.username


def _account(row: IdentityRow) -> Account:
    return Account(
        server=row.server,
        external_id=row.external_id,
        username=row.username,
        name=row.name,
        email=row.email,
        dn=row.dn,
        groups=row.groups,
        attributes=row.attributes,
    )


def _identity(row: IdentityRow, account: Account, grant: Grant) -> Identity:
    return Identity(row.id, row.backend_id, account, grant, row.created_at)
