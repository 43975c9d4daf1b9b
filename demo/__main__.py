"""Fill a slapd with a small company, start the daemon on it, and log people in through every dialect there is.

Exits with 0 when each step gave what the table below says, with 1 and the difference otherwise.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from demo import conjur_login, forward_auth, grafana
from demo.conjur_login import ConjurTour
from demo.forward_auth import ForwardAuthTour
from demo.grafana import GrafanaTour
from demo.steps import Tour
from demo.vault_login import ENVIRONMENT, VaultTour
from demo.vaults import GROUP, VaultsTour
from tests.daemon import Daemon, running
from tests.directories.slapd import BASE_DN, COMPANY, Slapd

GROUPS = f"ou=groups,{BASE_DN}"


@dataclass(frozen=True)
class Step:
    """A login and what must come of it; ``name`` empty: a refusal."""

    login: str
    password: str
    says: str
    name: str = ""
    role: str = ""


STEPS = (
    Step("grace", "cobol-1959", "an administrator, by her group", "Grace Hopper", "admin"),
    Step("alan", "enigma", "a developer", "Alan Turing", "superuser"),
    Step("jürgen", "pä:ss", "umlauts, and a colon in the password", "Jürgen Müßig", "superuser"),
    Step("lovelace", "notes,on#engine", "a comma in the DN", "Ada Lovelace", "superuser"),
    Step("seven", "sieben", "a number sign and a plus in the DN", "#7 + Söhne", "user"),
    Step("bob", "st*r(light)\\", "quotes, parentheses, a backslash", 'Bob "The (*) Star" \\ Smith', "user"),
    Step("o*(brien)", "transporter", "a login that is special in a filter", "Miles O'Brien", "user"),
    Step("linus", "dontpanic", "admins of another branch, who are none", "Linus T.", "superuser"),
    Step("nomail", "paper", "no mail address", "Nora Mail", "user"),
    Step("grace", "Cobol-1959", "a wrong password"),
    Step("nobody", "enigma", "an unknown name"),
    Step("al*", "enigma", "a filter instead of a name"),
    Step("alan", "", "no password"),
    Step("sam", "stargate", "one login, two people"),
)


def configuration(slapd: Slapd) -> dict[str, str]:
    """Variables alone, as a container has them."""
    server = slapd.server(
        search_base_dns=[BASE_DN],
        group_search_base_dns=[GROUPS],
        group_mappings=[
            {"group_dn": f"cn=admins,{GROUPS}", "clearml_role": "admin"},
            {"group_dn": f"cn=developers,{GROUPS}", "clearml_role": "superuser"},
        ],
    )
    return {"CLEARML__servers": json.dumps([server]), "CLEARML__vaults__groups": json.dumps(GROUP)}


def posix_configuration(slapd: Slapd) -> dict[str, str]:
    """The same company by its POSIX groups, which name people by login."""
    server = slapd.server(
        attributes={"member_of": "cn"},
        group_search_filter="(&(objectClass=posixGroup)(memberUid=%s))",
        group_search_base_dns=[GROUPS],
        group_mappings=[{"group_dn": "operators", "clearml_role": "admin"}],
    )
    return {"CLEARML__servers": json.dumps([server])}


POSIX_STEPS = (
    Step("grace", "cobol-1959", "in the POSIX group operators", "Grace Hopper", "admin"),
    Step("o*(brien)", "transporter", "in it too, by a special login", "Miles O'Brien", "admin"),
    Step("alan", "enigma", "in build only", "Alan Turing", "user"),
)


def take(daemon: Daemon, step: Step) -> bool:
    """Log in, read the own record and vaults with the token, print what came back; True where it is as expected."""
    answer = daemon.login(step.login, step.password)
    if not step.name:
        code, text = answer.meta["result_code"], answer.meta["result_msg"]
        print(f"  {step.login:10} {code}  {text}   <- {step.says}")
        return (code, answer.data) == (401, {})
    if answer.status != 200:
        print(f"  {step.login:10} {answer.status}  {answer.meta['result_msg']}   <- {step.says}")
        return False
    token = answer.data["token"]
    user = daemon.user(token)
    vaults = daemon.call("/users.get_vaults?enabled=true&types=config", bearer=token).data["vaults"]
    scopes = ", ".join(vault["scope"] for vault in vaults)
    print(f"  {step.login:10} {answer.status}  {user['name']}, role {user['role']}, vaults: {scopes}   <- {step.says}")
    return (user["name"], user["role"], scopes) == (step.name, step.role, "user")


def tour(title: str, folder: Path, environment: dict[str, str], steps: tuple[Step, ...]) -> list[Step]:
    """Run the steps against a daemon; returns those that went wrong."""
    folder.mkdir()
    print(title, flush=True)
    with running(folder, environment=environment) as daemon:
        return [step for step in steps if not take(daemon, step)]


def walked(
    title: str, folder: Path, begin: Callable[[Daemon], Tour], environment: dict[str, str], files: Sequence[Path] = ()
) -> list[str]:
    """Walk a tour on a daemon of its own; returns what went wrong."""
    folder.mkdir()
    print(title, flush=True)
    with running(folder, files=files, environment=environment) as daemon:
        taken = begin(daemon)
        taken.walk()
    return taken.wrong


def main() -> int:
    """Take the tour."""
    with tempfile.TemporaryDirectory() as name, Slapd.start(COMPANY, directory=Path(name) / "slapd") as slapd:
        folder = Path(name)
        wrong = tour("ClearML dialect, groups by memberOf:", folder / "one", configuration(slapd), STEPS)
        wrong += tour("ClearML dialect, POSIX groups:", folder / "two", posix_configuration(slapd), POSIX_STEPS)
        texts = walked(
            "ClearML dialect, vaults and access keys:", folder / "three", VaultsTour, configuration(slapd)
        )
        texts += walked(
            "Forward auth, asked as nginx asks:", folder / "four", ForwardAuthTour,
            {**configuration(slapd), **forward_auth.SETTINGS},
        )  # fmt: skip
        # A daemon that knows no directory yet.
        texts += walked(
            "Vault dialect, from nothing to a token:", folder / "five", partial(VaultTour, url=slapd.url), ENVIRONMENT
        )
        texts += walked(
            "Conjur dialect, from a password to a token:", folder / "six", ConjurTour,
            {**configuration(slapd), **conjur_login.SETTINGS},
        )  # fmt: skip
        grafana.write_ldap_toml(folder / "ldap.toml", slapd.host, slapd.port)
        texts += walked(
            "Grafana, from its own ldap.toml:", folder / "seven", GrafanaTour, grafana.SETTINGS,
            files=[folder / "ldap.toml"],
        )  # fmt: skip
    texts += [f"{step.login} ({step.says}): expected {step.name or 'a refusal'} {step.role}" for step in wrong]
    for text in texts:
        print(f"WRONG: {text}", file=sys.stderr)
    if not texts:
        print("Every step went as it should.")
    return 1 if texts else 0


if __name__ == "__main__":
    sys.exit(main())
