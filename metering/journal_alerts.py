"""Alerts about journals that cannot be shipped: raised by the shipper that meets one, over when shipping goes on."""

import time
from pathlib import Path
from uuid import UUID

from metering import alerts
from metering.models import Alert
from metering.reader import JournalSetBack, JournalUnshippable, RecordForeign, RecordsMissing, SegmentCorrupt

KINDS = tuple(
    problem.kind for problem in (JournalUnshippable, SegmentCorrupt, RecordForeign, RecordsMissing, JournalSetBack)
)
AGAIN_AFTER_S = 60.0  # What is still so is told again only so often: a shipper meets it several times a second.


class JournalAlerts:
    """Those of one shipper, which also ends what an earlier one raised."""

    def __init__(self) -> None:
        self._open: dict[Path, tuple[str, str, float]] = {}
        self._clear: set[Path] = set()

    def tell(self, identity: UUID | None, folder: Path, problem: Exception | None) -> None:
        """What a round met in a journal, if anything. A problem has its own kind and names its segment."""
        if problem is None:
            self._end(identity, folder)
            return
        kind = problem.kind if isinstance(problem, JournalUnshippable) else JournalUnshippable.kind
        place = problem.segment.name if isinstance(problem, JournalUnshippable) else ""
        subject = f"{folder.name}/{place} ({str(identity)[:8]})" if identity else f"{folder.name}/{place}"
        known = self._open.get(folder)
        if known is not None and known[:2] == (kind, subject) and time.monotonic() - known[2] < AGAIN_AFTER_S:
            return
        if known is not None and known[:2] != (kind, subject):
            alerts.resolve(*known[:2])
        alerts.raise_alert(kind, subject, str(problem) or type(problem).__name__, journal=_key(identity, folder))
        self._open[folder] = (kind, subject, time.monotonic())
        self._clear.discard(folder)

    def _end(self, identity: UUID | None, folder: Path) -> None:
        if folder in self._clear:
            return
        theirs = Alert.objects.filter(kind__in=KINDS, resolved_at=None)
        for key in {_key(identity, folder), _key(None, folder)}:
            for kind, subject in theirs.filter(details__journal=key).values_list("kind", "subject"):
                alerts.resolve(kind, subject)
        self._open.pop(folder, None)
        self._clear.add(folder)


def _key(identity: UUID | None, folder: Path) -> str:
    """By which an alert is found again: also by a shipper on another host, which has the journal's folder now."""
    return str(identity or folder)
