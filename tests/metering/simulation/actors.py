"""Who acts in the simulation: clients' requests, gateways with their journals, shippers and workers."""

from contextlib import suppress
from enum import Enum
from random import Random
from typing import TYPE_CHECKING

from django.db import InterfaceError, OperationalError, connection

from metering import rollup
from metering.journal import Journal, JournalInUse, JournalUnavailable
from metering.journal_states import JournalWatch
from metering.records import Closed, Opened
from metering.ship_loop import ship_until
from metering.shipping import Shipper
from metering.usage import Outcome, Usage, UsageSource, billed
from tests.metering.simulation.disk import Calls, DiskPath
from tests.metering.simulation.stage import Process, Task
from tests.metering.simulation.statements import disturbed

if TYPE_CHECKING:
    from tests.metering.simulation.world import Node, World


class State(Enum):
    OPENING = "cut while it was written that it leaves: the client got nothing"
    REFUSED = "refused before it left"
    OPEN = "left for its upstream, and never ended"
    CLOSING = "cut while its end was written: the client did not get the last bytes"
    DENIED = "its end could not be written: the client did not get the last bytes"
    ANSWERED = "answered: the client has its last bytes"


class Request:
    """What a client knows of its request. The marks are of the clock that orders writes and syncs."""

    def __init__(self, opened: Opened, gateway: "Gateway") -> None:
        self.opened = opened
        self.gateway = gateway
        self.process = gateway.process  # If it dies, so does the connection that the client waits on.
        self.closed: Closed | None = None
        self.state = State.OPENING
        self.opened_mark = self.closed_mark = 0
        self.opened_at_risk = self.closed_at_risk = False
        self.disk_failed = False  # The disk failed while it was refused: nobody knows what it holds.


class Gateway:
    """A process with a journal. Its lane is the thread that appends."""

    def __init__(self, world: "World", node: "Node", name: str, segment_bytes_max: int, fsync_interval_ms: int) -> None:
        self.world, self.node, self.name = world, node, name
        self.lane = f"{node.name}/{name}"
        self.folder = DiskPath(node.disk.folder / name)
        self.segment_bytes_max, self.fsync_interval_ms = segment_bytes_max, fsync_interval_ms
        self.process = Process(self.lane, node.disk, world.pass_by)
        self.journal: Journal | None = None
        self.requests: list[Request] = []
        self._durable_mark = 0

    @property
    def is_free(self) -> bool:
        return self.world.stage.is_free(self.lane)

    @property
    def durable_mark(self) -> int:
        """What was written before is on the disk, as the journal itself says."""
        if self.journal is not None:
            synced = self.journal._writer.durable_until_ns
            self._durable_mark = synced if self.fsync_interval_ms else self.world.mark()
        return self._durable_mark

    def enter(self, deed: str, request: Request | None = None) -> Task:
        made = {"open": self.open, "close": self.close, "second writer": self.second}.get(deed)
        if made is None:
            assert request is not None
            made = (lambda: self.begin(request)) if deed == "begin" else (lambda: self.end(request))
        return self.world.stage.enter(self.process, self.lane, made, f"{self.lane} {deed}")

    def start(self) -> Task:
        self.process = Process(self.lane, self.node.disk, self.world.pass_by)
        return self.enter("open")

    def open(self) -> None:
        try:
            self.journal = self._opened()
        except (JournalInUse, JournalUnavailable):
            self.process.dead = True  # It will be started again.

    def _opened(self) -> Journal:
        return Journal.open(
            self.folder, segment_bytes_max=self.segment_bytes_max, fsync_interval_ms=self.fsync_interval_ms
        )

    def second(self) -> None:
        """A second process on the same journal is refused for as long as the first one lives."""
        first = self.journal
        try:
            self._opened()
        except (JournalInUse, JournalUnavailable):
            return
        assert self.journal is not first, f"{self.lane} was opened twice"
        process = Calls.process()
        assert process is not None
        process.dead = True

    def close(self) -> None:
        journal = self.journal
        assert journal is not None
        try:
            journal.close()
        except JournalUnavailable:
            self.process.dead = True
        else:
            self._durable_mark = self.world.mark()
            self.process.dead = True
        self.note_durable()
        self.journal = None

    def note_durable(self) -> None:
        _ = self.durable_mark

    def begin(self, request: Request) -> None:
        assert self.journal is not None
        try:
            self.journal.append_opened(request.opened)
        except JournalUnavailable:
            request.state = State.REFUSED
            request.disk_failed = self.journal._writer.failure is not None
        else:
            request.state = State.OPEN
            request.opened_mark = self.world.mark()

    def end(self, request: Request) -> None:
        assert self.journal is not None
        assert request.closed is not None
        request.state = State.CLOSING
        try:
            self.journal.append_closed(request.closed)
        except JournalUnavailable:
            request.state = State.DENIED
            request.disk_failed = self.journal._writer.failure is not None
        else:
            request.state = State.ANSWERED
            request.closed_mark = self.world.mark()

    def lose_power(self) -> None:
        """Note which of its answers the disk may have lost: those that were written after the last sync."""
        durable = self.durable_mark
        for request in self.requests:
            request.opened_at_risk |= request.opened_mark > durable
            request.closed_at_risk |= request.closed_mark > durable
        self.journal = None


