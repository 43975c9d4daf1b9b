"""A real 389 Directory Server for tests: configured, filled offline and started in two seconds, on any port.

    with Ds389.start(directory=tmp_path) as ds389:
        ds389.url, ds389.ldaps_url, ds389.ca_file, ds389.server(search_base_dns=[BASE_DN])

Its own set-up tool wants systemd, root and fixed places; its configuration template, filled in here, wants none of
them. Everything it writes lies below ``directory``. It ends with ``stop``.
"""

from __future__ import annotations

import base64
import getpass
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from tests.directories.process import DirectoryProcess, environment, free_port, search_path
from tests.directories.slapd import make_certificates, with_member_of

BASE_DN: Final = "dc=example,dc=com"
PEOPLE_DN: Final = f"ou=people,{BASE_DN}"
GROUPS_DN: Final = f"ou=groups,{BASE_DN}"
SERVICE_DN: Final = f"cn=svc,ou=services,{BASE_DN}"
SERVICE_PASSWORD: Final = "svc-secret"
ADMIN_DN: Final = "cn=Directory Manager"
ADMIN_PASSWORD: Final = "manager-secret"
MAX_FAILURES: Final = 4
"""Wrong passwords that lock an account."""

_DATA: Final = Path("/usr/share/dirsrv")
_SETTINGS: Final = Path("/etc/dirsrv")

_SERVER: Final = f"""\
nsslapd-securePort: {{secure_port}}
nsslapd-security: on
nsslapd-listenhost: 127.0.0.1
nsslapd-securelistenhost: 127.0.0.1
nsslapd-minssf: 0
nsslapd-syntaxcheck: on
passwordExp: on
passwordMaxAge: 315360000
passwordMustChange: on
passwordLockout: on
passwordMaxFailure: {MAX_FAILURES}
passwordUnlock: on
passwordLockoutDuration: 3600
passwordStorageScheme: SSHA
"""
_SWITCHED_ON: Final = "MemberOf Plugin"
"""A plug-in that the template leaves off."""

_PERSON: Final = """\
dn: uid={uid},{people}
objectClass: inetOrgPerson
objectClass: nsMemberOf
uid: {uid}
cn: {name}
sn: {uid}
displayName: {name}
userPassword: {password}
{more}
"""

PEOPLE: Final = {
    "ada": ("Ada Lovelace", "lovelace", "mail: ada@example.com"),
    "alan": ("Alan Turing", "enigma", ""),
    "jürgen": ("Jürgen Müßig", "pä:ss", ""),
    "careless": ("Care Less", "forgot-it", ""),
    "disabled": ("Dis Abled", "disabled-1", "nsAccountLock: true"),
    "shouted": ("Dis Abled Too", "shouted-1", "nsAccountLock: TRUE"),
    "enabled": ("En Abled", "enabled-1", "nsAccountLock: false"),
    "locked": ("Lo Cked", "locked-1", ""),
    "stale": ("Password Stale", "stale-1", "passwordExpirationTime: 20200101000000Z"),
    "fresh": ("Must Change", "fresh-1", "passwordExpirationTime: 19700101000000Z"),
    "current": ("Password Current", "current-1", "passwordExpirationTime: 20990101000000Z"),
}
"""uid to name, password, further lines of the entry."""

_BRANCHES: Final = f"""\
dn: {BASE_DN}
objectClass: domain
dc: example
aci: (targetattr != "userPassword || aci")(version 3.0; acl "read"; allow (read, search, compare) userdn = "ldap:///anyone";)

dn: {PEOPLE_DN}
objectClass: organizationalUnit
ou: people

dn: {GROUPS_DN}
objectClass: organizationalUnit
ou: groups

dn: ou=services,{BASE_DN}
objectClass: organizationalUnit
ou: services

dn: {SERVICE_DN}
objectClass: applicationProcess
objectClass: simpleSecurityObject
cn: svc
userPassword: {SERVICE_PASSWORD}

dn: cn=admins,{GROUPS_DN}
objectClass: groupOfNames
cn: admins
member: uid=ada,{PEOPLE_DN}

dn: cn=everyone,{GROUPS_DN}
objectClass: groupOfUniqueNames
objectClass: nsMemberOf
cn: everyone
uniqueMember: uid=ada,{PEOPLE_DN}
uniqueMember: uid=alan,{PEOPLE_DN}
"""


def require_ds389() -> None:
    """Skip the test by name where 389-ds is not installed; as root, where it could be, fail instead."""
    needed = ("ns-slapd", "certutil", "pk12util")
    if all(shutil.which(command, path=search_path()) for command in needed):
        return
    advice = "389-ds is not installed; as root: apt-get install -y --no-install-recommends 389-ds-base"
    if os.geteuid() == 0:
        raise RuntimeError(advice)
    pytest.skip(advice)


