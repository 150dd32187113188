"""A few hardware rows to begin with, each with its source and date. Operators edit the rows; this file is only read
when a row is wanted that does not exist yet.

The calibration of each goes through two published points of Llama-3.3-70B on it, at 1000 tokens in and 1000 out and
at 8192 in and 1024 out: device time = a * input + b * output. Two points leave no residual to judge by, and a long
context costs more than the line says; a pool of one's own should be measured.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from inference.allocation import Calibration
from inference.models import Hardware


class UnknownHardware(KeyError):
    """The catalogue has no such hardware."""

    def __init__(self, key: str) -> None:
        super().__init__(f"The catalogue has no hardware {key!r}. Give one of: {', '.join(CATALOGUE)}.")


@dataclass(frozen=True)
class Entry:
    """A rented device. Prices are USD for one device for one hour, power included."""

    name: str
    device: str
    rent_per_hour: Decimal
    status: Hardware.Status
    source: str
    as_of: date
    calibration: Calibration
    calibration_source: str


CATALOGUE = {
    "h100": Entry(
        "H100 SXM, rented for a year",
        "H100 SXM",
        Decimal("2.35"),
        Hardware.Status.SECONDARY,
        "SemiAnalysis market survey as reported",
        date(2026, 3, 1),
        Calibration(294_267, 158_426),
        "TensorRT-LLM perf-overview, 2025-09, FP8 TP2: 2209 and 398 output tokens/s a device",
    ),
    "h200": Entry(
        "H200 SXM, rented for three years",
        "H200 SXM",
        Decimal("1.60"),
        Hardware.Status.ESTIMATE,
        "SemiAnalysis AI Cloud TCO model as used by InferenceX",
        date(2025, 8, 1),
        Calibration(210_807, 175_741),
        "TensorRT-LLM perf-overview, 2025-09, FP8 TP2: 2587 and 537 output tokens/s a device",
    ),
    "b200": Entry(
        "B200, rented for three years",
        "B200",
        Decimal("2.90"),
        Hardware.Status.ESTIMATE,
        "SemiAnalysis AI Cloud TCO model as used by InferenceX",
        date(2025, 8, 1),
        Calibration(84_244, 60_265),
        "TensorRT-LLM perf-overview, 2025-09, FP4 TP1: 6920 and 1362 output tokens/s a device",
    ),
}


def entry(key: str) -> Entry:
    try:
        return CATALOGUE[key]
    except KeyError:
        raise UnknownHardware(key) from None


def hardware(key: str) -> Hardware:
    """The row of this hardware, made if it does not exist; one that an operator edited is left as it is."""
    wanted = entry(key)
    row, _ = Hardware.objects.get_or_create(
        name=wanted.name,
        defaults={
            "device": wanted.device,
            "ownership": Hardware.Ownership.RENTED,
            "currency": "USD",
            "rent_per_hour": wanted.rent_per_hour,
            "status": wanted.status,
            "source": wanted.source,
            "as_of": wanted.as_of,
        },
    )
    return row