class Flag:
    """The end of a loop, and its waits: a wait is over whenever the world says so."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def clear(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        if not self._is_set:
            self._world.stage.pause("wait")
        return self._is_set


class ShipperProcess:
    """`tokenworks ship` of a node."""

    def __init__(self, world: "World", node: "Node", name: str, records_max: int) -> None:
        self.world, self.node, self.records_max = world, node, records_max
        self.watches = world.rng.random() < 0.3
        self.lane = f"{node.name}/{name}"
        self.process = Process(self.lane, node.disk, world.pass_by)
        self.process.dead = True
        self.stopped = Flag(world)

    def start(self) -> None:
        self.process = Process(self.lane, self.node.disk, self.world.pass_by)
        self.stopped = Flag(self.world)
        self.world.stage.enter(self.process, self.lane, self.run)

    def run(self) -> None:
        shipper = Shipper(
            DiskPath(self.node.disk.folder),
            records_max=self.records_max,
            after_commit=self.world.send_message,
            watch=JournalWatch(self.world.now) if self.watches else None,
        )
        with disturbed(self.world.postgres):
            ship_until(self.stopped, shipper, interval_s=1)  # type: ignore[arg-type]  # As much of an Event as it uses.


class Worker:
    """A Celery worker that folds, one message at a time."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.lane = name
        self.process = Process(name, world.nodes[0].disk, world.pass_by)

    def take_message(self) -> None:
        if self.process.dead:
            self.process = Process(self.lane, self.world.nodes[0].disk, self.world.pass_by)
        self.world.stage.enter(self.process, self.lane, self.fold)

    def fold(self) -> None:
        with suppress(OperationalError, InterfaceError), disturbed(self.world.postgres):
            while rollup.fold_batches(limit=self.world.rng.randint(1, 3)):
                pass
            return
        connection.close()


def new_request(world: "World", gateway: Gateway, rng: Random) -> Request:
    opened = Opened(
        event_id=((world.now_us // 1000 << 80) | rng.getrandbits(80)).to_bytes(16),
        opened_at_us=world.now_us,
        tenant_id=rng.randint(1, 2),
        project_id=10,
        api_key_id=rng.randint(100, 101),
        offering="llama-3.3-70b",
        deployment=rng.choice(("pool-a", "pool-b")),
        streamed=rng.random() < 0.5,
    )
    return Request(opened, gateway)


def answer(request: Request, now_us: int, rng: Random) -> None:
    """Decide what the client gets: an answer, an answer that it hangs up on, or an upstream's failure."""
    outcome = rng.choice((Outcome.COMPLETED, Outcome.COMPLETED, Outcome.CLIENT_DISCONNECTED, Outcome.UPSTREAM_FAILED))
    usage = Usage() if rng.random() < 0.15 else Usage(input_uncached=rng.randint(0, 900), output=rng.randint(0, 90))
    request.closed = Closed(
        opened=request.opened,
        closed_at_us=now_us,
        first_byte_at_us=None if rng.random() < 0.2 else now_us,
        outcome=outcome,
        usage_source=UsageSource.REPORTED if usage.known else UsageSource.NONE,
        billed=billed(outcome, usage),
        usage=usage,
        upstream_status=200,
        upstream_usage=b"{}" if rng.random() < 0.3 else None,
    )
