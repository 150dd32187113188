"""Runs seeds one after the other, each in a world of its own."""

import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.metering.simulation import checks, clean
from tests.metering.simulation.machine import given_to_the_product
from tests.metering.simulation.stage import Stage
from tests.metering.simulation.statements import Postgres
from tests.metering.simulation.world import World

MEMORY_DISK = Path("/dev/shm")
REPLAY = "make soak ARGS='--seeds 1 --from {seed}{place} --trace'"


class SeedFailed(AssertionError):
    """What a seed found, and how to see it again."""

    def __init__(self, world: World, wrong: list[str], kill_at: int | None) -> None:
        self.world = world
        self.wrong = wrong
        lines = "\n  ".join(wrong)
        place = "" if kill_at is None else f" --kill-at {kill_at}"
        replay = REPLAY.format(seed=world.seed, place=place)
        super().__init__(f"Seed {world.seed}{place} failed:\n  {lines}\nReplay it: {replay}")


class Runs:
    """Seeds on one stage, whose threads keep their connections."""

    def __init__(self, folder: Path, restart: Callable[[], None] | None = None) -> None:
        self.folder = folder
        self.stage = Stage()
        self.postgres = Postgres(restart)
        self.injected: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.reports: Counter[str] = Counter()
        self.at_risk = self.lost = 0
        self.seeds = 0
        self.took_s = 0.0

    def kill_at_each_place(self, seed: int, every: int = 1, begin: int = 1) -> int:
        """Run the seed once for each of the places where its processes can be killed; return how many there are."""
        places = self.run(seed, kill_at=0).faults.places
        for place in range(begin, places + 1, every):
            self.run(seed, kill_at=place)
        return places

    def run(self, seed: int, favoured: Collection[str] = (), kill_at: int | None = None) -> World:
        """Raises SeedFailed."""
        began = time.perf_counter()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        clean.database(with_partitions=seed % 5 != 0)
        world = World(
            seed, self.folder, self.stage, self.postgres, look=checks.at_any_time, favoured=favoured, kill_at=kill_at
        )
        if world.has_restart:
            self.stage.forget_connections()  # Or whether they are broken by it would depend on the seeds before.
        wrong = self._wrong(world)
        if world.has_restart:
            self.stage.forget_connections()
        self.seeds += 1
        self.took_s += time.perf_counter() - began
        self.injected += world.injected
        self.requests.update(request.state.value for request in world.requests)
        self.reports.update(report.answer.value for report in world.reporting.reports())
        self.at_risk += sum(request.closed_at_risk for request in world.requests)
        self.lost += checks.lost_in_power_cuts(world)
        if wrong:
            raise SeedFailed(world, wrong, kill_at)
        return world

    def _wrong(self, world: World) -> list[str]:
        with given_to_the_product(world):
            try:
                world.run()
            except Exception as error:
                logging.getLogger(__name__).debug("Seed %d", world.seed, exc_info=True)
                return [f"{type(error).__name__}: {error}"]
            finally:
                world.end()
        return checks.at_rest(world)

    def close(self) -> None:
        self.stage.end()
        self.postgres.close()


@contextmanager
def runs(*, quiet: bool = True, restart: Callable[[], None] | None = None) -> Iterator[Runs]:
    """`quiet`: nothing is logged meanwhile, for what goes wrong is meant to. `restart` restarts Postgres itself."""
    where = MEMORY_DISK if MEMORY_DISK.is_dir() else None
    logging.disable(logging.CRITICAL if quiet else logging.NOTSET)
    try:
        with TemporaryDirectory(prefix="tokenworks-simulation-", dir=where) as folder:
            made = Runs(Path(folder) / "world", restart)
            try:
                yield made
            finally:
                made.close()
    finally:
        logging.disable(logging.NOTSET)
