"""Names made of a login, for the bind modes that search nothing first (grafana.md 2.2, single bind; 2.3). Pure."""

from __future__ import annotations

import re
from typing import Final

from gateway.directory.escape import DnError, escape_dn_value, parse_dn

_PLACEHOLDER: Final = re.compile(r"%s|\{0\}")
_CONTROL: Final = re.compile(r"[\0-\x1f\x7f]")


class DnTemplate:
    """A bind name with ``%s`` or ``{0}`` where the login goes.

    A template with ``=`` is a DN and must parse as one (``cn=%s,ou=people,dc=x``); any other is a name of the kind
    Active Directory takes (``DOMAIN\\%s``, ``%s@example.com``). Raises ``DnError`` for a template that is neither.
    """

    def __init__(self, template: str) -> None:
        self.template = template
        self.is_dn = "=" in template
        self._pieces = _PLACEHOLDER.split(template)
        if len(self._pieces) < 2:
            raise DnError("no %s or {0} in the name to bind with")
        if self.is_dn:
            # Two fillings, because a placeholder that is half of an escape or of a type fits at most one of them.
            for filling in ("x", "\\2c"):
                parse_dn(filling.join(self._pieces))

    def dn(self, value: str) -> str:
        """The name for the login ``value``: escaped by RFC 4514 inside a DN, else as it is.

        Raises ``DnError`` for an empty login and, where nothing is escaped, for control characters.
        """
        if not value:
            raise DnError("no login to make a name of")
        if self.is_dn:
            return escape_dn_value(value).join(self._pieces)
        if _CONTROL.search(value):
            raise DnError("a control character in a login")
        return value.join(self._pieces)
