"""Whether Conjur's clients let somebody in, by the very rule that a login there asks (conjur.md 5). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.conjur_dialect import services_of
from gateway.identity import LOCAL, Account, fold_name
from gateway.tokens.conjur_keys import is_api_key

if TYPE_CHECKING:
    from gateway.config.load import Snapshot
    from gateway.config.schema import Configuration


def unsent_key(configuration: Configuration, password: str | None) -> str:
    """Why no directory is asked about a password that looks like an API key, as at any login; empty where it is."""
    if not configuration.conjur.account or password is None or not is_api_key(password):
        return ""
    return "the password has the form of an API key of Conjur's clients: the daemon alone decides such, none is sent"


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
