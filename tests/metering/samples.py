"""Records as a gateway writes them, for tests."""

import uuid_utils

from metering.records import Closed, Opened
from metering.usage import Outcome, ServiceTier, Usage, UsageSource, billed

NOON_US = 1_700_049_600_000_000  # 2023-11-15 12:00 UTC


def opened(
    *,
    at_us: int = NOON_US,
    tenant_id: int = 1,
    project_id: int = 10,
    api_key_id: int = 100,
    offering: str = "llama-3.3-70b",
    deployment: str = "llama-at-pool-a",
    streamed: bool = False,
    event_id: bytes | None = None,
    service_tier: str = ServiceTier.STANDARD,
) -> Opened:
    return Opened(
        event_id=event_id or event_id_at(at_us),
        opened_at_us=at_us,
        tenant_id=tenant_id,
        project_id=project_id,
        api_key_id=api_key_id,
        offering=offering,
        deployment=deployment,
        streamed=streamed,
        service_tier=service_tier,
    )


def closed(
    of: Opened | None = None,
    *,
    usage: Usage | None = None,
    outcome: str = Outcome.COMPLETED,
    upstream_usage: bytes | None = b'{"prompt_tokens": 7, "completion_tokens": 3}',
    grade: str = "",
) -> Closed:
    of = of or opened()
    usage = Usage(input_uncached=7, output=3) if usage is None else usage
    return Closed(
        opened=of,
        closed_at_us=of.opened_at_us + 1_500,
        first_byte_at_us=of.opened_at_us + 500,
        outcome=outcome,
        usage_source=UsageSource.REPORTED if usage.known else UsageSource.NONE,
        billed=billed(outcome, usage),
        usage=usage,
        upstream_status=200,
        upstream_usage=upstream_usage,
        grade=grade,
    )


def event_id_at(at_us: int) -> bytes:
    """A UUIDv7 of that time, which it holds in milliseconds in its first 48 bits."""
    fresh = uuid_utils.uuid7().int & ((1 << 80) - 1)
    return ((at_us // 1000 << 80) | fresh).to_bytes(16)
