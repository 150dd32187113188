from pathlib import Path

import pytest

from gateway.admission.recovery import closed_between
from metering.group_sync import GroupSync
from metering.records import Closed
from metering.segments import NEXT, segments
from tests.metering import samples
from tests.metering.journals import open_journal


def test_endings_are_found_in_a_segment_that_has_no_number_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget's journal is read up to its very last record, which may stand behind a change of segments."""
    monkeypatch.setattr(GroupSync, "wake", lambda _: None)  # Its rounds are ours.
    journal = open_journal(tmp_path, segment_bytes_max=600, fsync_interval_ms=60_000)
    assert journal._syncer is not None
    answered: list[Closed] = []
    while not (tmp_path / NEXT).exists() or not (tmp_path / NEXT).stat().st_size:
        journal._syncer.run_round()
        journal.append_opened(opened := samples.opened())
        journal.append_closed(samples.closed(opened))
        answered.append(samples.closed(opened))
    assert len(segments(tmp_path)) == 1
    assert closed_between(tmp_path, 0, journal.sequence) == answered
    journal.close()
    assert closed_between(tmp_path, 0, journal.sequence) == answered
