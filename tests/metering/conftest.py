from collections.abc import Iterator
from pathlib import Path

import pytest

from metering.journal import Journal
from metering.models import Event
from metering.records import Closed
from metering.shipping import Shipper
from tests.metering import samples
from tests.metering.journals import open_journal


def shipped_ids() -> list[bytes]:
    return sorted(event_id.bytes for event_id in Event.objects.values_list("id", flat=True))


def ids(answered: list[Closed]) -> list[bytes]:
    return sorted(ending.opened.event_id for ending in answered)


class Factory:
    """A gateway's journal and the shipper of its node, without the gateway."""

    def __init__(self, home: Path) -> None:
        self.journals = home / "journal"
        self.nudges = 0
        self.gateway = self.open("gateway-1")
        self.shipper = self.new_shipper()

    def open(self, name: str, *, segment_bytes_max: int = 1 << 20) -> Journal:
        """Synced record by record, so that a segment ends exactly where its limit is met."""
        return open_journal(self.journals / name, segment_bytes_max=segment_bytes_max, fsync_interval_ms=0)

    def new_shipper(self, records_max: int = 1000) -> Shipper:
        return Shipper(self.journals, records_max=records_max, after_commit=self.nudge)

    def nudge(self) -> None:
        self.nudges += 1

    def serve(self, count: int = 1, journal: Journal | None = None, **opened: object) -> list[Closed]:
        """Requests that came and were answered."""
        journal = journal or self.gateway
        answered = []
        for _ in range(count):
            begun = samples.opened(**opened)  # type: ignore[arg-type]  # Whatever the test says about its requests.
            journal.append_opened(begun)
            journal.append_closed(ending := samples.closed(begun))
            answered.append(ending)
        return answered

    def ship(self) -> int:
        """Ship until nothing is left; return how many events were committed."""
        events = 0
        while batches := self.shipper.ship_round():
            events += sum(batch.events for batch in batches)
        return events


@pytest.fixture
def factory(tmp_path: Path) -> Iterator[Factory]:
    made = Factory(tmp_path)
    yield made
    made.gateway.close()
