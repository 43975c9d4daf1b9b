"""Who a rule speaks of, and what an identity answers to, as sets of terms (forward-auth.md 10, DECISIONS 8-10)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.directory.escape import DnError, comparable_dn, parse_dn
from gateway.identity import Identity, fold_name

Term = tuple[str, str, str]
"""Kind, server (empty: any), and folded name or, of kind ``group_dn``, the normalised DN."""
Terms = frozenset[Term]
KINDS = ("user", "group", "policy", "role", "token")


def term_of(text: str, servers: Sequence[str]) -> Term:
    """The term of one ``kind:name`` of a rule.

    ``user`` and ``group`` may name a server before a slash; ``servers`` says which are servers, for names may hold
    slashes too. A group that reads as a DN is compared as one.
    """
    kind, _, name = text.partition(":")
    kind = kind.strip().lower()
    if kind == "group" and _is_dn(name):
        return "group_dn", "", comparable_dn(name)
    server = ""
    if kind in ("user", "group"):
        fitting = [known for known in servers if name.lower().startswith(f"{known.lower()}/")]
        server = max(fitting, key=len, default="")
        name = name[len(server) + 1 :] if server else name
    return kind, server.lower(), fold_name(name)


def terms_of(identity: Identity, token_label: str = "", *, with_dns: bool = True) -> Terms:
    """Every term that an identity answers to; ``token_label`` is that of the personal token it came by.

    Normalising DNs is the dear part, and wasted where no rule names one (``with_dns``).
    """
    return frozenset(_terms(identity, token_label, with_dns=with_dns))


def _terms(identity: Identity, token_label: str, *, with_dns: bool) -> Iterator[Term]:
    account, grant = identity.account, identity.grant
    server = account.server.lower()
    if name := fold_name(account.username):
        yield "user", "", name
        yield "user", server, name
    for group in account.groups:
        if name := fold_name(group.name):
            yield "group", "", name
            yield "group", server, name
        if group.dn and with_dns:
            yield "group_dn", "", comparable_dn(group.dn)
    yield from (("policy", "", fold_name(policy)) for policy in grant.policies)
    yield "role", "", fold_name(grant.clearml_role)
    if token_label:
        yield "token", "", fold_name(token_label)


def _is_dn(text: str) -> bool:
    if "=" not in text:
        return False
    try:
        return bool(parse_dn(text))
    except DnError:
        return False
