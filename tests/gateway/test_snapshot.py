"""The snapshot: built from rows, saved, and read again."""

import msgspec
import pytest

from gateway.snapshot import FORMAT, SnapshotUnreadable, build, pack, unpack
from tests.gateway.running import ACME, MALLORY, MODEL, deployment, rows


def test_an_offering_exists_only_for_whom_a_plan_prices_it() -> None:
    snapshot = build(rows("http://w1"))
    assert snapshot.sold_to(ACME, MODEL) is not None
    assert snapshot.sold_to(ACME, "not-priced") is None
    assert snapshot.sold_to(MALLORY, MODEL) is None
    assert [sold.offering.name for sold in snapshot.all_sold_to(ACME)] == [MODEL]
    assert snapshot.all_sold_to(MALLORY) == []


def test_a_deployment_of_an_unknown_dialect_is_left_out_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    made = rows("http://w1", deployments=[deployment(dialect="telegraph"), deployment("good")])
    (tier,) = build(made).sold[MODEL].tiers
    assert [route.deployment.slug for route in tier] == ["good"]
    assert "no dialect 'telegraph'" in caplog.text


def test_a_deployment_without_workers_is_no_route() -> None:
    assert build(rows()).sold[MODEL].tiers == ()


def test_what_is_saved_is_what_is_read() -> None:
    made = rows("http://w1", "http://w2")
    assert unpack(pack(made)) == made


@pytest.mark.parametrize(
    "saved", [b"", b"garbage", pack(rows())[:-3], pack(rows()).replace(b"pool", b"\xff\xff\xff\xff")]
)
def test_a_damaged_file_is_unreadable(saved: bytes) -> None:
    with pytest.raises(SnapshotUnreadable):
        unpack(saved)


def test_a_file_of_another_format_is_unreadable() -> None:
    with pytest.raises(SnapshotUnreadable, match=f"format is {FORMAT + 1}"):
        unpack(pack(msgspec.structs.replace(rows(), format=FORMAT + 1)))
