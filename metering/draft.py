"""The next batch of a journal, read and made into rows while it is copied: no more of it is held than one stretch."""

from collections.abc import Iterator
from datetime import datetime

from metering.event_rows import EventRows
from metering.reader import JournalReader, JournalUnshippable, RecordForeign, Shipped, Stretch
from metering.records import RecordUnreadable

BATCH_BYTES_MAX = 64 * 2**20


class Draft:
    """What follows `shipped` in a journal, as far as it was read: its numbers grow until `rows` has ended.

    `problem` is what stands behind the last record, and `again` says that a record could not be read that is not
    named yet: a draft `one_by_one` will ship all before it and name it.
    """

    def __init__(
        self, reader: JournalReader, shipped: Shipped | None, records_max: int, *, one_by_one: bool = False
    ) -> None:
        self.shipped = shipped
        self._reader = reader
        self._records_max = records_max
        self._one_by_one = one_by_one
        self._begin_reading()

    def _begin_reading(self) -> None:
        self.first = 0
        self.last: Shipped | None = None
        self.records = self.opened = self.events = 0
        self.problem: JournalUnshippable | None = None
        self.again = False
        self._bytes = 0
        self._head: list[Stretch] = []
        self._stretches = self._until_a_problem(
            self._reader.stretches(self.shipped, self._records_max, one_by_one=self._one_by_one)
        )

    def is_worth_a_batch(self) -> bool:
        """Whether a request has ended in it. Records of what is open alone wait for one, unless a limit is met."""
        for stretch in self._stretches:
            self._head.append(stretch)
            if stretch.endings:
                return True
        return sum(stretch.records for stretch in self._head) >= self._records_max

    def begin(self, encoder: EventRows) -> set[datetime]:
        """Make the first rows; return the months that must have a partition. The batch then holds no other month."""
        self._encoder = encoder
        self._months: set[datetime] = set()
        first_rows = [rows for stretch in self._head if (rows := self._encoded(stretch)) is not None]
        self._first_rows = b"".join(first_rows)
        return self._months

    def begin_again(self, encoder: EventRows) -> None:
        """Read the same once more, because its rows went nowhere."""
        self._begin_reading()
        self.is_worth_a_batch()
        self.begin(encoder)

    def rows(self) -> Iterator[bytes]:
        """The rows, block by block, until a limit, a problem or an event of another month ends the batch."""
        yield self._first_rows
        months = set(self._months)
        if self.problem is not None or self.again:
            return
        while self._bytes < BATCH_BYTES_MAX and (stretch := next(self._stretches, None)) is not None:
            rows = self._encoded(stretch, months)
            if rows is None:
                return
            yield rows

    def _until_a_problem(self, stretches: Iterator[Stretch]) -> Iterator[Stretch]:
        try:
            yield from stretches
        except JournalUnshippable as problem:
            self.problem = problem

    def _encoded(self, stretch: Stretch, months: set[datetime] | None = None) -> bytes | None:
        """The rows of a stretch that is now part of the batch; None where it ends the batch before it."""
        if self.problem is not None or self.again:
            return None
        try:
            rows = self._encoder.encode(stretch.endings)
        except RecordUnreadable as problem:
            if stretch.records > 1:
                self.again = True
            else:
                message = f"{stretch.segment}, record {stretch.first}: {problem}"
                self.problem = RecordForeign(stretch.segment, message)
            return None
        if months is not None and not self._encoder.months <= months:
            return None
        self._months |= self._encoder.months
        self.first = self.first or stretch.first
        self.last = stretch.last
        self.records += stretch.records
        self.opened += stretch.opened
        self.events += len(stretch.endings)
        self._bytes += stretch.size
        return rows
