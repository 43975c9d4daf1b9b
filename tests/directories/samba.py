"""A real Samba AD DC for tests: its LDAP service alone, on an address of its own.

    with Samba.start(directory=tmp_path) as samba:
        samba.url, samba.ldaps_url, samba.ca_file, samba.server(search_filter="(sAMAccountName=%s)")

Active Directory's ports are fixed (389, 636, 3268, 3269), so it needs root, and an address of 127.0.0.0/8 that it
shares with nobody; runs side by side then do not meet. The filled domain is made once (5 s, on a busy machine 15 s) and
kept as an archive below ``$XDG_CACHE_HOME/ldap-gateway-tests``, under a name that follows from what made it.
It ends with ``stop``, and by itself when its parent dies.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Final

import pytest

from tests.directories import samba_fill
from tests.directories.process import DirectoryProcess, search_path
from tests.directories.samba_fill import BASE_DN, DOMAIN, LOCKOUT_THRESHOLD, PEOPLE, REALM, SERVICE_DN, SERVICE_PASSWORD
from tests.directories.slapd import make_certificates

ADMIN_DN: Final = f"CN=Administrator,CN=Users,{BASE_DN}"
ADMIN_PASSWORD: Final = "Passw0rd!23"
HOST: Final = "dc1"

_PYTHON: Final = "/usr/bin/python3"
"""The distribution's, which has Samba's modules; isolated, so that this file is not taken for one of them."""
_SCRIPT: Final = Path(samba_fill.__file__)
_MAKE_SECONDS: Final = 300.0

_PROVISION: Final = (
    "domain", "provision", f"--realm={REALM}", f"--domain={DOMAIN}", "--server-role=dc", "--dns-backend=NONE",
    "--use-rfc2307", f"--adminpass={ADMIN_PASSWORD}", f"--host-name={HOST}", "--host-ip=127.0.0.1",
    "--option=interfaces=127.0.0.1", "--option=bind interfaces only=yes",
)  # fmt: skip

_CONFIGURATION: Final = """\
[global]
netbios name = {host}
realm = {realm}
workgroup = {domain}
server role = active directory domain controller
server services = ldap
interfaces = {address}/8
bind interfaces only = yes
private dir = {domain_directory}/private
lock directory = {domain_directory}
state directory = {domain_directory}/state
cache directory = {domain_directory}/cache
binddns dir = {domain_directory}/bind-dns
pid directory = {directory}/run
ncalrpc dir = {directory}/ncalrpc
ldap server require strong auth = no
tls keyfile = {directory}/server.key
tls certfile = {directory}/server.pem
tls cafile = {directory}/ca.pem
"""


def require_samba() -> None:
    """Skip the test by name where Samba cannot run; as root, where it could be installed, fail instead."""
    if os.geteuid() != 0:
        pytest.skip("Samba AD needs root: its ports are fixed below 1024")
    if not (shutil.which("samba", path=search_path()) and shutil.which("samba-tool", path=search_path())):
        raise RuntimeError("Samba is not installed; as root, make test does so")


class Samba(DirectoryProcess):
    """One running domain controller. Made by ``start``."""

    admin = (ADMIN_DN, ADMIN_PASSWORD)

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, _free_address(), 389, 636)
        self.url = f"ldap://{self.host}"
        self.ldaps_url = f"ldaps://{self.host}"
        self._configuration = directory / "smb.conf"

    @classmethod
    def start(cls, *, directory: Path) -> Samba:
        """Unpack the filled domain below ``directory`` and start the server on it."""
        require_samba()
        samba = cls(directory)
        directory.mkdir(parents=True)
        for name in ("run", "ncalrpc"):
            directory.joinpath(name).mkdir()
        _unpack_domain(directory / "domain")
        make_certificates(directory, (samba.host, "localhost"))
        samba._configuration.write_text(_configuration(directory, directory / "domain", samba.host))
        samba.run()
        return samba

    def server(self, **changes: object) -> dict[str, object]:
        """An item of the configuration's ``servers`` for it: people found by sAMAccountName; ``changes`` win."""
        return {
            "name": "corp",
            "urls": [self.url],
            "bind_dn": SERVICE_DN,
            "bind_password": SERVICE_PASSWORD,
            "search_base_dns": [BASE_DN],
            "search_filter": "(&(objectCategory=person)(objectClass=user)(sAMAccountName=%s))",
            "attributes": {"username": "sAMAccountName", "name": "displayName", "email": "mail"},
            **changes,
        }

    def lock(self, login: str) -> None:
        """Lock an account the way people do: by wrong passwords."""
        for _ in range(LOCKOUT_THRESHOLD):
            self.bind(dn_of(login), "Wrong-Passw0rd")

    def command(self) -> list[str]:
        return ["samba", "-i", "--no-process-group", "-M", "single", "-s", str(self._configuration)]


def dn_of(login: str) -> str:
    """The DN of one of ``PEOPLE``."""
    return next(person.dn for person in PEOPLE if person.login == login)


def password_of(login: str) -> str:
    """The password of one of ``PEOPLE``."""
    return next(person.password for person in PEOPLE if person.login == login)


def _unpack_domain(directory: Path) -> None:
    """The filled domain, from the archive where that can be read, else made and kept."""
    archive = _archive()
    with contextlib.suppress(OSError, EOFError, tarfile.TarError):
        _extract(archive, directory)
        return
    shutil.rmtree(directory, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="samba-") as made:
        domain = _make_domain(Path(made))
        with contextlib.suppress(OSError):
            _keep(domain, archive)
        shutil.move(domain, directory)


def _archive() -> Path:
    version = _run(["samba", "--version"])
    made_of = "\0".join((version, *_PROVISION, _CONFIGURATION, _SCRIPT.read_text("utf-8")))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ldap-gateway-tests"
    return cache / f"samba-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}.tar.gz"


def _extract(archive: Path, directory: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extractall(directory, filter="data")


def _make_domain(directory: Path) -> Path:
    domain = directory / "domain"
    _run(["samba-tool", *_PROVISION, f"--targetdir={domain}"])
    file = directory / "smb.conf"
    file.write_text(_configuration(directory, domain, "127.0.0.1"))
    _run([_PYTHON, "-I", str(_SCRIPT), str(file), str(domain / "private" / "sam.ldb")])
    return domain


def _keep(domain: Path, archive: Path) -> None:
    """Older archives go; a reader never sees half of one."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    for old in archive.parent.glob("samba-*.tar.gz"):
        old.unlink(missing_ok=True)
    half = archive.with_name(f"{archive.name}.{os.getpid()}")
    with tarfile.open(half, "w:gz", compresslevel=1) as tar:
        tar.add(domain, ".")
    half.chmod(0o600)
    half.replace(archive)


def _run(command: list[str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=_MAKE_SECONDS,
        env={"PATH": search_path(), "HOME": os.environ.get("HOME", "/root"), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr[-2000:]}")
    return done.stdout


def _configuration(directory: Path, domain: Path, address: str) -> str:
    return _CONFIGURATION.format(
        host=HOST, realm=REALM, domain=DOMAIN, address=address, directory=directory, domain_directory=domain
    )


def _free_address() -> str:
    """An address of 127.0.0.0/8 where nobody listens on the LDAP port."""
    number = os.getpid()
    for offset in range(1000):
        address = f"127.77.{(number + offset) // 250 % 250}.{(number + offset) % 250 + 1}"
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((address, 389))
            return address
    raise RuntimeError("port 389 is taken on every loopback address")
