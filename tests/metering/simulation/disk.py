"""A node's disk: a real folder whose calls pause, fail, tear and are cut short, and which knows what a power cut takes.

The product's modules get `FaultyOs` for their `os` and `DiskPath` for their paths. What is on the disk for good is
kept beside the folder: a file's bytes at its last sync, and a folder's names at its last sync.
"""

import errno
import io
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path, PosixPath
from random import Random
from typing import Any, TypeVar

from tests.metering.simulation.faults import Faults
from tests.metering.simulation.stage import Killed, Process, Stage

T = TypeVar("T")
Names = dict[str, int]  # Inode by name.


class Disk:
    """`room_bytes` None: as much as is wanted."""

    def __init__(self, folder: Path, rng: Random, faults: Faults) -> None:
        self.folder = folder
        self.room_bytes: int | None = None
        self.read_only = False
        self._rng = rng
        self._faults = faults
        self._synced: dict[int, bytes] = {}
        self._names: dict[str, Names] = {}
        self._unsynced: dict[str, list[Callable[[Names], None]]] = {}

    def strikes(self, fault: str) -> bool:
        return self._faults.strikes(fault)

    def allow(self, kind: str) -> None:
        """Raise what the disk says to this kind of call."""
        if self.read_only:
            self._faults.tell("call on a read-only disk")
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        if kind == "create" and self.room_bytes is not None and self._rng.random() < 0.5:
            self._faults.tell("call on a full disk")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if (kind == "truncate" and self.strikes("a truncation fails")) or (
            kind == "write" and self.strikes("a write fails")
        ):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def taken(self, data: bytes) -> bytes:
        """As much of it as there is room for."""
        if self.room_bytes is None or not data:
            return data
        part = data[: self.room_bytes]
        self.room_bytes -= len(part)
        if len(part) < len(data):
            self._faults.tell("call on a full disk")
        if not part:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return part

    def torn(self, data: bytes) -> bytes:
        return data[: self._rng.randrange(len(data) + 1)]

    def linked(self, path: str) -> None:
        folder, name = os.path.split(path)
        inode = os.stat(path).st_ino
        self._synced.setdefault(inode, b"")
        self._change(folder, lambda names: names.__setitem__(name, inode))

    def renamed(self, old: str, new: str) -> None:
        folder, name = os.path.split(new)
        before = os.path.basename(old)

        def rename(names: Names) -> None:
            if before in names:
                names[name] = names.pop(before)

        self._change(folder, rename)

    def unlinked(self, path: str) -> None:
        folder, name = os.path.split(path)

        def unlink(names: Names) -> None:
            names.pop(name, None)

        self._change(folder, unlink)

    def _change(self, folder: str, change: Callable[[Names], None]) -> None:
        self._unsynced.setdefault(folder, []).append(change)

    def synced(self, descriptor: int) -> None:
        """What it names is on the disk as it is."""
        state = os.fstat(descriptor)
        path = f"/proc/self/fd/{descriptor}"
        if stat.S_ISDIR(state.st_mode):
            folder = os.readlink(path)
            names = self._names.setdefault(folder, {})
            for change in self._unsynced.pop(folder, []):
                change(names)
        else:
            self._synced[state.st_ino] = Path(path).read_bytes()

    def cut_power(self) -> None:
        """Leave what was synced, and of the rest whatever the dice say. Nobody may have a file open."""
        now = {path.stat().st_ino: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        for folder in sorted(path for path in self.folder.iterdir() if path.is_dir()):
            if folder.name not in self._left_names(str(self.folder)):
                shutil.rmtree(folder)
                self._names.pop(str(folder), None)
                self._unsynced.pop(str(folder), None)
                continue
            kept = {
                name: self._left_bytes(inode, now.get(inode))
                for name, inode in sorted(self._left_names(str(folder)).items())
            }
            self._write_anew(folder, kept)

    def _left_names(self, folder: str) -> Names:
        """Names reach the disk in the order of their changes, as a journalling file system has it."""
        names = self._names.setdefault(folder, {})
        changes = self._unsynced.pop(folder, [])
        for change in changes[: self._rng.randrange(len(changes) + 1)]:
            change(names)
        return names

    def _left_bytes(self, inode: int, now: bytes | None) -> bytes:
        synced = self._synced.get(inode, b"")
        if now is None or now == synced:
            return synced
        if not now.startswith(synced):
            return self._rng.choice((now, synced))
        tail = now[len(synced) :]
        tail = tail[: self._rng.randrange(len(tail) + 1)]
        if tail and self._rng.random() < 0.2:  # The file's length was written, and not all of its bytes.
            lost = self._rng.randrange(len(tail))
            tail = tail[:lost] + bytes(len(tail) - lost)
        return synced + tail

    def _write_anew(self, folder: Path, files: dict[str, bytes]) -> None:
        for path in list(folder.iterdir()):
            path.unlink()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        self._names[str(folder)] = {name: (folder / name).stat().st_ino for name in files}
        self._synced |= {(folder / name).stat().st_ino: content for name, content in files.items()}


class Calls:
    """What every call passes: the pause before it, the kill before, within or after it, and the disk's refusal."""

    stage: Stage | None = None

    @classmethod
    def process(cls) -> Process | None:
        return cls.stage.current.process if cls.stage is not None and cls.stage.current is not None else None

    @classmethod
    def make(cls, kind: str, call: Callable[[], T], then: Callable[[Disk], None] = lambda disk: None) -> T:
        process = cls.process()
        if process is None:
            return call()
        cls._begin(process, kind)
        result = call()
        then(process.disk)
        cls._end(process)
        return result

    @classmethod
    def write(cls, call: Callable[[bytes], int], data: bytes) -> int:
        process = cls.process()
        if process is None:
            return call(data)
        cls._begin(process, "write")
        if process.disk.strikes("killed within a write (torn)"):
            call(process.disk.torn(data))
            process.dead = True
            raise Killed
        written = call(process.disk.taken(data))
        cls._end(process)
        return written

    @classmethod
    def _begin(cls, process: Process, kind: str) -> None:
        assert cls.stage is not None
        if process.dead:
            raise Killed
        process.pass_by(kind)
        if process.disk.strikes("killed before a disk call"):
            process.dead = True
            raise Killed
        if kind not in ("read", "sync"):
            process.disk.allow(kind)
        elif kind == "sync" and process.disk.strikes("a sync fails"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    @classmethod
    def _end(cls, process: Process) -> None:
        if process.disk.strikes("killed after a disk call"):
            process.dead = True
            raise Killed


class FaultyOs:
    """The `os` of the product's modules."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        kind = "create" if flags & os.O_CREAT and not os.path.exists(path) else "open"
        linked = (lambda disk: disk.linked(str(path))) if kind == "create" else (lambda disk: None)
        process = Calls.process()

        def opened() -> int:
            descriptor = os.open(path, flags, mode)
            if process is not None:
                process.descriptors.add(descriptor)
            return descriptor

        return opened() if kind == "open" and not flags & os.O_TRUNC else Calls.make("create", opened, linked)

    def close(self, descriptor: int) -> None:
        process = Calls.process()
        if process is not None:
            process.descriptors.discard(descriptor)
        os.close(descriptor)

    @staticmethod
    def close_all(process: Process) -> None:
        """What the kernel does with the files of a process that is gone."""
        for descriptor in process.descriptors:
            os.close(descriptor)
        process.descriptors.clear()

    def write(self, descriptor: int, data: bytes) -> int:
        return Calls.write(lambda part: os.write(descriptor, part), data)

    def pread(self, descriptor: int, size: int, offset: int) -> bytes:
        return Calls.make("read", lambda: os.pread(descriptor, size, offset))

    def ftruncate(self, descriptor: int, size: int) -> None:
        Calls.make("truncate", lambda: os.ftruncate(descriptor, size))

    def fsync(self, descriptor: int) -> None:
        Calls.make("sync", lambda: None, lambda disk: disk.synced(descriptor))

    fdatasync = fsync


class DiskFile(io.FileIO):
    """What Python's buffers write through to. A dead process' buffers are lost, as they are when it is killed."""

    def write(self, data: Any) -> int:
        process = Calls.process()
        if process is not None and process.dead:
            return len(data)
        return Calls.write(super().write, bytes(data))

    def truncate(self, size: int | None = None) -> int:
        call = super().truncate
        return Calls.make("truncate", lambda: call(size))


class DiskPath(PosixPath):
    """A path whose changes are calls of the disk; what is made of it by `/` and the like is one too."""

    def open(self, mode: str = "r", buffering: int = -1, *_: Any, **__: Any) -> Any:
        plain = mode.replace("b", "").replace("t", "")
        raw = DiskFile(self, plain) if plain == "r" else self._open_to_write(plain)
        if buffering == 0:
            return raw
        buffered = (
            io.BufferedRandom(raw)
            if "+" in plain
            else io.BufferedReader(raw)
            if plain == "r"
            else io.BufferedWriter(raw)
        )
        return buffered if "b" in mode else io.TextIOWrapper(buffered)

    def _open_to_write(self, mode: str) -> DiskFile:
        is_new, opened = not self.exists(), list[DiskFile]()

        def note(disk: Disk) -> None:
            if is_new:
                disk.linked(str(self))

        try:
            Calls.make("create" if is_new else "open", lambda: opened.append(DiskFile(self, mode)), note)
        except Killed:
            for file in opened:
                file.close()
            raise
        return opened[0]

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        if not self.exists():
            Calls.make("create", lambda: PosixPath(self).mkdir(mode), lambda disk: disk.linked(str(self)))

    def replace(self, target: Any) -> "DiskPath":
        moved = super().replace
        return Calls.make("rename", lambda: moved(target), lambda disk: disk.renamed(str(self), str(target)))

    def unlink(self, missing_ok: bool = False) -> None:
        unlink = super().unlink
        Calls.make("unlink", lambda: unlink(missing_ok), lambda disk: disk.unlinked(str(self)))
