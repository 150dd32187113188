import msgspec
import pytest

from metering.usage import COUNT_MAX, ImpossibleUsage, Outcome, Unit, Usage, billed


def test_what_was_not_reported_is_not_zero() -> None:
    assert Usage(input_uncached=5, output=0).units() == {"input_uncached": 5, "output": 0}
    assert Usage(output=0).known
    assert not Usage().known


def test_every_field_of_usage_is_a_unit() -> None:
    assert [*Usage.__struct_fields__, "request"] == list(Unit)


@pytest.mark.parametrize("count", [-1, COUNT_MAX + 1])
@pytest.mark.parametrize("unit", Usage.__struct_fields__)
def test_an_impossible_count_is_refused(unit: str, count: int) -> None:
    with pytest.raises(ImpossibleUsage, match=unit):
        Usage(**{unit: count})


def test_an_impossible_count_is_refused_when_it_is_read() -> None:
    with pytest.raises(msgspec.ValidationError, match="-3"):
        msgspec.msgpack.decode(msgspec.msgpack.encode([-3]), type=Usage)


@pytest.mark.parametrize(
    ("outcome", "bills"),
    [
        (Outcome.COMPLETED, True),
        (Outcome.CLIENT_DISCONNECTED, True),
        (Outcome.UPSTREAM_REJECTED, False),
        (Outcome.UPSTREAM_FAILED, False),
        (Outcome.INTERRUPTED, False),
    ],
)
def test_only_what_ended_at_the_clients_side_is_billed(outcome: Outcome, bills: bool) -> None:
    assert billed(outcome, Usage(output=1)) is bills


def test_unknown_usage_is_never_billed() -> None:
    assert not billed(Outcome.COMPLETED, Usage())
