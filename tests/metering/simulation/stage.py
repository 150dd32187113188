"""Lets the threads of the product play one at a time, so that a seed decides every turn that they take.

A task runs on a lane, a thread that keeps its own connection to Postgres, until it pauses; then whoever runs the world
goes on. Only one thread ever runs, so the same choices give the same run.
"""

import threading
from _thread import LockType
from collections.abc import Callable
from typing import TYPE_CHECKING

from django.db import connection

if TYPE_CHECKING:
    from tests.metering.simulation.disk import Disk

STUCK_AFTER_S = 120


class Killed(BaseException):
    """The process dies here."""


class Stuck(Exception):
    """A task neither ended nor paused: it waits for something that no turn of another can bring."""


class Process:
    """What is killed at once: its tasks end where they are, and its files are closed as they are."""

    def __init__(self, name: str, disk: "Disk", pass_by: Callable[[str], None]) -> None:
        self.name = name
        self.disk = disk
        self.pass_by = pass_by  # Told of each call and statement before it is made; it may pause.
        self.dead = False
        self.descriptors: set[int] = set()


class Task:
    """A deed of a process on a lane. `waits` says for what it paused, and `ready` whether it may go on."""

    def __init__(self, process: Process, name: str, deed: Callable[[], object]) -> None:
        self.process = process
        self.name = name
        self.deed = deed
        self.done = False
        self.error: BaseException | None = None
        self.waits = "begin"
        self.until: Callable[[], bool] = lambda: True

    @property
    def ready(self) -> bool:
        return self.process.dead or self.until()

    def play(self) -> None:
        try:
            if not self.process.dead:
                self.deed()
        except Killed:
            connection.close()
        except BaseException as error:
            self.error = error
            connection.close()
        self.done = True


class Lane:
    """A thread that plays one task after the other."""

    def __init__(self, name: str) -> None:
        self.task: Task | None = None
        self._turn, self._back = _taken_lock(), _taken_lock()
        self._ended = self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"lane-{name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            self._turn.acquire()
            if self._ended or self._closing:
                connection.close()
                self._closing = False
            else:
                assert self.task is not None
                self.task.play()
            self._back.release()
            if self._ended:
                return

    def give_turn(self) -> None:
        self._turn.release()
        if not self._back.acquire(timeout=STUCK_AFTER_S):
            raise Stuck(self.task.name if self.task else "")

    def end_turn(self) -> None:
        """Called by the task itself: it waits until it is its turn again."""
        self._back.release()
        self._turn.acquire()

    def close_connection(self) -> None:
        self._closing = True
        self.give_turn()

    def end(self) -> None:
        self._ended = True
        self.give_turn()
        self._thread.join()


class Stage:
    """The lanes, and whose turn it is."""

    def __init__(self) -> None:
        self.lanes: dict[str, Lane] = {}
        self.tasks: list[Task] = []
        self.current: Task | None = None
        self._lane_of: dict[int, Lane] = {}

    def enter(self, process: Process, lane_name: str, deed: Callable[[], object], name: str = "") -> Task:
        """Put a task on a free lane; it begins with its first turn."""
        assert self.is_free(lane_name), lane_name
        if lane_name not in self.lanes:
            self.lanes[lane_name] = Lane(lane_name)
        lane = self.lanes[lane_name]
        task = lane.task = Task(process, name or lane_name, deed)
        self._lane_of[id(task)] = lane
        self.tasks.append(task)
        return task

    def is_free(self, lane_name: str) -> bool:
        lane = self.lanes.get(lane_name)
        return lane is None or lane.task is None or lane.task.done

    def give_turn(self, task: Task) -> None:
        """Let it go on until it pauses or ends."""
        before, self.current = self.current, task
        try:
            self._lane_of[id(task)].give_turn()
        finally:
            self.current = before
        if task.done:
            self.tasks.remove(task)
            del self._lane_of[id(task)]

    def pause(self, waits: str, until: Callable[[], bool] = lambda: True) -> None:
        """Called by a task: others take their turns, and then perhaps the process is dead."""
        task = self.current
        if task is None:
            return
        if not task.process.dead:
            task.waits, task.until = waits, until
            self._lane_of[id(task)].end_turn()
            task.waits = ""
        if task.process.dead:
            raise Killed

    def of(self, process: Process) -> list[Task]:
        return [task for task in self.tasks if task.process is process]

    def forget_connections(self) -> None:
        """Each lane connects anew, so that no seed finds what an earlier one broke."""
        for lane in self.lanes.values():
            lane.close_connection()

    def end(self) -> None:
        for lane in self.lanes.values():
            lane.end()
        self.lanes.clear()


def _taken_lock() -> LockType:
    lock = threading.Lock()
    lock.acquire()
    return lock
