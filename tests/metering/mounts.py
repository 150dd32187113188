"""Small file systems of our own, full or broken as real ones are. They need the right to mount."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DISK_BYTES = 2**20
FILLER = "filler"


@contextmanager
def small_disk(at: Path) -> Iterator[Path]:
    """A disk of 1 MiB, in memory."""
    at.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tokenworks-test", str(at))
    try:
        yield at
    finally:
        _run("umount", "--lazy", str(at))  # A test that failed may have files open.


@contextmanager
def ext4_disk(at: Path) -> Iterator[Path]:
    """A disk that becomes read-only for good when its file system finds an error, as most are mounted."""
    image = at.with_suffix(".image")
    at.mkdir()
    with image.open("wb") as file:
        file.truncate(8 * DISK_BYTES)
    if _run("mkfs.ext4", "-q", "-F", str(image)).returncode:
        pytest.skip("there is no mkfs.ext4 here")
    _mount("-o", "loop,errors=remount-ro", str(image), str(at))
    try:
        yield at
    finally:
        _run("umount", "--lazy", str(at))


def find_error(disk: Path) -> None:
    """The ext4 behaves as after an error on its device: what is not on the disk is lost, and it is read-only."""
    assert _run("mount", "-o", "remount,abort", str(disk)).returncode == 0


def mount_again(disk: Path) -> None:
    assert _run("umount", str(disk)).returncode == 0
    _mount("-o", "loop,errors=remount-ro", str(disk.with_suffix(".image")), str(disk))


def make_read_only(disk: Path) -> None:
    assert _run("mount", "-o", "remount,ro", str(disk)).returncode == 0


def fill(disk: Path, *, bytes_left: int = 0) -> None:
    """Take all room on it, in steps of a page, but for this much."""
    with (disk / FILLER).open("ab", buffering=0) as file:
        try:
            while file.write(bytes(4096)) == 4096:
                pass
        except OSError:
            pass
        file.truncate(max(0, file.tell() - bytes_left))


def free(disk: Path) -> None:
    (disk / FILLER).unlink()


def _mount(*arguments: str) -> None:
    done = _run("mount", *arguments)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError as missing:
        return subprocess.CompletedProcess(command, 127, "", str(missing))
