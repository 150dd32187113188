"""Where archives lie: a folder, or S3 and its kin, by obstore."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.store import LocalStore, ObjectStore, from_url

PART_BYTES = 5 << 20  # The least that S3 takes; 10,000 of them are the most, which is 50 GB.
PARTS_AT_ONCE = 1


@dataclass(frozen=True)
class Stored:
    """An object as it was read back. `version` changes whenever it is written anew."""

    file_bytes: int
    sha256: bytes
    version: str


class ArchiveStore:
    """The store at an address such as file:///var/archive or s3://bucket/prefix.

    Credentials, region and endpoint of S3 are taken from the usual AWS_ variables.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._folder = Path(unquote(urlsplit(url).path)) if url.startswith("file:") else None
        self._store: ObjectStore = LocalStore(self._folder, mkdir=True) if self._folder else from_url(url)

    def location(self, name: str) -> str:
        return f"{self.url}/{name}"

    def put(self, name: str, path: Path) -> None:
        """Store the file under this name, in place of what is there. A reader sees the old one or the new, whole."""
        obstore.put(self._store, name, path, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)
        if self._folder:
            _sync(self._folder, self._folder / name)

    def fetch(self, name: str, path: Path) -> Stored:
        """Copy the object to this path, and tell what was read. Raises FileNotFoundError."""
        seen = hashlib.sha256()
        found = obstore.get(self._store, name)
        with path.open("wb") as file:
            for chunk in found.stream(min_chunk_size=PART_BYTES):
                seen.update(chunk)
                file.write(chunk)
        return Stored(path.stat().st_size, seen.digest(), str(found.meta["e_tag"]))

    def version(self, name: str) -> str:
        """What tells this object from another that was put in its place. Raises FileNotFoundError."""
        return str(obstore.head(self._store, name)["e_tag"])


def _sync(folder: Path, path: Path) -> None:
    """Write file and folders to disk: the partition is dropped on the strength of this file."""
    for place in (path, *path.relative_to(folder).parents):
        handle = os.open(folder / place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
