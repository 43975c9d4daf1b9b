"""Account, Grant, Identity: what the directory says, what our configuration makes of it, and both together."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

LOCAL: Final = "local"
"""The name of the local users, where a server's name is expected. No configured server may have it."""
CLEARML_SERVER: Final = "ldap"
"""The server that the ClearML spellings address; its users have the ids an installation without gateway gave them."""


def fold_name(name: str) -> str:
    """The one form in which user names, e-mail addresses and group names are compared.

    Lower case and insignificant blanks only: directories keep ``strasse`` and ``straße`` apart, so one must never be
    taken for the other.
    """
    return " ".join(unicodedata.normalize("NFC", name).lower().split())


def fold_for_lockout(name: str) -> str:
    """A coarser form, under which guesses are counted.

    What RFC 4518 has directories prepare names by: compatibility normalisation and full case folding, so that ``ada``
    and fullwidth ``ADA`` share one counter. Marks go too, because to Active Directory ``björn``, ``bjorn`` and
    ``bjǫrṅ`` are one account (bugzilla.samba.org 14847). That ``strasse`` and ``straße`` share one costs a guesser, not
    a person.
    """
    if name.isascii():
        return " ".join(name.lower().split())
    letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    return " ".join("".join(_unmarked(letter) for letter in letters).casefold().split())


def _unmarked(letter: str) -> str:
    """Nothing for marks and what cannot be seen; ``o`` for ``ø``, which does not decompose."""
    if unicodedata.combining(letter) or unicodedata.category(letter) == "Cf":
        return ""
    try:
        return unicodedata.lookup(unicodedata.name(letter, "").partition(" WITH ")[0])
    except KeyError:
        return letter


@dataclass(frozen=True, slots=True)
class Group:
    """A group an account is in."""

    name: str
    """Its first ``cn``: what rules, headers and policy maps use. Empty where the value has no ``cn``."""
    dn: str = ""
    """Its DN; empty for groups of local users."""
    value: str = ""
    """The text the directory answered, which ``group_mappings`` compare."""
    source: str = field(default="", compare=False)
    """How a login came to know of it, in words for the operator. Neither stored nor compared."""


@dataclass(frozen=True, slots=True)
class Account:
    """What the directory, or the list of local users, says about one person."""

    server: str
    """Name of the server, or ``LOCAL``."""
    external_id: str
    """``entryUUID``, ``objectGUID``, ``nsUniqueId`` or ``ipaUniqueID``, else the normalised DN."""
    username: str
    """As the directory stores it, whatever case was typed."""
    name: str = ""
    email: str = ""
    dn: str = ""
    groups: tuple[Group, ...] = ()
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Extra attributes by their configured name."""
    user_id: str = ""
    """Value of ``attributes.user_id`` where that is configured: ClearML's user id as it is."""
    disabled: bool = False

    @property
    def clearml_name(self) -> str:
        """What ClearML's user id is made of, besides the company (DECISIONS 1)."""
        return self.username if self.server in (LOCAL, CLEARML_SERVER) else f"{self.server}/{self.username}"


@dataclass(frozen=True, slots=True)
class Grant:
    """What the configuration makes of an account. Recomputed after each reload, never trusted from a token."""

    company: str
    company_name: str
    clearml_role: str = "user"
    org_roles: Mapping[int, str] = field(default_factory=dict)
    """Grafana organisation id to role."""
    grafana_admin: bool | None = False
    """Grafana's server administrator; None where Grafana keeps its own roles and flag (``skip_org_role_sync``)."""
    policies: tuple[str, ...] = ()
    admin: bool = False
    """Administrator of this gateway."""

    @property
    def reach(self) -> str | None:
        """The company in which the ClearML role may do something for others; None: every one (clearml.md 2)."""
        return None if self.clearml_role == "root" else self.company


@dataclass(frozen=True, slots=True)
class Identity:
    """One person or service, as every dialect sees it."""

    id: str
    """Key of the stored identity, 32 hexadecimal digits."""
    user_id: str
    """ClearML's user id."""
    account: Account
    grant: Grant
    created_at: int
    """Seconds since 1970."""
    actor: str = ""
    """Id of the identity that acts for this one by impersonation; empty for people themselves."""
    actor_label: str = ""
    """Its label."""
    valid_after: int = 0
    """Seconds since 1970 at which, or later, anything that counts for it was issued: a revocation moves it to the next
    second, or further. 0 for services."""

    @property
    def label(self) -> str:
        """``server/username``, as logs and audit events write it; ``service NAME`` for services."""
        account = self.account
        return f"{account.server}/{account.username}" if account.server else f"service {account.username}"

    def issue_time(self, now: int) -> int:
        """The second with which to stamp what is issued to it ``now``: what a revocation of this very second ended is
        told from it by nothing else."""
        return max(now, self.valid_after)
