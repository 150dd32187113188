"""The counters in Valkey, as one gateway process speaks to them: one script, one round trip for all levels.

redis-py is loaded at the first call, so a gateway without limits does not carry it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from billing.windows import BEGAN, BEGAN_SCRIPT
from gateway.admission.leases import Ask

SCRIPT = Path(__file__).with_name("take.lua")
ADOPT = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""
TIMEOUT_S = 0.5
CONNECTIONS_MAX = 32
ALIVE_MS = 10_000  # A gateway that was silent for so long runs no request any more.
NO_LIMIT = 9 * 10**15  # Of a soft budget: it is counted and refuses nothing.


class CountersUnreachable(Exception):
    """Valkey does not answer, or answers with an error."""


class Reply(NamedTuple):
    """`outcome` is taken, spent, held, uncounted, late or earlier; `at` says of which counter, where it was refused."""

    outcome: str
    at: int
    began: str  # Another one than before: they have lost what they were told.
    grants: list[int]


class Counters:
    """`journal` and `life` name this process: the journal it writes, and this opening of it."""

    def __init__(self, url: str, journal: str, life: str) -> None:
        self.calls = 0  # Round trips so far.
        self.life = life
        self._url = url
        self._journal = journal
        self._version = 0
        self._store: Any = None
        self._script: Any = None

    async def take(self, asks: Sequence[Ask], sequence: int) -> Reply:
        """Tell the counters what we have of them, and take what is asked for. Raises CountersUnreachable."""
        arguments: list[str | int] = [self.life, sequence, ALIVE_MS]
        for ask in asks:
            arguments += self._arguments(ask)
        told = [(ask.lease.spent, ask.lease.leased) for ask in asks]
        for ask in asks:
            ask.lease.reported = None  # Should the answer be lost, it may have granted: then all is said anew.
        outcome, at, began, *grants = await self._run([ask.lease.key for ask in asks], arguments)
        reply = Reply(outcome, at - 1, began, grants)
        if reply.outcome not in ("late", "earlier", "uncounted"):
            for ask, (spent, leased), grant in zip(asks, told, grants, strict=True):
                ask.lease.reported = (spent, leased + grant)
        return reply

    def _arguments(self, ask: Ask) -> list[str | int]:
        lease, quota = ask.lease, ask.lease.quota
        self._version += 1  # Never begun again: a lease that was forgotten and comes back is not late.
        if quota.is_budget:
            kind, field = ("budget" if quota.hard else "soft"), self._journal
        else:
            # After a restart this one is another process, and what the earlier one had runs out by itself.
            kind, field = ("minute" if quota.window else "parallel"), f"{self._journal}:{self.life}"
        limit = quota.limit if quota.hard else NO_LIMIT
        return [field, self._version, limit, lease.spent, lease.leased, ask.own, ask.floor, ask.need, kind]

    async def had_before(self) -> dict[str, str]:
        """The counters of budgets in which this journal's gateway has a part from an earlier life, with that part."""
        store = self._opened()
        try:
            found = {}
            for name in await store.smembers(f"tokenworks:journal:{self._journal}"):
                part = await store.hget(name, self._journal)
                if part is None:
                    await store.srem(f"tokenworks:journal:{self._journal}", name)
                elif part.split()[0] != self.life:
                    found[name] = part
        except self._troubles as trouble:
            raise CountersUnreachable(str(trouble)) from trouble
        else:
            return found

    async def part_of(self, key: str) -> str | None:
        """What the counter says of this journal's gateway."""
        try:
            part: str | None = await self._opened().hget(key, self._journal)
        except self._troubles as trouble:
            raise CountersUnreachable(str(trouble)) from trouble
        return part

    async def adopt(self, key: str, part: str, spent: int, leased: int, sequence: int) -> bool:
        """Say in place of `part`, which is not this life's, what is spent and leased at that record of the journal.

        False, and nothing done, where the counter says something else by now.
        """
        store = self._opened()
        try:
            ours = f"{self.life} 0 {spent} {leased} {sequence} 0"
            done = await store.eval(ADOPT, 1, key, self._journal, part, ours)
        except self._troubles as trouble:
            raise CountersUnreachable(str(trouble)) from trouble
        return bool(done)

    async def began(self) -> str:
        """Since when they know what they know. Raises CountersUnreachable."""
        store = self._opened()
        try:
            began, _ = await store.eval(BEGAN_SCRIPT, 1, BEGAN)
        except self._troubles as trouble:
            raise CountersUnreachable(str(trouble)) from trouble
        return str(began)

    async def close(self) -> None:
        if self._store is not None:
            await self._store.aclose(close_connection_pool=True)  # It does not close a pool that it was given.

    async def _run(self, keys: list[str], arguments: list[str | int]) -> Any:
        self._opened()
        self.calls += 1
        try:
            return await self._script(keys=keys, args=arguments)
        except self._troubles as trouble:
            raise CountersUnreachable(str(trouble)) from trouble

    def _opened(self) -> Any:
        if self._store is None:
            from redis.asyncio import BlockingConnectionPool, Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
            from redis.exceptions import RedisError

            # A call that timed out is not repeated here: what it did is not known, and the next one says it anew.
            pool = BlockingConnectionPool.from_url(
                self._url,
                max_connections=CONNECTIONS_MAX,
                timeout=TIMEOUT_S,
                socket_timeout=TIMEOUT_S,
                socket_connect_timeout=TIMEOUT_S,
                retry=Retry(NoBackoff(), 0),
                decode_responses=True,
            )
            self._store = Redis(connection_pool=pool)
            self._script = self._store.register_script(SCRIPT.read_text())
            self._troubles = (RedisError, OSError)
        return self._store
