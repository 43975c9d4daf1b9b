"""What ldap3 makes of the same question: the second opinion of the codec's tests. Imports nothing of the gateway.

ldap3 2.9.1 warns when it is imported, which the suite would take for a failure of ours.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from ldap3.operation.abandon import abandon_operation
    from ldap3.operation.bind import bind_operation
    from ldap3.operation.extended import extended_operation
    from ldap3.operation.search import search_operation
    from ldap3.operation.unbind import unbind_operation
    from ldap3.protocol import rfc4511
    from ldap3.protocol.controls import build_control
    from ldap3.protocol.rfc2696 import Cookie, RealSearchControlValue, Size, paged_search_control
    from ldap3.utils.asn1 import decode_message_fast, decoder, encode
    from ldap3.utils.conv import escape_filter_chars
    from ldap3.utils.dn import parse_dn

__all__ = [
    "abandon_operation",
    "bind_operation",
    "build_control",
    "decode_message_fast",
    "entry",
    "escape_filter_chars",
    "extended_operation",
    "message",
    "page_answer",
    "page_asked",
    "paged_search_control",
    "parse_dn",
    "request",
    "result",
    "search_operation",
    "unbind_operation",
    "who_am_i",
]

_OPERATIONS = {
    "BindRequest": "bindRequest",
    "SearchRequest": "searchRequest",
    "UnbindRequest": "unbindRequest",
    "AbandonRequest": "abandonRequest",
    "ExtendedRequest": "extendedReq",
    "BindResponse": "bindResponse",
    "SearchResultEntry": "searchResEntry",
    "SearchResultDone": "searchResDone",
    "SearchResultReference": "searchResRef",
    "ExtendedResponse": "extendedResp",
}


def message(message_id: int, operation: Any, *controls: Any) -> bytes:
    """The LDAPMessage as ldap3 would send it."""
    whole = rfc4511.LDAPMessage()
    whole["messageID"] = rfc4511.MessageID(message_id)
    name = _OPERATIONS[type(operation).__name__]
    whole["protocolOp"] = rfc4511.ProtocolOp().setComponentByName(name, operation)
    if controls:
        whole["controls"] = rfc4511.Controls()
        for index, control in enumerate(controls):
            whole["controls"].setComponentByPosition(index, control)
    return bytes(encode(whole))


def result(kind: str, code: int, matched_dn: str, text: str) -> Any:
    """A BindResponse, SearchResultDone or ExtendedResponse."""
    operation = getattr(rfc4511, kind)()
    operation["resultCode"] = rfc4511.ResultCode(code)
    operation["matchedDN"] = rfc4511.LDAPDN(matched_dn)
    operation["diagnosticMessage"] = rfc4511.LDAPString(text)
    return operation


def who_am_i(refusal: int, who: str | None) -> Any:
    """The answer to "Who am I?" (RFC 4532); with the code ``refusal`` where ``who`` is None."""
    operation = result("ExtendedResponse", refusal if who is None else 0, "", "")
    if who is not None:
        operation["responseValue"] = rfc4511.ResponseValue(who.encode())
    return operation


def entry(dn: str, attributes: Mapping[str, Sequence[bytes]]) -> Any:
    """A SearchResultEntry."""
    operation = rfc4511.SearchResultEntry()
    operation["object"] = rfc4511.LDAPDN(dn)
    listed = rfc4511.PartialAttributeList()
    for index, (name, values) in enumerate(attributes.items()):
        attribute = rfc4511.PartialAttribute()
        attribute["type"] = rfc4511.AttributeDescription(name)
        attribute["vals"] = rfc4511.Vals()
        for position, value in enumerate(values):
            attribute["vals"].setComponentByPosition(position, rfc4511.AttributeValue(value))
        listed.setComponentByPosition(index, attribute)
    operation["attributes"] = listed
    return operation


def request(data: bytes) -> tuple[Any, bytes]:
    """The first LDAPMessage in ``data``, and what follows it."""
    found: tuple[Any, bytes] = decoder.decode(data, asn1Spec=rfc4511.LDAPMessage())
    return found


def page_answer(cookie: bytes) -> Any:
    """The control with which a server ends a page (RFC 2696)."""
    value = RealSearchControlValue()
    value["size"] = Size(0)
    value["cookie"] = Cookie(cookie)
    return build_control("1.2.840.113556.1.4.319", False, value)


def page_asked(controls: Any) -> tuple[int, bytes] | None:
    """Size and cookie of the page that a request asks for; None where it asks for none."""
    for control in controls:
        if str(control["controlType"]) == "1.2.840.113556.1.4.319":
            value, rest = decoder.decode(bytes(control["controlValue"]), asn1Spec=RealSearchControlValue())
            assert not rest
            return int(value["size"]), bytes(value["cookie"])
    return None
