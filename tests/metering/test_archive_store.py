"""The archive on a real S3 API: moto's server on loopback, which obstore speaks to over HTTP as it would to AWS."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from metering import archive, archive_store, rollup
from metering.archive_store import ArchiveStore
from metering.models import Archive, Event
from tests.metering.conftest import Factory

NAME = "events/month=2023-11/part-0001.parquet"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    given = {"ENDPOINT": address, "REGION": "us-east-1", "ALLOW_HTTP": "true"}
    for name, value in (given | {"ACCESS_KEY_ID": "of-a-test", "SECRET_ACCESS_KEY": "of-a-test"}).items():
        monkeypatch.setenv(f"AWS_{name}", value)
    urlopen(Request(f"{address}/tokens", method="PUT")).close()
    yield "s3://tokens/metering"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return str(request.getfixturevalue("bucket"))
    return (tmp_path / "a folder, 100 % ä").as_uri()


def test_what_is_stored_is_read_back_as_it_was(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_store, "PART_BYTES", 5 << 20)
    written = tmp_path / "written"
    written.write_bytes(bytes(range(256)) * (12 << 12))  # 12 MiB: three parts.
    store = ArchiveStore(url)
    store.put(NAME, written)
    stored = store.fetch(NAME, tmp_path / "read")
    assert (tmp_path / "read").read_bytes() == written.read_bytes()
    assert stored.file_bytes == 12 << 20
    assert stored.version == store.version(NAME)
    written.write_bytes(b"anew")
    store.put(NAME, written)
    assert store.version(NAME) != stored.version
    assert store.fetch(NAME, tmp_path / "read").file_bytes == 4


def test_what_is_not_there_is_not_found(url: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ArchiveStore(url).version("nothing")
    with pytest.raises(FileNotFoundError):
        ArchiveStore(url).fetch("nothing", tmp_path / "read")


@pytest.mark.django_db
def test_a_month_goes_to_s3_and_can_be_read_from_there(
    factory: Factory, bucket: str, settings: Any, tmp_path: Path
) -> None:
    settings.TOKENWORKS_ARCHIVE_URL, settings.TOKENWORKS_HOME = bucket, tmp_path / "home"
    factory.serve(7)
    factory.ship()
    rollup.fold_everything()
    record = archive.archive_month(datetime(2023, 11, 1, tzinfo=UTC))
    assert record is not None
    assert Archive.objects.get().location == f"s3://tokens/metering/{NAME}"
    assert Event.objects.count() == 0
    ArchiveStore(bucket).fetch(NAME, tmp_path / "read")
    assert pq.read_table(tmp_path / "read").num_rows == 7
