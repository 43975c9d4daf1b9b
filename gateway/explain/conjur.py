"""Whether Conjur's clients let somebody in, by the very rule that a login there asks (conjur.md 5). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.conjur_dialect import services_of
from gateway.identity import LOCAL, Account, fold_name

if TYPE_CHECKING:
    from gateway.config.load import Snapshot


def conjur_of(snapshot: Snapshot, account: Account) -> str:
    """What the service of an account's server says, in words; empty where the dialect is off."""
    if not snapshot.configuration.conjur.account:
        return ""
    if account.server == LOCAL:
        return "let in wherever no service is named"
    service = services_of(snapshot.configuration).get(fold_name(account.server))
    if service is None:
        return f"not let in: conjur.services has no {account.server}"
    place = snapshot.origin(service.path)
    if refusal := service.refusal(account):
        return f"not let in by service {service.server}: {refusal}; {place}"
    networks = f", from {', '.join(map(str, service.networks))} alone" if service.networks else ""
    return f"let in by service {service.server}{networks}: {service.key}; {place}"
