"""How old, and how far ahead, an event that was counted elsewhere may be. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from metering.ingest_formats.reported import BadEvent, ReportedUsage, microseconds

AHEAD_MAX = timedelta(minutes=5)  # Clocks differ; a future time beyond that is a mistake.
BACK_MAX = timedelta(days=35)


@dataclass(frozen=True)
class Window:
    """The times that a call may report, in microseconds since the epoch; `back_days` is for the answer.

    Corrections are of any age: they take the time of what they correct.
    """

    earliest_us: int
    latest_us: int
    back_days: int
    backfilling: bool

    @classmethod
    def at(cls, now: datetime, *, backfill_days_max: int | None = None) -> "Window":
        """For a call at `now`; one of a backfill reaches back `backfill_days_max` days."""
        back_max = BACK_MAX if backfill_days_max is None else timedelta(days=backfill_days_max)
        earliest_us, latest_us = microseconds(now - back_max), microseconds(now + AHEAD_MAX)
        return cls(earliest_us, latest_us, back_max.days, backfill_days_max is not None)

    def check(self, said: ReportedUsage) -> None:
        """Raise BadEvent where the event is outside."""
        if said.occurred_at_us is None or said.corrects is not None:
            return
        if said.occurred_at_us > self.latest_us:
            raise BadEvent("time", f"This is more than {AHEAD_MAX.seconds // 60} minutes ahead of our clock.")
        if said.occurred_at_us < self.earliest_us:
            remedy = "" if self.backfilling else " Report it under a backfill."
            raise BadEvent("time", f"This is more than {self.back_days} days ago.{remedy}")
