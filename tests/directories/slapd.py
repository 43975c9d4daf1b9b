"""A real slapd for tests, the demonstration and benchmarks: filled from LDIF in well under a second, on any port.

    with Slapd.start(COMPANY, directory=tmp_path, tls=True) as slapd:
        slapd.port, slapd.ldaps_port, slapd.ca_file
        slapd.pause(); slapd.resume(); slapd.kill(); slapd.restart()

Everything it writes lies below ``directory``. The process is a child of the caller and ends with ``stop`` or ``kill``.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.directories.process import DirectoryProcess, environment, free_port, search_path

COMPANY: Final = Path(__file__).with_name("company.ldif")
BASE_DN: Final = "dc=example,dc=com"
ADMIN_DN: Final = f"cn=admin,{BASE_DN}"
ADMIN_PASSWORD: Final = "admin-secret"
SERVICE_DN: Final = f"cn=svc,ou=services,{BASE_DN}"
SERVICE_PASSWORD: Final = "svc-secret"

_MODULES: Final = Path("/usr/lib/ldap")
_SCHEMAS: Final = Path("/etc/ldap/schema")

_CONFIGURATION: Final = """\
include {schemas}/core.schema
include {schemas}/cosine.schema
include {schemas}/nis.schema
include {schemas}/inetorgperson.schema
modulepath {modules}
moduleload back_mdb
moduleload memberof
pidfile {directory}/slapd.pid
argsfile {directory}/slapd.args
threads 4
{tls}
database mdb
maxsize 268435456
suffix "{base}"
rootdn "{admin}"
rootpw {password}
directory {directory}/data
dbnosync
index objectClass,uid,cn,mail,member,memberUid,memberOf eq
access to attrs=userPassword by anonymous auth by self =wx by * none
access to * by users read by anonymous {anonymous}
overlay memberof
memberof-refint TRUE
"""


def require_slapd() -> None:
    """Skip the test by name where slapd is not installed; as root, where it could be, fail instead."""
    found = (_MODULES / "back_mdb.so").exists() or any(_MODULES.glob("back_mdb*.so*"))
    if shutil.which("slapd", path=search_path()) and found:
        return
    advice = "slapd is not installed; as root: apt-get install -y --no-install-recommends slapd"
    if os.geteuid() == 0:
        raise RuntimeError(advice)
    pytest.skip(advice)


class Slapd(DirectoryProcess):
    """One running slapd. Made by ``start``."""

    admin = (ADMIN_DN, ADMIN_PASSWORD)

    def __init__(self, directory: Path, port: int, *, tls: bool, anonymous: str) -> None:
        super().__init__(directory, "127.0.0.1", port, free_port() if tls else 0)
        self._tls = tls
        self._configuration = directory / "slapd.conf"
        (directory / "data").mkdir(parents=True)
        if tls:
            make_certificates(directory)
        self._configuration.write_text(
            _CONFIGURATION.format(
                schemas=_SCHEMAS, modules=_MODULES, directory=directory, base=BASE_DN, admin=ADMIN_DN,
                password=ADMIN_PASSWORD, anonymous=anonymous, tls=self._tls_lines(),
            )
        )  # fmt: skip

    @classmethod
    def start(
        cls, *ldif: str | Path, directory: Path, tls: bool = False, port: int | None = None, anonymous: str = "read"
    ) -> Self:
        """Fill a new database below ``directory`` from LDIF texts or files and start slapd on it.

        ``tls`` adds StartTLS and an LDAPS port, with a certificate for ``localhost``, 127.0.0.1 and ::1 signed by
        ``ca_file``. ``anonymous`` is what nobody in particular may do: ``read``, ``auth``, ``none``.
        """
        require_slapd()
        slapd = cls(directory, port or free_port(), tls=tls, anonymous=anonymous)
        texts = [part.read_text("utf-8") if isinstance(part, Path) else part for part in ldif]
        slapd._fill("\n".join(texts))
        slapd.run()
        return slapd

    @property
    def url(self) -> str:
        """``ldap://127.0.0.1:PORT``."""
        return f"ldap://{self.host}:{self.port}"

    @property
    def ldaps_url(self) -> str:
        """``ldaps://localhost:PORT``."""
        return f"ldaps://localhost:{self.ldaps_port}"

    def server(self, **changes: object) -> dict[str, object]:
        """An item of the configuration's ``servers`` for it: people found by the service account; ``changes`` win."""
        return {
            "name": "corp",
            "urls": [self.url],
            "bind_dn": SERVICE_DN,
            "bind_password": SERVICE_PASSWORD,
            "search_base_dns": [f"ou=people,{BASE_DN}"],
            **changes,
        }

    def command(self) -> list[str]:
        urls = self.url + (f" ldaps://{self.host}:{self.ldaps_port}" if self._tls else "")
        return ["slapd", "-d", "0", "-f", str(self._configuration), "-h", urls]

    def pause(self) -> None:
        """Let it hang (SIGSTOP): its sockets stay open, and the kernel still accepts connections."""
        os.kill(self.pid, signal.SIGSTOP)
        while not all(_stopped(task) for task in Path(f"/proc/{self.pid}/task").iterdir()):
            time.sleep(0.001)

    def resume(self) -> None:
        """Undo ``pause``."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Stop and start again on the same ports with the same data."""
        self.stop()
        self.run()

    def cpu_seconds(self) -> float:
        """User and system time of the process so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _tls_lines(self) -> str:
        if not self._tls:
            return ""
        return (
            f"TLSCACertificateFile {self.ca_file}\n"
            f"TLSCertificateFile {self.directory}/server.pem\n"
            f"TLSCertificateKeyFile {self.directory}/server.key\n"
        )

    def _fill(self, ldif: str) -> None:
        file = self.directory / "filled.ldif"
        file.write_text(with_member_of(ldif), "utf-8")
        command = ["slapadd", "-q", "-f", str(self._configuration), "-l", str(file)]
        done = subprocess.run(command, capture_output=True, env=environment(), check=False)
        if done.returncode:
            raise RuntimeError(f"slapadd failed: {done.stderr.decode(errors='replace')[-2000:]}")


def _stopped(task: Path) -> bool:
    """Whether a thread has noticed the signal; each does so for itself."""
    return task.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "T"


def with_member_of(ldif: str) -> str:
    """``ldif`` with ``memberOf`` in the entries that groups name: the overlay does not work while slapadd runs.

    Values that LDIF cannot hold in clear (RFC 2849: beyond ASCII, or with a special character first) are written in
    base64, so that the source may be pleasant to read.
    """
    records = [list(_lines(record)) for record in re.split(r"\n\s*\n", ldif)]
    groups: dict[str, list[str]] = {}
    for record in records:
        dn = next((value for name, value in record if name == "dn"), "")
        for name, value in record:
            if name.lower() in ("member", "uniquemember"):
                groups.setdefault(value.casefold(), []).append(dn)
    out = []
    for record in records:
        if record:
            own = groups.get(record[0][1].casefold(), []) if record[0][0] == "dn" else []
            lines = [*record, *(("memberOf", group) for group in own)]
            out.append("".join(_line(name, value) for name, value in lines))
    return "\n".join(out)


def _lines(record: str) -> Iterator[tuple[str, str]]:
    for line in re.sub(r"\n ", "", record).splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition(":")
            yield name, base64.b64decode(value[1:]).decode() if value.startswith(":") else value.removeprefix(" ")


def _line(name: str, value: str) -> str:
    if value.isascii() and not value.startswith((" ", ":", "<")) and not value.endswith(" "):
        return f"{name}: {value}\n"
    return f"{name}:: {base64.b64encode(value.encode()).decode()}\n"


def make_certificates(
    directory: Path, names: Iterable[str] = ("localhost", "127.0.0.1", "::1"), common_name: str = "Test server"
) -> None:
    """A CA (``ca.pem``) and a server certificate of its own for ``names`` (``server.pem``, ``server.key``)."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("Test CA", ca_key, "Test CA", ca_key, x509.BasicConstraints(ca=True, path_length=0))
    server = _certificate(common_name, key, "Test CA", ca_key, x509.SubjectAlternativeName(map(_name, names)))
    files: Mapping[str, bytes] = {
        "ca.pem": ca.public_bytes(serialization.Encoding.PEM),
        "server.pem": server.public_bytes(serialization.Encoding.PEM),
        "server.key": key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    }
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)
    (directory / "server.key").chmod(0o600)


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        .sign(issuer_key, hashes.SHA256())
    )
