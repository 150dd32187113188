"""The hour that most tests of pool-hours look at."""

from collections.abc import Callable
from datetime import UTC, datetime

from metering.models import Bucket

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
Use = Callable[..., Bucket]
