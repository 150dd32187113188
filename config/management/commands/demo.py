import signal
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from config import embedded, running, supervisor
from config.demo.journey import DemoFailed, demo


class Command(BaseCommand):
    help = "Run the whole factory with two tenants, two simulated pools and traffic, and show what became of it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--exit", action="store_true", help="end when the invoices are there")

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console()
        expected = (
            DemoFailed,
            embedded.EmbeddedServerFailed,
            running.CannotListen,
            running.PortInUse,
            supervisor.AlreadyRunning,
            supervisor.NotReady,
        )
        try:
            with supervisor.interrupted_by_signals(), demo(console):
                if not options["exit"]:
                    console.print("Ctrl-C stops everything, the simulated workers too; the data stays.")
                    signal.pause()
        except expected as problem:
            raise CommandError(str(problem)) from None
        except KeyboardInterrupt:
            console.print("Stopped.")
