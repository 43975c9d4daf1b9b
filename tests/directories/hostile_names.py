"""User names that try to be something else (issue 4, acceptance 3)."""

from __future__ import annotations

NAMES = [
    # filters (RFC 4515)
    "*", "g*", "*race", "gr*ce", "**", "(", ")", "()", ")(", ")(uid=*", "*)(uid=*", "grace)(uid=*", "grace)(|(uid=*",
    "*)(objectClass=*", "grace))(&(uid=*", "grace)(!(uid=x)", "(uid=grace)", "&(uid=grace)", "|(uid=*)", "!(uid=x)",
    "grace)\0(", "\\2a", "\\2A\\29", "\\", "\\\\", "a\\2cb", "\\67race", "grace\\20", "\\c3\\a4", "uid=grace", ">=a", "~=grace",
    ":dn:=grace", ":1.2.840.113556.1.4.803:=2",
    # distinguished names (RFC 4514)
    "admin,ou=x", "x+uid=admin", "grace,ou=people", "grace,ou=people,dc=example,dc=com", "x,uid=grace", "grace+cn=Grace Hopper",
    "grace;ou=people", "grace\\,ou=people", '"grace"', "<grace>", "#a", "#677261636", "#04056772616365", "a#", "=grace", "grace=",
    "cn=admin,dc=example,dc=com", "uid=grace,ou=people,dc=example,dc=com", "grace\n,ou=x", "<SID=S-1-5-32-544>",
    # blanks and what cannot be seen
    "\0", "grace\0", "\0grace", "grace\0,ou=x", "\t", "\n", "\r\n", "\x1b[31m", "\x7f", "gra\u2028ce\u2028", "gra\u202ece", "\u200b*",
    # templates
    "%s", "%%", "{0}", "{{.UserDN}}", "{{.Username}}", "{{.UserAttr}}", "${grace}", "$__file{/etc/passwd}", "%n%n%n", "{}",
    # others
    "EXAMPLE\\grace", "grace@example.com", "@", "../grace", "' or 1=1--", "😀", "\U0010ffff", "ÿ", "a" * 10_000, "(" * 300, "𝔤𝔯𝔞𝔠𝔢x",
    "lone \ud800 surrogate",
]  # fmt: skip
"""None of them is anybody's; the password tried with each is grace's."""

SAME = [" grace", "grace ", "  grace  ", "GRACE", "Grace ", "ｇｒａｃｅ", "𝔤𝔯𝔞𝔠𝔢"]
"""Names that directories themselves take for grace's: case, blanks and compatibility forms do not count (RFC 4518)."""
