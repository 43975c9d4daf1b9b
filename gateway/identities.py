"""Stored identities and what they are under the configuration in force: one row per person of a server."""

from __future__ import annotations

import hashlib
import math
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from gateway.grants.mapping import Grants, Refused
from gateway.grants.whitelist import canonical_address, domain_of, invited_role, servers_by_invitation
from gateway.identity import LOCAL, Account, Grant, Identity
from gateway.store.interface import PAGE, Conflict

if TYPE_CHECKING:
    from gateway.config.schema import Configuration
    from gateway.directory.local_users import LocalUsers
    from gateway.store.interface import IdentityRow, Store

_TYPED: Final = "typed"


@dataclass(frozen=True, slots=True)
class _Invitation:
    """What lets a person in; empty where nobody needs an invitation."""

    role: str | None = None
    entry: str = ""
    """Canonical address of the whitelist's entry; empty where the domain is invited."""


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
        self.invited_only = servers_by_invitation(configuration)
        """Names of the servers whose people need an entry in the whitelist."""

    async def admit(self, account: Account, typed: str, now: int) -> Identity:
        """Store what the directory said just now of whoever logged in as ``typed``, durable on return.

        The one way in, for logins and re-checks alike. Raises Refused where the configuration or the whitelist lets the
        person not in: a stranger leaves no trace then, and of somebody known the new facts are kept, so that what they
        hold counts no longer either.
        """
        try:
            return await self._admit(account, typed, now)
        except Conflict:
            # Of several who came at once with one address, another has accepted its entry: it is theirs now.
            return await self._admit(account, typed, now)

    async def _admit(self, account: Account, typed: str, now: int) -> Identity:
        known = await self._store.identity_of(account.server, account.external_id)
        try:
            invitation = await self._invitation(account, known, pending=True)
            grant = self._grants.grant(account, invitation.role)
        except Refused:
            await self._keep_facts(known, account, now)
            raise
        row = await self._store.identity_save(
            account,
            company=grant.company,
            role=grant.clearml_role,
            backend_id=clearml_user_id(account, grant.company),
            granted={_TYPED: typed},
            now=now,
            accepts=invitation.entry,
        )
        return _identity(row, account, grant)

    async def refuse(self, account: Account, now: int) -> None:
        """Keep the new facts of somebody known whom no group mapping lets in any more."""
        await self._keep_facts(await self._store.identity_of(account.server, account.external_id), account, now)

    def unmapped(self, account: Account) -> str:
        """See ``Grants.unmapped``."""
        return self._grants.unmapped(account)

    async def _keep_facts(self, known: IdentityRow | None, account: Account, now: int) -> None:
        """Who is refused for what the directory says now keeps nothing that was granted for what it said before."""
        if known is None or known.gone_at is not None or _account(known) == replace(account, user_id=""):
            return
        await self._store.identity_save(
            account, company=known.company, role=known.role, backend_id=known.backend_id, granted=known.granted, now=now
        )

    async def _invitation(self, account: Account, known: IdentityRow | None, *, pending: bool = False) -> _Invitation:
        """What lets somebody in where the whitelist must. Raises Refused.

        An entry that was accepted is of the identity that accepted it; a ``pending`` one counts at a login alone, which
        accepts it.
        """
        if account.server not in self.invited_only:
            return _Invitation()
        address = canonical_address(account.email)
        entries = {
            entry.email: entry.role
            for entry in await self._store.whitelist(address)
            if (pending and entry.identity is None) or (known is not None and entry.identity == known.id)
        }
        role = invited_role(account.email, entries, frozenset(await self._store.domains()))
        if role is None:
            shown = domain_of(account.email) or "no usable e-mail address"
            # People may write into their own address what a shell would run.
            advice = f"; ldap-gateway whitelist add {shlex.quote(address)}" if address else ""
            raise Refused(f"not on the whitelist ({shown}){advice}")
        return _Invitation(role, address if entries else "")

    async def save_local_users(self, now: int) -> None:
        """Give every local user a record, as ClearML's fixed users have one before their first login."""
        for account in self._local.accounts():
            row = await self._store.identity_of(LOCAL, account.external_id)
            if row is None or await self._of(row) is None or _account(row) != account:
                await self.admit(account, account.username, now)

    async def end_local_users(self, now: int) -> None:
        """End what those hold who were local users and are no longer configured; who comes back is a new person to it.

        For the moment in which this configuration comes into force for good.
        """
        after: str | None = ""
        while after is not None:
            rows = await self._store.identities_of_server(LOCAL, after=after)
            for row in rows:
                if row.gone_at is None and not self._local.knows(row.external_id):
                    await self._store.identity_gone(row.id, now)
                    await self._store.identity_invalidate(row.id, now + 1)
            after = rows[-1].external_id if len(rows) == PAGE else None

    async def by_id(self, id: str, issued_at: float = math.inf) -> Identity | None:  # noqa: A002
        """The identity a token of that issue time (seconds since 1970) proves; without one, whoever has the id.

        None where the row, its server or its local user is gone, the configuration or the whitelist lets them in no
        more, or all its tokens of that time were revoked.
        """
        row = await self._store.identity(id)
        if row is None or issued_at < row.valid_after:
            return None
        return await self._of(row)

    async def by_user_id(self, user_id: str, company: str | None) -> Identity | None:
        """The identity with a ClearML user id in a company (None: in any).

        The last seen one where a name was given away again.
        """
        rows = await self._store.identities(backend_id=user_id)
        for row in sorted(rows, key=lambda row: row.checked_at, reverse=True):
            identity = await self._of(row)
            if identity is not None and company in (None, identity.grant.company):
                return identity
        return None

    async def of_company(self, company: str, offset: int, limit: int) -> list[Identity]:
        """One page of the people of a company, services not among them; fewer than ``limit`` also where some of them
        may no longer log in."""
        found = []
        for row in await self._store.identities_of_company(company, offset=offset, limit=limit):
            identity = await self._of(row)
            if identity is not None and identity.grant.company == company:
                found.append(identity)
        return found

    def policies(self, identity: Identity, typed: str) -> tuple[str, ...]:
        """What somebody who logged in as ``typed`` gets at a mount of the Vault dialect."""
        return self._grants.policies(identity.account, typed)

    async def _of(self, row: IdentityRow) -> Identity | None:
        if row.gone_at is not None:
            return None
        account = self._local.account(row.username) if row.server == LOCAL else _account(row)
        if account is None or account.disabled:
            return None
        try:
            invitation = await self._invitation(account, row)
            return _identity(row, account, self._grants.grant(account, invitation.role))
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
    return Identity(row.id, row.backend_id, account, grant, row.created_at, valid_after=row.valid_after)