class Ds389(DirectoryProcess):
    """One running 389-ds. Made by ``start``."""

    admin = (ADMIN_DN, ADMIN_PASSWORD)

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "127.0.0.1", free_port(), free_port())
        self.url = f"ldap://{self.host}:{self.port}"
        self.ldaps_url = f"ldaps://localhost:{self.ldaps_port}"
        self._configuration = directory / "config"

    @classmethod
    def start(cls, *, directory: Path) -> Ds389:
        """Make an instance below ``directory``, fill it and start it."""
        require_ds389()
        ds389 = cls(directory)
        ds389._make_instance()
        ds389._fill()
        ds389.run()
        return ds389

    def server(self, **changes: object) -> dict[str, object]:
        """An item of the configuration's ``servers`` for it: people found by the service account; ``changes`` win."""
        return {
            "name": "corp",
            "urls": [self.url],
            "bind_dn": SERVICE_DN,
            "bind_password": SERVICE_PASSWORD,
            "search_base_dns": [PEOPLE_DN],
            **changes,
        }

    def lock(self, uid: str) -> None:
        """Lock an account the way people do: by wrong passwords."""
        for _ in range(MAX_FAILURES):
            self.bind(dn_of(uid), "wrong")

    def command(self) -> list[str]:
        return ["ns-slapd", "-D", str(self._configuration), "-i", str(self.directory / "run" / "pid"), "-d", "0"]

    @property
    def logs(self) -> tuple[Path, ...]:
        return (self.directory / "output.log", self.directory / "log" / "errors")

    def _make_instance(self) -> None:
        for name in ("bak", "db", "home", "ldif", "lock", "log", "run", "tmp"):
            self.directory.joinpath(name).mkdir(parents=True)
        self._configuration.mkdir()
        shutil.copytree(_SETTINGS / "schema", self._configuration / "schema")
        for name in ("slapd-collations.conf", "certmap.conf"):
            shutil.copy(_SETTINGS / "config" / name, self._configuration)
        self._make_key_database()
        self._configuration.joinpath("dse.ldif").write_text(self._settings())

    def _settings(self) -> str:
        """The server's own templates filled in, plug-ins switched on and ours added to the first entry."""
        templates = ("template-dse.ldif", "template-suffix-db.ldif")
        text = "\n".join(_DATA.joinpath("data", name).read_text() for name in templates)
        values = self._values()
        text = re.sub(r"%(\w+)%", lambda found: values[found[1]], text)
        first, *others = (_enabled(entry) for entry in re.split(r"\n\s*\n", text))
        first += "\n" + _SERVER.format(secure_port=self.ldaps_port).rstrip()
        return "\n\n".join((first, *others)) + "\n"

    def _values(self) -> dict[str, str]:
        folder = str(self.directory)
        return {
            "schema_dir": f"{self._configuration}/schema", "lock_dir": f"{folder}/lock", "tmp_dir": f"{folder}/tmp",
            "cert_dir": str(self._configuration), "ldif_dir": f"{folder}/ldif", "bak_dir": f"{folder}/bak",
            "run_dir": f"{folder}/run", "inst_dir": folder, "log_dir": f"{folder}/log", "db_dir": f"{folder}/db",
            "db_home_dir": f"{folder}/home", "db_lib": "bdb", "config_dir": str(self._configuration),
            "fqdn": "localhost", "ds_port": str(self.port), "ds_user": getpass.getuser(), "rootdn": ADMIN_DN,
            "ds_passwd": _salted_sha1(ADMIN_PASSWORD), "ds_suffix": BASE_DN, "ds_bename": "userRoot", "ldapi": f"{folder}/socket",
            "ldapi_enabled": "off", "ldapi_autobind": "off",
        }  # fmt: skip

    def _make_key_database(self) -> None:
        make_certificates(self.directory)
        database = f"sql:{self._configuration}"
        bundle = self.directory / "server.p12"
        bundle.write_bytes(_pkcs12(self.directory))
        _run("certutil", "-N", "-d", database, "--empty-password")
        _run("certutil", "-A", "-d", database, "-n", "Test CA", "-t", "CT,,", "-a", "-i", str(self.ca_file))
        _run("pk12util", "-i", str(bundle), "-d", database, "-W", "bundle", "-K", "")

    def _fill(self) -> None:
        people = "\n".join(
            _PERSON.format(uid=uid, name=name, password=password, more=more, people=PEOPLE_DN).rstrip() + "\n"
            for uid, (name, password, more) in PEOPLE.items()
        )
        file = self.directory / "ldif" / "filled.ldif"
        file.write_text(with_member_of(f"{_BRANCHES}\n{people}"), "utf-8")
        _run("ns-slapd", "ldif2db", "-D", str(self._configuration), "-n", "userRoot", "-i", str(file))


def dn_of(uid: str) -> str:
    """The DN of one of ``PEOPLE``."""
    return f"uid={uid},{PEOPLE_DN}"


def password_of(uid: str) -> str:
    """The password of one of ``PEOPLE``."""
    return PEOPLE[uid][1]


def _enabled(entry: str) -> str:
    if f"\ncn: {_SWITCHED_ON}\n" in entry:
        return entry.replace("nsslapd-pluginenabled: off", "nsslapd-pluginenabled: on")
    return entry


def _salted_sha1(password: str) -> str:
    """The server takes the manager's password hashed only; what it is worth does not matter here."""
    salt = os.urandom(8)
    return "{SSHA}" + base64.b64encode(hashlib.sha1(password.encode() + salt).digest() + salt).decode()


def _pkcs12(directory: Path) -> bytes:
    key = serialization.load_pem_private_key((directory / "server.key").read_bytes(), None)
    certificate = x509.load_pem_x509_certificate((directory / "server.pem").read_bytes())
    encryption = serialization.BestAvailableEncryption(b"bundle")
    return pkcs12.serialize_key_and_certificates(b"Server-Cert", key, certificate, None, encryption)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment())
    if done.returncode:
        raise RuntimeError(f"{command[0]} {command[1]} failed: {(done.stdout + done.stderr)[-2000:]}")
