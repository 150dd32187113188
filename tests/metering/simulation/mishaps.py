"""What befalls a world between two turns, as often as its faults say."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.metering.simulation.stage import Process

if TYPE_CHECKING:
    from tests.metering.simulation.world import Node, World

START_US = int(datetime(2026, 1, 31, 23, 0, tzinfo=UTC).timestamp()) * 1_000_000
OFFICE_KILLED = "office killed"
JUMP_MAX_US = 40 * 86_400 * 1_000_000


class Mishaps:
    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = world.rng

    def all(self) -> list[tuple[str, Callable[[], None]]]:
        """By the name of the fault, in the order in which they are considered at each step."""
        world, rng = self._world, self._rng
        return [
            ("gateway killed", lambda: world.kill(rng.choice(world.gateways).process)),
            ("shipper killed", lambda: world.kill(rng.choice(world.shippers).process)),
            ("worker killed", lambda: world.kill(rng.choice(world.workers).process)),
            (OFFICE_KILLED, world.reporting.kill_an_office),
            ("power cut", lambda: self.cut_power(rng.choice(world.nodes))),
            ("disk full", self.fill_disk),
            ("disk read-only", self.lock_disk),
            ("disk well again", self.heal_disks),
            ("clock jumps", self.jump),
            ("second writer tried", self.try_a_second_writer),
            ("message doubled", lambda: self.change_messages(2)),
            ("message lost", lambda: self.change_messages(0)),
        ]

    def cut_power(self, node: "Node") -> None:
        for gateway in node.gateways:
            gateway.lose_power()
        for gateway in node.gateways:
            self._world.kill(gateway.process)
        elsewhere = [worker.process for worker in self._world.workers]
        elsewhere += [office.process for office in self._world.reporting.offices]
        for task in [task for task in self._world.stage.tasks if task.process.disk is node.disk]:
            if task.process not in elsewhere:
                self._world.kill(task.process)
        node.disk.cut_power()

    def fill_disk(self) -> None:
        self._rng.choice(self._world.nodes).disk.room_bytes = self._rng.choice((0, 60, 300))

    def lock_disk(self) -> None:
        self._rng.choice(self._world.nodes).disk.read_only = True

    def heal_disks(self) -> None:
        for node in self._world.nodes:
            node.disk.room_bytes, node.disk.read_only = None, False

    def jump(self) -> None:
        """Forth or back, by seconds or by days, and often over the end of a month; within four months in all."""
        reach = self._rng.choice((5_000_000, 3_600_000_000, JUMP_MAX_US))
        jumped = self._world.now_us + self._rng.randint(-reach, reach)
        self._world.now_us = min(max(jumped, START_US - JUMP_MAX_US), START_US + JUMP_MAX_US)

    def try_a_second_writer(self) -> None:
        world, gateway = self._world, self._rng.choice(self._world.gateways)
        lane = f"{gateway.lane}/second"
        if gateway.journal is not None and world.stage.is_free(lane):
            world.turn(world.stage.enter(Process(lane, gateway.node.disk, world.pass_by), lane, gateway.second))

    def change_messages(self, times: int) -> None:
        world = self._world
        world.messages = world.messages * times if world.messages < 4 else 0
