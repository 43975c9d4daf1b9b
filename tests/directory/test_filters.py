
"""RFC 4515 filters compiled to BER, against ldap3's compiler and by tables."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.directory.ber import octets, tlv
from gateway.directory.escape import escape_filter_value
from gateway.directory.filters import MAX_DEPTH, USER_DN, USERNAME, VALUE, FilterError, any_of, compile_filter
from gateway.directory.messages import SearchRequest, envelope
from tests.directory import ldap3_oracle

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="%{"), max_size=20)  # no placeholders
TRIMMED = TEXT.map(str.strip).filter(bool)  # ldap3 takes blanks away
NAMES = st.sampled_from(["cn", "objectClass", "uid", "2.5.4.3", "cn;lang-de", "member-of"])
RULES = st.sampled_from(["1.2.840.113556.1.4.1941", "2.5.13.5"])


@st.composite
def items(draw: st.DrawFn) -> str:
    name, value = draw(NAMES), escape_filter_value(draw(TRIMMED))
    kind = draw(st.integers(0, 6))
    if kind == 0:
        return f"({name}=*)"
    if kind == 1:
        return f"({name}={value}*{escape_filter_value(draw(TRIMMED))})"
    if kind == 2:
        return f"({name}=*{value}*)"
    if kind == 3:
        return f"({name}{draw(st.sampled_from(['>=', '<=', '~=']))}{value})"
    if kind == 4:
        return f"({name}:{draw(RULES)}:={value})"
    if kind == 5:
        return f"({name}:dn:{draw(RULES)}:={value})"
    return f"({name}={value})"


FILTERS = st.recursive(
    items(),
    lambda inner: st.one_of(
        inner.map("(!{})".format),
        st.lists(inner, min_size=2, max_size=4).map(lambda parts: f"(&{''.join(parts)})"),
        st.lists(inner, min_size=2, max_size=4).map(lambda parts: f"(|{''.join(parts)})"),
    ),
    max_leaves=8,
)


def ldap3_filter(text: str) -> bytes:
    operation = ldap3_oracle.search_operation("", text, "SUBTREE", "NEVER", ["cn"], 0, 0, False, True, True)
    return ldap3_oracle.message(1, operation)


@settings(deadline=None)
@given(FILTERS)
def test_filters_against_ldap3(text: str) -> None:
    assert envelope(1, SearchRequest("", compile_filter(text), ["cn"]).encode()) == ldap3_filter(text)


@settings(deadline=None)
@given(FILTERS, TEXT.filter(bool))
def test_a_value_put_in_is_the_escaped_value_written_out(text: str, value: str) -> None:
    template = f"(&{text}(|(uid=%s)(mail={{0}}@example.com)(cn=*%s*)(member:2.5.13.5:=cn=%s,dc=x)))"
    compiled = compile_filter(template)
    written = compiled.text(value)
    assert compiled.variables == {"%s"}
    assert written == template.replace("%s", escape_filter_value(value)).replace("{0}", escape_filter_value(value))
    assert compiled.encode(value) == compile_filter(written).encode()


def item(tag: int, attribute: str, value: bytes) -> bytes:
    return tlv(tag, octets(attribute) + tlv(4, value))


ACCEPTED = [
    ("RFC 4526, true", "(&)", b"\xa0\x00"),
    ("RFC 4526, false", "(|)", b"\xa1\x00"),
    ("RFC 4515 4, not", "(!(cn=Tim Howes))", tlv(0xA2, item(0xA3, "cn", b"Tim Howes"))),
    ("RFC 4515 4, substrings", "(o=univ*of*mich*)", tlv(0xA4, octets("o") + tlv(0x30, tlv(0x80, b"univ") + tlv(0x81, b"of") + tlv(0x81, b"mich")))),
    ("RFC 4515 4, empty value", "(seeAlso=)", item(0xA3, "seeAlso", b"")),
    ("RFC 4515 4, extensible", "(cn:caseExactMatch:=Fred)", tlv(0xA9, tlv(0x81, b"caseExactMatch") + tlv(0x82, b"cn") + tlv(0x83, b"Fred"))),
    ("RFC 4515 4, extensible without rule", "(cn:=Betty)", tlv(0xA9, tlv(0x82, b"cn") + tlv(0x83, b"Betty"))),
    ("RFC 4515 4, with DN", "(sn:dn:2.4.6.8.10:=Barney)", tlv(0xA9, tlv(0x81, b"2.4.6.8.10") + tlv(0x82, b"sn") + tlv(0x83, b"Barney") + tlv(0x84, b"\xff"))),
    ("RFC 4515 4, with DN, without rule", "(o:dn:=Ace)", tlv(0xA9, tlv(0x82, b"o") + tlv(0x83, b"Ace") + tlv(0x84, b"\xff"))),
    ("RFC 4515 4, rule alone", "(:1.2.3:=Wilma)", tlv(0xA9, tlv(0x81, b"1.2.3") + tlv(0x83, b"Wilma"))),
    ("RFC 4515 4, rule with DN", "(:DN:2.4.6:=Dino)", tlv(0xA9, tlv(0x81, b"2.4.6") + tlv(0x83, b"Dino") + tlv(0x84, b"\xff"))),
    ("RFC 4515 4, parentheses", "(o=Parens R Us \\28for all\\29)", item(0xA3, "o", b"Parens R Us (for all)")),
    ("RFC 4515 4, asterisk", "(cn=*\\2A*)", tlv(0xA4, octets("cn") + tlv(0x30, tlv(0x81, b"*")))),
    ("RFC 4515 4, backslash", "(filename=C:\\5cMyFile)", item(0xA3, "filename", b"C:\\MyFile")),
    ("RFC 4515 4, NUL", "(bin=\\00\\00\\00\\04)", item(0xA3, "bin", b"\0\0\0\x04")),
    ("RFC 4515 4, UTF-8 by octets", "(sn=Lu\\c4\\8di\\c4\\87)", item(0xA3, "sn", "Lučić".encode())),
    ("RFC 4515 2, UTF-8", "(sn=Lučić)", item(0xA3, "sn", "Lučić".encode())),
    ("AD bit rule", "(!(userAccountControl:1.2.840.113556.1.4.803:=2))", tlv(0xA2, tlv(0xA9, tlv(0x81, b"1.2.840.113556.1.4.803") + tlv(0x82, b"userAccountControl") + tlv(0x83, b"2")))),
    ("grafana.md 1.2, Grafana's sample with a blank", "(& (objectClass=posixGroup)(memberUid=x))", tlv(0xA0, item(0xA3, "objectClass", b"posixGroup") + item(0xA3, "memberUid", b"x"))),
    ("line breaks", "\n(&\n  (a=1)\n  (b=2)\n)\n", tlv(0xA0, item(0xA3, "a", b"1") + item(0xA3, "b", b"2"))),
    ("without parentheses", "uid=x", item(0xA3, "uid", b"x")),
    ("without outer parentheses", "&(a=1)(b=2)", tlv(0xA0, item(0xA3, "a", b"1") + item(0xA3, "b", b"2"))),
    ("go-ldap's short not", "(!uid=x)", tlv(0xA2, item(0xA3, "uid", b"x"))),
    ("blank before the comparison", "(uid =x)", item(0xA3, "uid", b"x")),
    ("two asterisks", "(cn=a**b)", tlv(0xA4, octets("cn") + tlv(0x30, tlv(0x80, b"a") + tlv(0x82, b"b")))),
    ("asterisks only", "(cn=**)", tlv(0x87, b"cn")),
    ("an equals sign in a value", "(member=cn=x,dc=y)", item(0xA3, "member", b"cn=x,dc=y")),
    ("an escaped per cent is no placeholder", "(cn=\\25s)", item(0xA3, "cn", b"%s")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED])
def test_accepted(text: str, expected: bytes) -> None:
    compiled = compile_filter(text)
    assert compiled.encode() == expected
    assert not compiled.variables
    assert compile_filter(compiled.text()).encode() == expected


REFUSED = [
    ("empty", "", 0),
    ("blank", "  ", 0),
    ("unclosed", "(uid=x", 6),
    ("unclosed inside", "(&(uid=x)", 9),
    ("closed twice", "(uid=x))", 7),
    ("two filters", "(uid=x)(cn=y)", 7),
    ("no comparison", "(uid)", 1),
    ("no attribute", "(=x)", 1),
    ("nothing", "()", 1),
    ("not of nothing", "(!)", 2),
    ("not of two", "(!(a=1)(b=2))", 7),
    ("parenthesis in a value", "(cn=a(b)", 5),
    ("half an escape", "(cn=ab\\2)", 6),
    ("RFC 2254 escape", "(cn=\\*)", 4),
    ("DN escape in a filter", "(member=CN=Doe\\, Jane)", 14),
    ("NUL", "(cn=a\0)", 5),
    ("asterisk in >=", "(cn>=a*)", 6),
    ("asterisk in an extensible match", "(cn:=a*)", 6),
    ("extensible without attribute and rule", "(:=x)", 1),
    ("extensible, DN alone", "(:dn:=x)", 1),
    ("placeholder as attribute", "(%s=x)", 1),
    ("placeholder in an attribute", "(u%sd=x)", 1),
    ("placeholder as attribute, other spelling", "(uid{0}=x)", 1),
    ("placeholder as rule", "(cn:%s:=x)", 1),
    ("placeholder as filter", "(&%s(a=1))", 2),
    ("placeholder after a backslash", "(cn=\\%s)", 4),
    ("placeholder as half an escape", "(cn=\\2%s)", 4),
    ("attribute with a blank", "(given name=x)", 1),
    ("attribute beyond ASCII", "(größe=x)", 1),
    ("too deep", "(!" * (MAX_DEPTH + 2) + "(a=1)" + ")" * (MAX_DEPTH + 2), 2 * (MAX_DEPTH + 1)),
    ("too long", "(cn=" + "a" * 20_000 + ")", 16_384),
]  # fmt: skip


@pytest.mark.parametrize(("text", "position"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(text: str, position: int) -> None:
    with pytest.raises(FilterError) as caught:
        compile_filter(text)
    assert caught.value.position == position
    assert str(position) in str(caught.value)


GROUP = (USERNAME, USER_DN)
FILLING = {USERNAME: "ada", USER_DN: "cn=a (*) b,dc=x", VALUE: "17"}

# vault.md 3: Go's variables, with blanks and trim markers; template, the same written out for FILLING
TEMPLATES = [
    ("vault.md 3, default of userfilter", "({{.UserAttr}}={{.Username}})", "(cn=ada)"),
    ("vault.md 3, default of groupfilter", "(|(memberUid={{.Username}})(member={{.UserDN}})(uniqueMember={{.UserDN}}))",
     "(|(memberUid=ada)(member=cn=a \\28\\2a\\29 b,dc=x)(uniqueMember=cn=a \\28\\2a\\29 b,dc=x))"),
    ("vault.md 5, AD in-chain", "(&(objectClass=group)(member:1.2.840.113556.1.4.1941:={{.UserDN}}))",
     "(&(objectClass=group)(member:1.2.840.113556.1.4.1941:=cn=a \\28\\2a\\29 b,dc=x))"),
    ("grafana.md 2.5, AD in-chain", "(member:1.2.840.113556.1.4.1941:=%s)", "(member:1.2.840.113556.1.4.1941:=17)"),
    ("vault.md 3, blanks", "(cn={{ .Username\t}})", "(cn=ada)"),
    ("vault.md 3, trim markers", "(cn=x  {{- .Username -}}  y)", "(cn=xaday)"),
    ("vault.md 3, no trim marker without a blank", "(cn=x {{ .Username }} y)", "(cn=x ada y)"),
    ("vault.md 3, UserAttr anywhere", "(|({{.UserAttr}}=*)(x={{.UserAttr}})({{.UserAttr}}:dn:=y))", "(|(cn=*)(x=cn)(cn:dn:=y))"),
    ("all spellings in one value", "(cn=%s-{0}-{{.Username}}-{{.UserDN}})", "(cn=17-17-ada-cn=a \\28\\2a\\29 b,dc=x)"),
    ("in substrings", "(cn=*{{.Username}}*%s)", "(cn=*ada*17)"),
    ("braces written out", "(cn=\\7b\\7bx}})", "(cn=\\7b\\7bx}})"),
]  # fmt: skip


@pytest.mark.parametrize(("template", "written"), [row[1:] for row in TEMPLATES], ids=[row[0] for row in TEMPLATES])
def test_templates(template: str, written: str) -> None:
    compiled = compile_filter(template, GROUP, user_attr="cn")
    assert compiled.encode(FILLING) == compile_filter(written).encode()
    assert compile_filter(compiled.text(FILLING)).encode() == compiled.encode(FILLING)


UNKNOWN = [
    ("vault.md 3, unknown variable", "(cn={{.UserName}})", 4),
    ("vault.md 3, UserDN in a user filter", "(member={{.UserDN}})", 8),
    ("an action", "(cn={{if .Username}}x{{end}})", 4),
    ("a pipeline", "(cn={{.Username | printf}})", 4),
    ("unfinished", "(cn={{.Username)", 4),
    ("a trim marker without a blank is a minus", "(cn={{-.Username}})", 4),
    ("a variable as attribute", "({{.Username}}=x)", 1),
    ("a position behind UserAttr", "(&({{.UserAttr}}=x)(y))", 20),
]


@pytest.mark.parametrize(("template", "position"), [row[1:] for row in UNKNOWN], ids=[row[0] for row in UNKNOWN])
def test_templates_refused(template: str, position: int) -> None:
    with pytest.raises(FilterError) as caught:
        compile_filter(template, user_attr="averylongattributename")
    assert caught.value.position == position


def test_a_variable_without_a_value_is_no_empty_one() -> None:
    with pytest.raises(KeyError):
        compile_filter("(cn={{.Username}})").encode({VALUE: "x"})


@settings(deadline=None)
@given(FILTERS, TEXT.filter(bool), TEXT.filter(bool))
def test_each_variable_gets_its_own_value(text: str, username: str, user_dn: str) -> None:
    compiled = compile_filter(f"(&{text}(|(uid={{{{.Username}}}})(member=x{{{{.UserDN}}}}y{{{{.Username}}}})))", GROUP)
    name, dn = escape_filter_value(username), escape_filter_value(user_dn)
    filling = {USERNAME: username, USER_DN: user_dn}
    assert compiled.encode(filling) == compile_filter(f"(&{text}(|(uid={name})(member=x{dn}y{name})))").encode()


def hexadecimal(value: bytes) -> str:
    return "".join(f"\\{octet:02x}" for octet in value)


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=30), max_size=5))
def test_any_of(values: list[bytes]) -> None:
    compiled = any_of(("objectSid", "uniqueMember"), values)
    written = "".join(
        f"({name}={hexadecimal(value)})" for value in values for name in ("objectSid", "uniqueMember")
    )
    assert compiled.encode() == compile_filter(f"(|{written})").encode() == compile_filter(compiled.text()).encode()
    if values:
        assert envelope(1, SearchRequest("", compiled, ["cn"]).encode()) == ldap3_filter(f"(|{written})")


# peers.md 7, vault.md 14: injection by the login.
@pytest.mark.parametrize("value", ["*", "x)(objectClass=*", "x)(|(uid=*", "\\2a", "a\0b", "%s", "{0}", "ö", "(&)"])
def test_no_value_changes_the_filter(value: str) -> None:
    assert compile_filter("(&(a=b)(uid=%s))").encode(value) == tlv(
        0xA0, item(0xA3, "a", b"b") + item(0xA3, "uid", value.encode())
    )


def test_a_long_value_gets_a_long_length() -> None:
    assert compile_filter("(uid=%s)").encode("x" * 5000) == item(0xA3, "uid", b"x" * 5000)


@given(st.text(st.sampled_from("()&|!=*\\:<>~%s{0}ab2 "), max_size=30))
def test_any_text_compiles_or_is_refused(text: str) -> None:
    try:
        compiled = compile_filter(text)
    except FilterError as error:
        assert 0 <= error.position <= len(text)
    else:
        assert compile_filter(compiled.text("x")).encode() == compiled.encode("x")


@pytest.mark.parametrize("text", ["(" * 16_000, "(&" * 8_000, "(cn=" + "*" * 16_000, "(cn=" + "\\" * 16_000, "a" * 16_000,
                                  "(cn=" + "{{" * 8_000, "(cn=" + " {{-" * 4_000, "{{ " + " " * 16_000,
                                  "(a" + ";b" * 7_000 + ")", " " * 16_000])  # fmt: skip
def test_hostile_filters_cost_little(text: str) -> None:
    started = time.process_time()
    with pytest.raises(FilterError):
        compile_filter(text)
    assert time.process_time() - started < 2
