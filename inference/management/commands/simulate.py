from argparse import ArgumentParser
from typing import Any

import uvloop
from django.core.management.base import BaseCommand, CommandError

from inference.management import arguments
from inference.simulator import serving, speed
from inference.simulator.worker import SimulatedWorker, WorkerLimits


class Command(BaseCommand):
    help = "Run a simulated worker: an HTTP server that speaks as vLLM does, counts words and computes nothing."
    requires_system_checks: list[str] = []  # No database, no settings of the office: it stands for another machine.

    def add_arguments(self, parser: ArgumentParser) -> None:
        limits = WorkerLimits()
        parser.add_argument("--model", required=True, help="the model's name, as callers of the worker say it")
        parser.add_argument("--port", type=arguments.port, required=True, help="where it listens; 0 takes a free port")
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--speed", choices=speed.SPEEDS, default="max", help="a hardware profile (default max)")
        parser.add_argument(
            "--running-max", type=arguments.positive, default=limits.running_max, help="requests run at once"
        )
        parser.add_argument("--context-tokens-max", type=arguments.positive, default=limits.context_tokens_max)

    def handle(self, *args: Any, **options: Any) -> None:
        limits = WorkerLimits(running_max=options["running_max"], context_tokens_max=options["context_tokens_max"])
        try:
            listener = serving.listen(options["host"], options["port"])
        except OSError as problem:
            raise CommandError(f"Cannot listen on port {options['port']}: {problem}. Give another --port.") from None
        worker = SimulatedWorker(options["model"], speed.named(options["speed"]), limits)
        self.stdout.write(
            f"Simulated worker for {worker.model} at {serving.address(listener)}, speed {worker.speed.name}: "
            "a word counts as a token and nothing is computed."
        )
        self.stdout.flush()
        uvloop.run(serving.serve(worker, listener))
