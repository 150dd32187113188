"""What the product is given instead of the machine's own: a disk, threads, clocks and ids of a world."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from unittest.mock import patch

from metering import (
    backfills,
    fold_soon,
    group_sync,
    ingest_rows,
    journal,
    reader,
    recovery,
    rollup,
    segment_writer,
    segments,
    shipping,
)
from tests.metering.simulation.actors import Flag
from tests.metering.simulation.disk import Calls, FaultyOs
from tests.metering.simulation.stage import Task
from tests.metering.simulation.statements import limited_lock_waits
from tests.metering.simulation.world import World


@contextmanager
def given_to_the_product(world: World) -> Iterator[None]:
    threads = SimpleNamespace(Event=lambda: Flag(world), Thread=lambda **given: _Thread(world, **given))
    clock = SimpleNamespace(monotonic_ns=world.mark, sleep=lambda _s: world.stage.pause("sleep"))
    dates = SimpleNamespace(now=world.now)
    ids = SimpleNamespace(UUID=uuid.UUID, uuid4=lambda: uuid.UUID(int=world.rng.getrandbits(128), version=4))
    replaced = (
        *((module, "os", FaultyOs()) for module in (journal, segments, recovery, segment_writer, reader)),
        *((module, "time", clock) for module in (journal, segment_writer)),
        *((module, "timezone", dates) for module in (shipping, rollup, ingest_rows, backfills)),
        (group_sync, "threading", threads),
        (segments, "uuid", ids),
        (fold_soon, "_nudger", lambda: world.send_message),
    )
    with ExitStack() as stack:
        for module, name, value in replaced:
            stack.enter_context(patch.object(module, name, value))
        stack.enter_context(patch.object(Calls, "stage", world.stage))
        stack.enter_context(limited_lock_waits())
        yield


class _Thread:
    """A thread that a gateway starts: a task of its process."""

    def __init__(self, world: World, target: Callable[[], None], **_: object) -> None:
        self._world, self._target = world, target
        self._task: Task | None = None

    def start(self) -> None:
        process = Calls.process()
        assert process is not None
        self._task = self._world.stage.enter(process, f"{process.name}/sync", self._target)

    def join(self) -> None:
        task = self._task
        assert task is not None
        self._world.stage.pause("join", until=lambda: task.done)
