"""A folder whose disk may lose power: it knows what was synced, and kills whoever writes at a step of our choosing."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock


class Killed(BaseException):
    """The process ended here."""


class Disk:
    """Follows the calls of `os` that metering makes on files of one folder, and takes each for a step.

    `kill_at` is the number of the step at which the writer dies: before it is done, or halfway where it is a write.
    """

    STEPS = ("write", "fdatasync", "fsync", "ftruncate", "replace", "unlink", "open")

    def __init__(self, folder: Path, chance: random.Random, *, kill_at: int | None = None) -> None:
        self.steps = 0
        self._folder = folder
        self._chance = chance
        self._kill_at = kill_at
        self._held: dict[int, int] = {}  # A descriptor of each file by inode, so that none is used again.
        self._synced: dict[int, bytes] = {}
        self._names: list[dict[str, int]] = []  # As the folder was when it was synced, and after each change since.
        self._remember()
        self._synced = {inode: self._read(inode) for inode in self._held}
        self._folder_synced()

    @contextmanager
    def watched(self) -> Iterator[None]:
        with ExitStack() as stack:
            for name in self.STEPS:
                stack.enter_context(mock.patch.object(os, name, self._step(name, getattr(os, name))))
            yield

    def cut_power(self) -> None:
        """Leave in the folder what a disk may hold that was cut off: what was synced, and any part of the rest."""
        self._remember()
        names = self._chance.choice(self._names)
        contents = {name: self._left(inode) for name, inode in names.items()}
        for path in self._folder.iterdir():
            path.unlink()
        for name, content in contents.items():
            (self._folder / name).write_bytes(content)

    def release(self) -> None:
        for descriptor in self._held.values():
            os.close(descriptor)

    def _left(self, inode: int) -> bytes:
        synced, written = self._synced.get(inode, b""), self._read(inode)
        if not written.startswith(synced):
            return self._chance.choice([synced, written])  # It was cut, and that was not synced.
        length = self._chance.randint(len(synced), len(written))
        zeros = self._chance.choice([0, 0, len(written) - length])  # The file's size may be there before its bytes.
        return written[:length] + bytes(zeros)

    def _step(self, name: str, deed: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            if not self._concerns(arguments):
                return deed(*arguments, **options)
            self.steps += 1
            if self.steps == self._kill_at:
                if name == "write" and self._chance.random() < 0.5:
                    deed(arguments[0], arguments[1][: self._chance.randrange(len(arguments[1]))])
                raise Killed
            done = deed(*arguments, **options)
            self._follow(name, arguments)
            return done

        return step

    def _concerns(self, arguments: tuple[Any, ...]) -> bool:
        first = arguments[0]
        path = Path(os.readlink(f"/proc/self/fd/{first}")) if isinstance(first, int) else Path(first)
        return self._folder in (path, path.parent)

    def _follow(self, name: str, arguments: tuple[Any, ...]) -> None:
        self._remember()
        if name in ("fsync", "fdatasync"):
            status = os.fstat(arguments[0])
            if status.st_ino == self._folder.stat().st_ino:
                self._folder_synced()
            else:
                self._synced[status.st_ino] = self._read(status.st_ino)

    def _remember(self) -> None:
        names = {}
        for path in self._folder.iterdir():
            descriptor = _open(path, os.O_RDONLY)
            inode = os.fstat(descriptor).st_ino
            names[path.name] = inode
            if inode in self._held:
                os.close(descriptor)
            else:
                self._held[inode] = descriptor
        if not self._names or names != self._names[-1]:
            self._names.append(names)

    def _folder_synced(self) -> None:
        self._names = self._names[-1:]

    def _read(self, inode: int) -> bytes:
        descriptor = self._held[inode]
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


_open = os.open
