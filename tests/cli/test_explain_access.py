"""``explain access``: rule by rule, with the place of each (forward-auth.md 10)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli import main
from tests.directories.slapd import BASE_DN, COMPANY, Slapd

TEXT = """
public_url = "https://auth.example.com"
session.cookies = [{ domain = "example.com", portal_url = "https://auth.example.com" }]
servers.corp { host = "127.0.0.1", port = 1, search_base_dns = "dc=x" }
access_control.networks.office = "10.0.0.0/8"
users.ada { disabled = true, groups = [ops] }
access_control.rules = [
  { name = Wiki, domain = "wiki.example.com", policy = bypass }
  { domain = "*.example.com", resources = "^/admin", subject = ["group:ops", "user:corp/bob"], policy = authenticated }
  { domain = "*.example.com", resources = "^/public", policy = bypass }
  { domain = "elsewhere.test", policy = authenticated }
  { name = net, methods = [PUT, POST], networks = office, domain_regex = "^(?P<User>net)[.]test$", query = [[{ key = a, value = "1" }, { key = b, operator = absent }], { key = c, operator = present }], policy = authenticated }
  { name = tok, domain = tok.test, subject = [["token:ci", "group:ops"]], policy = authenticated }
]
"""

# arguments, exit code, lines with F for the file
ROWS: list[tuple[list[str], int, list[str]]] = [
    (
        ["--url", "https://app.example.com/public/%2e%2e/admin?x#y", "--ip", "10.1.1.1"],
        1,
        ["  from 10.1.1.1, somebody anonymous", "  rule (P): not met: subject (group:ops or user:corp/bob)", "The path can be read in 3 ways; the strictest counts.",
         "somebody anonymous is asked to log in (rule: authenticated)"],
    ),
    (["--url", "https://wiki.example.com"], 0, ["GET https://wiki.example.com/", "  Wiki (P): met", "somebody anonymous passes (Wiki: bypass)"]),
    (["--url", "https://app.example.com/admin", "--user", "Ada"], 0, ["local/ada passes (rule: authenticated)"]),
    (["--url", "https://app.example.com/admin", "--user", "corp/bob", "--group", "x"], 0, ["corp/bob passes (rule: authenticated)"]),
    (["--url", "https://app.example.com/admin", "--user", "eve", "--group", "corp/x"], 1, ["corp/eve is refused, and no login would help (default_policy: deny)", "  rule (P): not met: subject (group:ops or user:corp/bob)"]),
    (["--url", "https://app.example.com/x", "--user", "eve", "--group", "corp/x"], 1, ["  rule (P): not met: resources (^/admin), subject (group:ops or user:corp/bob)"]),
    (["--url", "https://net.test/"], 1, ["  net (P): not met: methods (PUT, POST), query (a equal 1 and b absent or c present), networks (office; --ip names an address), subject (what its expressions name)"]),
    (["--url", "https://net.test/", "--ip", "192.0.2.1"], 1, ["  net (P): not met: methods (PUT, POST), query (a equal 1 and b absent or c present), networks (office), subject (what its expressions name)"]),
    (["--url", "https://tok.test/", "--user", "ada", "--token", "CI"], 0, ["  from an unknown address (--ip names one), local/ada, in ops, by the personal token CI; disabled, so they cannot log in"]),
    (["--url", "https://tok.test/", "--user", "ada", "--token", "x"], 1, ["  tok (P): not met: subject (token:ci and group:ops)"]),
    (["--url", "https://tok.test/", "--user", "ada", "--token", "ci", "--group", "x"], 1, ["  tok (P): not met: subject (token:ci and group:ops)"]),
    (["--url", "https://tok.test/", "--token", "ci"], 2, ["error: --group and --token need --user: whose?"]),
    (["--url", "https://tok.test/", "--user", "eve"], 2, ["error: eve is not let in: corp: 127.0.0.1:1: Connection refused; with --group no directory is asked"]),
    (["--url", "https://tok.test/", "--user", "crop/eve"], 2, ["error: there is no server crop; there are local, corp"]),
    (["--url", "https://tok.test/", "--user", "local/eve"], 2, ["error: there is no local user eve"]),
    (["--url", "https://tok.test/", "--user", "eve", "--group", "local/x"], 2, ["error: --group local/x: this person is of corp, and so are their groups"]),
    (["--url", "https://app.example.com/admin", "--user", "corp/eve", "--group", "ops"], 0, ["corp/eve passes (rule: authenticated)"]),
    (["--url", "https://elsewhere.test/"], 1, ["but no session cookie goes to this host, so browsers are refused (session.cookies)"]),
    (["--url", "https://app.example.com/admin", "--user", "corp/eve", "--group", "ops"], 0, ["  from an unknown address (--ip names one), corp/eve, in ops; taken at your word, no directory was asked"]),
    (["--url", "https://app.example.com/admin", "--user", "ADA"], 0, ["  from an unknown address (--ip names one), local/ada, in ops; disabled, so they cannot log in"]),
    (["--url", "http://app.example.com/"], 2, ["error: the target is not https (access_control.allow_insecure_targets)"]),
    (["--url", "app.example.com/"], 2, ["error: --url: expected a whole URL, such as https://app.example.com/path"]),
    (["--url", "https://app.example.com/", "--ip", "x"], 2, ["error: --ip: expected an IP address"]),
    (["--url", "https://app.example.com/", "--method", "get"], 2, ["error: --method: expected a word in capitals, such as GET"]),
    (["--url", "https://app.example.com/", "--method", ""], 2, ["error: --method: expected a word in capitals, such as GET"]),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "code", "lines"), ROWS, ids=lambda value: str(value)[:50])
def test_explained(arguments: list[str], code: int, lines: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gateway.conf"
    file.write_text(TEXT)
    assert main(["explain", "access", "-c", str(file), *arguments]) == code
    shown = capsys.readouterr()
    for line in lines:
        name = line.split(" (P)")[0].strip()
        number, column = {"rule": (9, 3), "Wiki": (8, 5), "net": (12, 5), "tok": (13, 5)}.get(name, (0, 0))
        assert line.replace("P)", f"{file}:{number}:{column})") in (shown.err if code == 2 else shown.out).splitlines()
    assert bool(shown.err) is (code == 2)


def test_a_bad_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gateway.conf"
    file.write_text("access_control.rules = [{ policy = byass }]")
    assert main(["explain", "access", "-c", str(file), "--url", "https://a.test/"]) == 78
    assert f"{file}:1:27: access_control.rules.rule.policy: expected 'bypass'" in capsys.readouterr().err


def test_people_of_a_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """DECISIONS 37: with the groups that a login would find, by the same search; a name that nobody has is an error."""
    rules = [{"domain": "app.example.com", "subject": ["group:corp/admins"], "policy": "authenticated"}]
    with Slapd.start(COMPANY, directory=tmp_path / "slapd") as slapd:
        searches = {"group_search_base_dns": [f"ou=groups,{BASE_DN}"], "group_search_filter": "(member=%s)"}
        server = slapd.server(**searches, group_search_filter_user_attribute="dn")
        file = tmp_path / "gateway.json"
        file.write_text(json.dumps({"servers": [server], "access_control": {"rules": rules}}))
        command = ["explain", "access", "-c", str(file), "--url", "https://app.example.com/"]
        for name in ("grace", "GRACE", "corp/grace"):
            assert main([*command, "--user", name]) == 0
            assert "corp/grace passes (rule: authenticated)" in capsys.readouterr().out
        assert main([*command, "--user", "grace", "--group", "staff"]) == 1
        assert "corp/grace, in staff; taken at your word" in capsys.readouterr().out
        assert main([*command, "--user", "grace", "--group", f"cn=admins,ou=groups,{BASE_DN}"]) == 0
        capsys.readouterr()
        assert main([*command, "--user", "nobody"]) == 2
        assert "error: nobody is not let in: corp: " in capsys.readouterr().err
