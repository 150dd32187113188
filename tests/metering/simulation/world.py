"""One seed's world: it is made, takes its steps, comes to rest and is checked.

Each step is either a turn of a task that paused or something new: a request, a message, a fault. The dice of the seed
choose both, so the same seed takes the same steps.
"""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from tests.metering.simulation import clean
from tests.metering.simulation.actors import Gateway, Request, ShipperProcess, State, Worker, answer, new_request
from tests.metering.simulation.disk import Disk, FaultyOs
from tests.metering.simulation.faults import Faults
from tests.metering.simulation.mishaps import OFFICE_KILLED, START_US, Mishaps
from tests.metering.simulation.sources import Reporting
from tests.metering.simulation.stage import Process, Stage, Task
from tests.metering.simulation.statements import Postgres

STEP_US = 30_000_000
STEPS = (25, 70)
RESTART_EVERY = 40  # Seeds; it takes as long as ten of them.
LOOKS = 0.03
WITH_SOURCES = 0.35  # Of the seeds.
BEATS_AT_REST = 5  # One finds a broken connection, and the next one folds.


@dataclass
class Node:
    name: str
    disk: Disk
    gateways: list[Gateway] = field(default_factory=list)
    shippers: list[ShipperProcess] = field(default_factory=list)


class World:
    """Everything that a seed decides. `folder` must be empty; Postgres has nothing of an earlier seed.

    `look` is called now and then and raises where something is wrong already. Faults that are `favoured` are surely
    had, and often; with `kill_at` there is one kill and nothing else.
    """

    def __init__(
        self,
        seed: int,
        folder: Path,
        stage: Stage,
        postgres: Postgres,
        *,
        look: Callable[["World"], None],
        favoured: Collection[str] = (),
        kill_at: int | None = None,
    ) -> None:
        self.seed, self.folder, self.stage, self.postgres, self.look = seed, folder, stage, postgres, look
        self.rng = Random(seed)
        self.injected: Counter[str] = Counter()
        self.faults = Faults(self.rng, self.injected, favoured)
        if kill_at is not None:
            self.faults.only_kill_at(kill_at)
        self.pause_share = self.rng.choice((0.0, 0.05, 0.15, 0.3))
        self.now_us = START_US + self.rng.randrange(3600) * 1_000_000
        self.messages = 0
        self.marks = 0
        self.trace: list[str] = []
        self.requests: list[Request] = []
        self.nodes = [self._node(f"node-{number}") for number in range(1, self.rng.choice((1, 1, 1, 2)) + 1)]
        self.gateways = [gateway for node in self.nodes for gateway in node.gateways]
        self.shippers = [shipper for node in self.nodes for shipper in node.shippers]
        self.mishaps = Mishaps(self)
        self.workers = [Worker(self, f"worker-{number}") for number in (1, 2)]
        self.reporting = Reporting(self, self._has_sources(favoured))

    def _has_sources(self, favoured: Collection[str]) -> bool:
        """A world that is to show a fault elsewhere has none: their calls take the turns of others."""
        return OFFICE_KILLED in favoured or (not favoured and self.rng.random() < WITH_SOURCES)

    def _node(self, name: str) -> Node:
        (self.folder / name).mkdir()
        node = Node(name, Disk(self.folder / name, self.rng, self.faults))
        for number in range(1, self.rng.choice((1, 1, 2)) + 1):
            size, interval_ms = self.rng.choice((200, 400, 900, 4000)), self.rng.choice((0, 10, 10))
            node.gateways.append(Gateway(self, node, f"gateway-{number}", size, interval_ms))
        for number in range(1, self.rng.choice((1, 2)) + 1):
            node.shippers.append(ShipperProcess(self, node, f"shipper-{number}", self.rng.choice((2, 5, 20))))
        return node

    @property
    def has_restart(self) -> bool:
        return self.seed % RESTART_EVERY == RESTART_EVERY - 1

    def mark(self) -> int:
        """The clock that orders writes and syncs: it only ever goes on."""
        self.marks += 1
        return self.marks

    def now(self) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.now_us)

    def pass_by(self, kind: str) -> None:
        if self.stage.current is not None:
            self.say(f"    {self.stage.current.name}: {kind}")
        if self.rng.random() < self.pause_share:
            self.stage.pause(kind)

    def send_message(self) -> None:
        self.messages += 1

    # Steps.

    def run(self) -> None:
        """All steps of the seed, up to where it is to be checked."""
        for gateway in self.gateways:
            self.turn(gateway.start())
        steps = self.rng.randint(*STEPS)
        restart = self.rng.randrange(steps) if self.has_restart else None
        for number in range(steps):
            if number == restart:
                self.say("Postgres restarted")
                self.faults.tell("Postgres restarted")
                self.postgres.restart()
            self.step()
            if self.rng.random() < LOOKS:
                self.look(self)
        self.rest()

    def step(self) -> None:
        self.now_us += self.rng.randrange(STEP_US)
        for fault, befall in self.mishaps.all():
            if self.faults.strikes(fault):
                self.say(fault)
                befall()
        paused = [task for task in self.stage.tasks if task.ready and task.waits != "wait"]
        if paused and self.rng.random() < 0.5:
            self.turn(self.rng.choice(paused))
            return
        deeds, weights = zip(*self._deeds(), strict=True)
        self.rng.choices(deeds, weights)[0]()

    def _deeds(self) -> list[tuple[Callable[[], None], int]]:
        return [
            (self._begin_requests, 10),
            (self._end_request, 14),
            (self._turn_of_waiting, 8),
            (self._start_something, 8),
            (self._ship, 9),
            (self._deliver_message, 5),
            (self._beat, 1),
            (self._stop_gateway, 1),
            (self.reporting.call, 60 if self.reporting.sources else 0),
        ]

    def _begin_requests(self) -> None:
        for _ in range(self.rng.randint(1, 3)):
            self._begin_request()

    def _begin_request(self) -> None:
        ready = [gateway for gateway in self.gateways if gateway.journal is not None and gateway.is_free]
        if ready:
            gateway = self.rng.choice(ready)
            request = new_request(self, gateway, self.rng)
            self.requests.append(request)
            gateway.requests.append(request)
            self.turn(gateway.enter("begin", request))

    def _end_request(self) -> None:
        ready = [
            request
            for gateway in self.gateways
            if gateway.journal is not None and gateway.is_free
            for request in gateway.requests
            if request.process is gateway.process and request.state is State.OPEN and request.closed is None
        ]
        if ready:
            request = self.rng.choice(ready)
            answer(request, self.now_us, self.rng)
            self.turn(request.gateway.enter("end", request))

    def _turn_of_waiting(self) -> None:
        waiting = [task for task in self.stage.tasks if task.ready]
        if waiting:
            self.turn(self.rng.choice(waiting))

    def _start_something(self) -> None:
        for gateway in self.gateways:
            if gateway.journal is None and gateway.is_free:
                self.turn(gateway.start())
        for shipper in self.shippers:
            if self.stage.is_free(shipper.lane):
                shipper.start()

    def _ship(self) -> None:
        waiting = [task for task in self.stage.tasks if task.waits in ("wait", "begin") and "shipper" in task.name]
        if waiting:
            self.turn(self.rng.choice(waiting))

    def _deliver_message(self) -> None:
        free = [worker for worker in self.workers if self.stage.is_free(worker.lane)]
        if self.messages and free:
            self.messages -= 1
            worker = self.rng.choice(free)
            worker.take_message()
            self.turn(self.stage.of(worker.process)[0])

    def _beat(self) -> None:
        self.messages += 1

    def _stop_gateway(self) -> None:
        ready = [gateway for gateway in self.gateways if gateway.journal is not None and gateway.is_free]
        if ready:
            self.turn(self.rng.choice(ready).enter("close"))

    def turn(self, task: Task) -> None:
        """A turn, and the burial of whoever died in it."""
        waits = task.waits
        self.stage.give_turn(task)
        self.say(f"{task.name}: {waits} -> {'done' if task.done else task.waits}{' dead' if task.process.dead else ''}")
        if task.error is not None:
            raise task.error
        if task.process.dead:
            self._bury(task.process)

    # Ends.

    def kill(self, process: Process) -> None:
        process.dead = True
        self._bury(process)

    def _bury(self, process: Process) -> None:
        """Its other threads end where they are, and the kernel closes its files: its lock is free."""
        for task in self.stage.of(process):
            self.stage.give_turn(task)
        FaultyOs.close_all(process)
        for gateway in self.gateways:
            if gateway.process is process:
                gateway.note_durable()
                gateway.journal = None

    # Rest.

    def rest(self) -> None:
        """No more faults: what runs ends, each gateway comes back once more, and all is shipped and folded."""
        self.faults.stop()
        self.pause_share = 0.0
        self.mishaps.heal_disks()
        for shipper in self.shippers:
            self.kill(shipper.process)
        while self.stage.tasks:
            joining = any(task.waits == "join" for task in self.stage.tasks)
            waiting = [task for task in self.stage.tasks if task.ready and (joining or task.waits != "wait")]
            if not waiting:
                break
            self.turn(self.rng.choice(waiting))
        for gateway in self.gateways:
            for deed in (["close"] if gateway.journal is not None else []) + ["start", "close"]:
                self._finish(gateway.start() if deed == "start" else gateway.enter(deed))
        self.reporting.rest()
        self._ship_and_fold_all()

    def _finish(self, task: Task) -> None:
        while not task.done:
            self.turn(task if task.ready else self.rng.choice([other for other in self.stage.tasks if other.ready]))

    def _ship_all(self, shipper: ShipperProcess) -> None:
        """Until two rounds in turn brought nothing: one of them may only have found a broken connection."""
        shipper.records_max = 1000
        shipper.start()
        task = self.stage.of(shipper.process)[0]
        idle = 0
        while idle < 2:
            before = clean.count_batches()
            self.turn(task)
            idle = idle + 1 if clean.count_batches() == before else 0
        shipper.stopped.set()
        self._finish(task)

    def _ship_and_fold_all(self) -> None:
        for node in self.nodes:
            self._ship_all(node.shippers[0])
        for _ in range(BEATS_AT_REST):
            if not clean.is_something_unfolded():
                return
            self.messages = 1
            self._deliver_message()

    def end(self) -> None:
        """Nobody is left, also where the seed failed."""
        for gateway in self.gateways:
            self.kill(gateway.process)
        for task in list(self.stage.tasks):
            self.kill(task.process)

    def say(self, words: str) -> None:
        self.trace.append(words)
