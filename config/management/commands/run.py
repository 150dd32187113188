from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config import embedded, env, running, supervisor


class Command(BaseCommand):
    help = "Run gateway, office, worker, beat and shipper on this machine until Ctrl-C."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            running.until_stopped(self.say)
        except (
            running.PortInUse,
            running.CannotListen,
            embedded.EmbeddedServerFailed,
            env.BadSetting,
            supervisor.AlreadyRunning,
            supervisor.NotReady,
        ) as problem:
            raise CommandError(str(problem)) from problem

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()  # Whoever reads a pipe or a file must see it when it happens.
