"""`tokenworks ship`: copies the journals of this node into Postgres. One is needed a node; more do no harm."""

import signal
from threading import Event
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from metering.fold_soon import fold_soon
from metering.journal_states import JournalWatch
from metering.nudge import Nudger
from metering.ship_loop import ship_everything, ship_until
from metering.shipping import Shipper


class Command(BaseCommand):
    help = "Ship the journals of this node into Postgres, until SIGTERM or SIGINT."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="Ship everything there is, and end.")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        with Nudger(fold_soon) as nudge:
            shipper = Shipper(
                settings.TOKENWORKS_HOME / "journal",
                records_max=settings.TOKENWORKS_SHIP_BATCH_RECORDS_MAX,
                after_commit=nudge,
                watch=JournalWatch(),
            )
            if once:
                self.stdout.write(f"Shipped {ship_everything(shipper)} events.")
            else:
                ship_until(told_to_stop(), shipper, interval_s=settings.TOKENWORKS_SHIP_INTERVAL_MS / 1000)


def told_to_stop() -> Event:
    """Is set by SIGTERM and SIGINT."""
    stopped = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    return stopped
