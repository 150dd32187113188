"""What a pool-hour's cost follows from, frozen with the hour so that no later price can change it."""

from dataclasses import dataclass, fields
from datetime import date
from typing import Any, Self

import msgspec

from inference.allocation import Calibration, IdlePolicy
from inference.cost import Figures
from inference.models import Hardware, Pool


@dataclass(frozen=True)
class Basis:
    """Everything that the cost of a pool-hour follows from, besides its usage."""

    hardware: str
    source: str
    status: str
    as_of: date
    currency: str
    figures: Figures
    devices: int
    calibration: Calibration
    idle_policy: IdlePolicy

    @classmethod
    def of(cls, pool: Pool) -> Self:
        """The basis that holds now."""
        hardware: Hardware = pool.hardware
        return cls(
            hardware=hardware.name,
            source=hardware.source,
            status=hardware.status,
            as_of=hardware.as_of,
            currency=hardware.currency,
            figures=Figures(**{field.name: getattr(hardware, field.name) for field in fields(Figures)}),
            devices=pool.devices,
            calibration=Calibration(pool.input_ns_per_token, pool.output_ns_per_token),
            idle_policy=IdlePolicy(pool.idle_policy),
        )

    def as_json(self) -> Any:
        """Plain values; a Decimal becomes text, for JSON's numbers would lose its digits."""
        return msgspec.to_builtins(self)

    @classmethod
    def from_json(cls, stored: Any) -> Self:
        return msgspec.convert(stored, cls)
