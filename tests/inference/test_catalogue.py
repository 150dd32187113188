from decimal import Decimal

import pytest

from inference import catalogue
from inference.models import Hardware
from inference.simulator.speed import SPEEDS


@pytest.mark.django_db
@pytest.mark.parametrize("key", catalogue.CATALOGUE)
def test_every_row_of_the_catalogue_is_valid_and_has_a_source(key: str) -> None:
    row = catalogue.hardware(key)
    row.full_clean()
    assert row.source
    assert row.rent_per_hour == catalogue.entry(key).rent_per_hour


@pytest.mark.django_db
def test_what_an_operator_edited_is_left_alone() -> None:
    Hardware.objects.filter(pk=catalogue.hardware("h100").pk).update(rent_per_hour=Decimal("1.99"))
    assert catalogue.hardware("h100").rent_per_hour == Decimal("1.99")
    assert Hardware.objects.count() == 1


def test_unknown_hardware_is_refused_with_the_known_ones() -> None:
    with pytest.raises(catalogue.UnknownHardware, match="h100, h200, b200"):
        catalogue.entry("tpu")


@pytest.mark.parametrize(
    ("key", "points"),
    [
        ("h100", {(1000, 1000): 2209, (8192, 1024): 398}),
        ("h200", {(1000, 1000): 2587, (8192, 1024): 537}),
        ("b200", {(1000, 1000): 6920, (8192, 1024): 1362}),
    ],
)
def test_a_calibration_goes_through_its_two_points(key: str, points: dict[tuple[int, int], int]) -> None:
    calibration = catalogue.entry(key).calibration
    for (given, made), output_tokens_per_s in points.items():
        device_ns = calibration.device_ns({"input_uncached": given, "output": made})
        assert made * 10**9 / device_ns == pytest.approx(output_tokens_per_s, rel=1e-5)


@pytest.mark.parametrize("key", catalogue.CATALOGUE)
def test_a_simulated_worker_reads_at_the_calibrated_speed(key: str) -> None:
    assert SPEEDS[key].input_tokens_per_s == 10**9 // catalogue.entry(key).calibration.input_ns_per_token
