"""Journals of a few busy hours, as gateways would have written them."""

import random
from datetime import UTC, datetime
from pathlib import Path

from metering.journal import Journal
from metering.records import Closed, Opened
from metering.usage import Outcome, Usage, UsageSource

BEGIN_US = int(datetime(2026, 3, 10, 8, tzinfo=UTC).timestamp()) * 1_000_000
HOURS = 4
TENANTS = 20
KEYS_OF_A_TENANT = 4
OFFERINGS = ("llama-3.3-70b", "llama-3.1-8b", "qwen3-235b", "gpt-oss-120b")
OPEN_AT_ONCE = 64
SEGMENT_BYTES_MAX = 64 * 2**20  # As the settings have it.


def write_journals(folder: Path, journals: int, events: int) -> None:
    for number in range(journals):
        journal = Journal.open(
            folder / f"gateway-{number + 1}", segment_bytes_max=SEGMENT_BYTES_MAX, fsync_interval_ms=1_000
        )
        _write(journal, random.Random(number), events // journals)
        journal.close()


def _write(journal: Journal, chance: random.Random, events: int) -> None:
    """OPEN_AT_ONCE requests are under way at any moment, and end in the order in which they began."""
    under_way: list[Opened] = []
    for number in range(events):
        opened = _opened(chance, BEGIN_US + number * HOURS * 3_600_000_000 // events)
        journal.append_opened(opened)
        under_way.append(opened)
        if len(under_way) == OPEN_AT_ONCE:
            journal.append_closed(_closed(chance, under_way.pop(0)))
    for opened in under_way:
        journal.append_closed(_closed(chance, opened))


def _opened(chance: random.Random, at_us: int) -> Opened:
    tenant = chance.randrange(TENANTS) + 1
    offering = chance.choice(OFFERINGS)
    identity = (at_us // 1000 << 80) | (7 << 76) | (2 << 62) | chance.getrandbits(62)
    return Opened(
        event_id=identity.to_bytes(16),
        opened_at_us=at_us,
        tenant_id=tenant,
        project_id=tenant,
        api_key_id=tenant * KEYS_OF_A_TENANT + chance.randrange(KEYS_OF_A_TENANT),
        offering=offering,
        deployment=f"{offering}-at-{chance.choice(('pool-a', 'pool-b'))}",
        streamed=chance.random() < 0.7,
    )


def _closed(chance: random.Random, opened: Opened) -> Closed:
    """An ending with the usage that vLLM reports, about 120 bytes of it; one in fifty failed without any."""
    cached, fresh, output = chance.randrange(2_000), chance.randrange(4_000), chance.randrange(1, 1_500)
    failed = chance.random() < 0.02
    first_byte_us = chance.randrange(50_000, 900_000)
    return Closed(
        opened=opened,
        closed_at_us=opened.opened_at_us + first_byte_us + output * 12_000,
        first_byte_at_us=None if failed else opened.opened_at_us + first_byte_us,
        outcome=Outcome.UPSTREAM_FAILED if failed else Outcome.COMPLETED,
        usage_source=UsageSource.NONE if failed else UsageSource.REPORTED,
        billed=not failed,
        usage=Usage() if failed else Usage(input_uncached=fresh, input_cached=cached, output=output),
        upstream_status=502 if failed else 200,
        upstream_usage=None if failed else _words(fresh, cached, output),
    )


def _words(fresh: int, cached: int, output: int) -> bytes:
    return (
        b'{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d}}'
        % (fresh + cached, fresh + cached + output, output, cached)
    )
