"""The private redis-server: started beside Tino when no Redis is given.

It listens on a unix socket alone and keeps an append-only file under the data directory. Its socket lives in a
directory only this user can enter, under the temporary directory and named by a hash of the data path, because a
socket's path may be no longer than about a hundred bytes. Three locks keep the data in one hand:

    starting.lock   held by whoever is starting a server: the others wait and then find it running
    owner.lock      held by whoever is to stop the server: its starter, or who came to it after its starter was gone
    serving.lock    inherited by redis-server itself and so held until that process is gone, even if everybody who
                    knew about it was killed; a second server on the same append-only file would ruin it

A server that outlived its starter is found by its socket, used again, and stopped by who found it. One that dies under
its owner is started again (`guard`), on what its append-only file kept. One that runs on a directory which has been
deleted or moved since is refused: what it acknowledges would be lost with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from features import redis_probe
from features.errors import RedisServerError
from features.redis_binary import find_binary, refuse_newer_data

READY_WITHIN = 60.0
STOP_WITHIN = 20.0
RESTART_PAUSE = 1.0
_LONGEST_SOCKET_PATH = 103  # macOS; Linux has four more
_LOG_TAIL_LINES = 15


class EmbeddedRedis:
    """A running redis-server. `owned` says whether this process started it, or has inherited it, and so stops it."""

    def __init__(self, directory: Path, socket_path: Path, pid: int, process: subprocess.Popen[bytes] | None) -> None:
        self.socket_path = socket_path
        self.pid = pid
        self._directory = directory
        self._process = process
        self._owner = _own(directory)
        self._stopping = threading.Event()
        self._guardian: threading.Thread | None = None

    @classmethod
    def start(cls, data: Path, *, appendfsync: str = "everysec", maxmemory: int = 0) -> EmbeddedRedis:
        """Start a server on `data`, or join the one that runs there. Returns once it answers.

        `maxmemory` is in bytes, 0 for no limit. Raises RedisServerError, with the end of its log, after 60 s.
        """
        directory = data.resolve() / "redis"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        socket_path = socket_for(data)
        with _locked(directory / "starting.lock"):
            if redis_probe.answers(socket_path):
                _until_ready(socket_path, directory, None)
                pid = redis_probe.pid(socket_path)
                _refuse_stranger(directory, pid)
                return cls(directory, socket_path, pid, None)
            process = _launch(directory, socket_path, appendfsync, maxmemory)
            try:
                _until_ready(socket_path, directory, process)
            except BaseException:
                _end(process)
                socket_path.unlink(missing_ok=True)
                raise
            return cls(directory, socket_path, process.pid, process)

    @property
    def url(self) -> str:
        return f"unix://{self.socket_path}"

    @property
    def owned(self) -> bool:
        return self._process is not None or self._owner is not None

    def guard(self, data: Path, told: Callable[[str], None], *, appendfsync: str = "everysec") -> None:
        """Start the server again whenever it ends by itself; `told` gets a sentence each time.

        One that another process started is taken over when it goes away with that process. A second of rest between
        attempts, so that a server that can't start doesn't keep a core busy.
        """
        directory = data.resolve() / "redis"
        self._guardian = threading.Thread(target=self._watch, args=(directory, told, appendfsync), daemon=True)
        self._guardian.start()

    def stop(self) -> None:
        """Stop the server if it is ours: it writes out what it acknowledged first. Harmless when repeated."""
        self._stopping.set()
        if self._process is not None:
            _end(self._process)
        elif self._owner is not None:
            _end_inherited(self.pid, self._directory)
        if self._guardian is not None:
            self._guardian.join()
            if self._process is not None:
                _end(self._process)  # should the guardian have been about to start another
        if self._owner is not None:
            os.close(self._owner)
            self._owner = None

    def _watch(self, directory: Path, told: Callable[[str], None], appendfsync: str) -> None:
        while not self._stopping.wait(RESTART_PAUSE):
            if self._process is not None:
                self._process.wait()
            elif redis_probe.answers(self.socket_path):
                continue
            if self._stopping.is_set():
                return
            told("redis-server has ended and is started again")
            try:
                with _locked(directory / "starting.lock"):
                    if not redis_probe.answers(self.socket_path):
                        self._process = _launch(directory, self.socket_path, appendfsync, 0)
                        self.pid = self._process.pid
                        self._owner = self._owner or _own(directory)
                        _until_ready(self.socket_path, directory, self._process)
            except RedisServerError as error:
                told(str(error))

    def __enter__(self) -> EmbeddedRedis:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def socket_for(data: Path) -> Path:
    """Where the server for this data directory listens. Makes its directory; raises if another user has it."""
    directory = Path(tempfile.gettempdir()) / f"tino-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if not directory.is_dir() or directory.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise RedisServerError(f"{directory} must be a directory of this user's alone (mode 0700)")
    path = directory / f"{hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:16]}.sock"
    if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
        raise RedisServerError(f"the temporary directory's path is too long for a unix socket: {path}; set TMPDIR")
    return path


def _launch(directory: Path, socket_path: Path, appendfsync: str, maxmemory: int) -> subprocess.Popen[bytes]:
    binary = find_binary()
    refuse_newer_data(binary, directory)
    settings = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(directory),
        "appendonly": "yes",
        "appendfsync": appendfsync,
        "save": "",
        # A rewrite takes a core for seconds and shrinks little, as most of the file is records: not at every 64 MB.
        "auto-aof-rewrite-min-size": "512mb",
        "maxmemory": str(maxmemory),
        "maxmemory-policy": "noeviction",
        "loglevel": "notice",
        "logfile": str(directory / "redis.log"),
    }
    command = [str(binary), *(word for name, value in settings.items() for word in (f"--{name}", value))]
    with _locked(directory / "serving.lock", within=STOP_WITHIN) as lock:
        # Its own session: Ctrl-C reaches the workers, which still need it to finish.
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=(lock,), start_new_session=True
        )


@contextlib.contextmanager
def _locked(path: Path, within: float = READY_WITHIN + STOP_WITHIN) -> Iterator[int]:
    """Hold the file's lock. It is shared with every child that inherits the descriptor, and ends with the last."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + within
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise RedisServerError(f"another process has held {path} for {within:.0f} s")
            time.sleep(0.02)
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _own(directory: Path) -> int | None:
    """The descriptor whose lock says who stops the server; None while another has it."""
    descriptor = os.open(directory / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if _try_lock(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def _refuse_stranger(directory: Path, pid: int) -> None:
    """Raises RedisServerError if the server `pid`, which answers for this directory, doesn't hold its lock."""
    descriptor = os.open(directory / "serving.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if _try_lock(descriptor):
            raise RedisServerError(
                f"a redis-server (process {pid}) still runs on what was {directory} before it was deleted or moved; "
                f"what it holds is in no file here. Stop it (kill {pid}), then start again"
            )
    finally:
        os.close(descriptor)


def _until_ready(socket_path: Path, directory: Path, process: subprocess.Popen[bytes] | None) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while not redis_probe.ready(socket_path):
        if process is not None and process.poll() is not None:
            raise RedisServerError(f"redis-server ended with status {process.returncode}:\n{_log_tail(directory)}")
        if time.monotonic() > deadline:
            raise RedisServerError(f"redis-server is not ready after {READY_WITHIN:.0f} s:\n{_log_tail(directory)}")
        time.sleep(0.01)


def _log_tail(directory: Path) -> str:
    try:
        lines = (directory / "redis.log").read_text(errors="replace").splitlines()
    except OSError as error:
        return f"(no log: {error})"
    return "\n".join(lines[-_LOG_TAIL_LINES:])


def _end_inherited(pid: int, directory: Path) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    try:
        with _locked(directory / "serving.lock", within=STOP_WITHIN):  # it holds this until it is gone
            pass
    except RedisServerError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
