"""``explain access``: rule by rule, with the place of each (forward-auth.md 10)."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from gateway.cli import explain_access

TEXT = """
public_url = "https://auth.example.com"
session.cookies = [{ domain = "example.com", portal_url = "https://auth.example.com" }]
servers.corp { host = h, search_base_dns = "dc=x" }
users.ada { disabled = true, groups = [ops] }
access_control.rules = [
  { name = Wiki, domain = "wiki.example.com", policy = bypass }
  { domain = "*.example.com", resources = "^/admin", subject = ["group:ops", "user:corp/bob"], policy = authenticated }
  { domain = "*.example.com", resources = "^/public", policy = bypass }
  { domain = "elsewhere.test", policy = authenticated }
]
"""

# arguments, exit code, lines with F for the file
ROWS: list[tuple[list[str], int, list[str]]] = [
    (
        ["--url", "https://app.example.com/public/%2e%2e/admin?x#y", "--ip", "10.1.1.1"],
        1,
        ["  from 10.1.1.1, somebody anonymous", "  rule (P): not met: subject", "The path can be read in 3 ways; the strictest counts.",
         "somebody anonymous is asked to log in (rule: authenticated)"],
    ),
    (["--url", "https://wiki.example.com"], 0, ["GET https://wiki.example.com/", "  Wiki (P): met", "somebody anonymous passes (Wiki: bypass)"]),
    (["--url", "https://app.example.com/admin", "--user", "Ada"], 0, ["local/ada passes (rule: authenticated)"]),
    (["--url", "https://app.example.com/admin", "--user", "corp/bob"], 0, ["corp/bob passes (rule: authenticated)"]),
    (["--url", "https://app.example.com/admin", "--user", "corp/eve"], 1, ["corp/eve is refused, and no login would help (default_policy: deny)"]),
    (["--url", "https://app.example.com/admin", "--user", "corp/eve", "--group", "ops"], 0, ["corp/eve passes (rule: authenticated)"]),
    (["--url", "https://elsewhere.test/"], 1, ["but no session cookie goes to this host, so browsers are refused (session.cookies)"]),
    (["--url", "http://app.example.com/"], 2, []),
    (["--url", "https://app.example.com/", "--ip", "x"], 2, []),
    (["--url", "https://app.example.com/", "--method", "get"], 2, []),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "code", "lines"), ROWS, ids=lambda value: str(value)[:50])
def test_explained(arguments: list[str], code: int, lines: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gateway.conf"
    file.write_text(TEXT)
    parser = argparse.ArgumentParser()
    explain_access.register(parser.add_subparsers())
    parsed = parser.parse_args(["access", "-c", str(file), *arguments])
    assert parsed.run(parsed) == code
    shown = capsys.readouterr()
    for line in lines:
        name = line.split(" (P)")[0].strip()
        number = {"rule": 8, "Wiki": 7}.get(name, 0)
        column = TEXT.splitlines()[number - 1].find("policy") + 1 if number else 0
        assert line.replace("P)", f"{file}:{number}:{column})") in shown.out.splitlines()
    assert bool(shown.err) is (code == 2)


def test_a_bad_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gateway.conf"
    file.write_text("access_control.rules = [{ policy = byass }]")
    parser = argparse.ArgumentParser()
    explain_access.register(parser.add_subparsers())
    parsed = parser.parse_args(["access", "-c", str(file), "--url", "https://a.test/"])
    assert parsed.run(parsed) == 78
    assert f"{file}:1:27: access_control.rules.rule.policy: expected 'bypass'" in capsys.readouterr().err
