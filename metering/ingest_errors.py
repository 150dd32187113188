"""Why reported usage is not stored. Each says what, where and the remedy.

NotStored
├── EventsRefused        events that cannot be taken, each with its reason
├── EventsConflict       an id is taken, or an event was corrected already
├── UnknownBackfill      no backfill of this name
├── BackfillRefused      the backfill is not in the state for this
└── TooManyBackfills     as many are open as may be
"""

from collections.abc import Sequence

from metering.ingest_formats.reported import Refusal


class NotStored(Exception):
    """Nothing of the call was stored."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class EventsRefused(NotStored):
    """Some events cannot be taken. Nothing was stored: send the call again without them, or with what is right."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        self.refusals = sorted(refusals, key=lambda refusal: refusal.index)
        super().__init__()


class EventsConflict(EventsRefused):
    """Some events contradict what is stored. Nothing was stored."""


class UnknownBackfill(NotStored):
    """There is no backfill of this name. Create it first."""


class BackfillRefused(NotStored):
    """The backfill is not open."""


class TooManyBackfills(NotStored):
    """The tenant has as many open backfills as it may have. Commit or revert one."""


class Raced(Exception):
    """Another call wrote the same meanwhile; the next try sees what it wrote."""
