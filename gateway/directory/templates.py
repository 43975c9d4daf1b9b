"""Names to bind with, made of a login, for the bind modes that search nothing first. Pure.

Single bind (grafana.md 2.2, 2.3), the DN that ``userattr`` and ``userdn`` make, and the User Principal Name (vault.md
4.2, 4.3).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from gateway.directory.escape import DnError, escape_dn_value, parse_dn

_PLACEHOLDER: Final = re.compile(r"%s|\{0\}|\{\{")
_CONTROL: Final = re.compile(r"[\0-\x1f\x7f]")
_BLANK: Final = " \t\r\n"
_LOGIN: Final = ".Username"


class BindName:
    """The name to bind with for each login. Made by the functions of this module."""

    def __init__(self, pieces: Sequence[str], *, is_dn: bool, escape_equals: bool = False) -> None:
        self.is_dn = is_dn
        self._pieces = pieces
        self._escape_equals = escape_equals

    def fill(self, login: str) -> str:
        """The name for a login: escaped by RFC 4514 inside a DN, else as it is.

        Raises ``DnError`` for an empty login and, where nothing is escaped, for control characters. Where the login
        is the whole name, for ``=`` too: a DN has more spellings than a lockout can count as one.
        """
        if not login:
            raise DnError("no login to make a name of")
        if self.is_dn:
            return escape_dn_value(login, equals=self._escape_equals).join(self._pieces)
        if _CONTROL.search(login):
            raise DnError("a control character in a login")
        if "=" in login and not any(self._pieces):
            raise DnError("a distinguished name in place of a login")
        return login.join(self._pieces)


def single_name(template: str, *, escape_equals: bool = False) -> BindName:
    """What ``bind_dn`` says, with ``%s``, ``{0}`` or ``{{.Username}}`` where the login goes.

    A template with ``=`` is a DN and must parse as one (``cn=%s,ou=people,dc=x``); any other is a name of the kind
    Active Directory takes (``DOMAIN\\%s``, ``%s@example.com``). ``escape_equals`` writes ``=`` in a login as ``\\=``,
    which RFC 4514 allows and Active Directory asks for. Raises ``DnError`` for a template that is neither, with the
    position of what is wrong.
    """
    pieces = _split(template)
    if len(pieces) < 2:
        raise DnError("no %s or {0} in the name to bind with")
    is_dn = "=" in template
    if is_dn:
        # Two fillings, because a placeholder that is half of an escape or of a type fits at most one of them.
        for filling in ("x", "\\2c"):
            parse_dn(filling.join(pieces))
    return BindName(pieces, is_dn=is_dn, escape_equals=escape_equals)


def direct_name(user_attr: str, user_dn: str, *, escape_equals: bool = False) -> BindName:
    """``user_dn`` where it is a template, else the DN below it whose first part is ``user_attr`` and the login.

    Raises ``DnError``, also for an empty ``user_dn``: what it made would end in a comma.
    """
    if not user_dn.strip():
        raise DnError("user_dn is not set")
    if _PLACEHOLDER.search(user_dn) is None:
        parse_dn(user_dn)
        return BindName((f"{user_attr}=", f",{user_dn}"), is_dn=True, escape_equals=escape_equals)
    name = single_name(user_dn, escape_equals=escape_equals)
    if not name.is_dn:
        raise DnError("not a distinguished name: a name of another kind belongs in bind_dn")
    return name


def principal_name(upn_domain: str) -> BindName:
    """The User Principal Name of a login, sent as it is: escapes would break ``#`` and all but ASCII (vault.md 4.2)."""
    return BindName(("", f"@{upn_domain}"), is_dn=False)


def _split(template: str) -> Sequence[str]:
    """What stands around the placeholders. A trim marker of Go takes the white space on its side with it."""
    pieces = [""]
    position, trim = 0, False
    while match := _PLACEHOLDER.search(template, position):
        before, position = template[position : match.start()], match.end()
        pieces[-1] += before.lstrip(_BLANK) if trim else before
        trim = False
        if match[0] == "{{":
            end = template.find("}}", position)
            action = template[position:end] if end >= 0 else ""
            if action[:1] == "-" and action[1:2] in _BLANK:
                pieces[-1] = pieces[-1].rstrip(_BLANK)
                action = action[1:]
            if action[-1:] == "-" and action[-2:-1] in _BLANK:
                trim, action = True, action[:-1]
            if action.strip(_BLANK) != _LOGIN:
                raise DnError(f"only {{{{.Username}}}} is known here, at position {match.start()}")
            position = end + 2
        pieces.append("")
    rest = template[position:]
    pieces[-1] += rest.lstrip(_BLANK) if trim else rest
    return pieces
