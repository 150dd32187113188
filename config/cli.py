"""The console script `tokenworks`: Django's command line, with our own commands in front and the servers running."""

import os
import signal
import sys
from contextlib import ExitStack
from types import FrameType

HELP = ("help", "version", "--help", "--version", "-h")
NEED_NO_SERVER = ("simulate", "replay", "journal")  # For somebody else's machine, or for files alone.
NEED_NO_TABLES = ("migrate", "makemigrations", "check", "spectacular")
START_THE_SERVERS_THEMSELVES = ("run", "demo")  # After a look whether the port is free.


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from config import env

    try:
        from config import embedded, settings
    except env.BadSetting as problem:
        sys.exit(f"tokenworks does not start: {problem}")

    from django.core.management import call_command, execute_from_command_line

    wanted = embedded.left_to_us(settings.TOKENWORKS_HOME, settings.DATABASE_URL, settings.REDIS_URL)
    with ExitStack() as stack:
        if any(wanted) and needs_servers(sys.argv):
            signal.signal(signal.SIGTERM, leave)
            try:
                stack.enter_context(embedded.hold(settings.TOKENWORKS_HOME, wanted=wanted))
            except (env.BadSetting, embedded.EmbeddedServerFailed) as problem:
                sys.exit(f"tokenworks does not start: {problem}")
            if sys.argv[1] not in NEED_NO_TABLES and is_new():
                call_command("migrate", interactive=False, verbosity=0)
        execute_from_command_line(sys.argv)


def is_new() -> bool:
    """Whether nobody has made the tables of this database yet, so that no command could find any."""
    import django
    from django.db import connection

    django.setup()
    try:
        return not connection.introspection.table_names()
    finally:
        connection.close()


def leave(number: int, _frame: FrameType | None) -> None:
    """End by way of the blocks that are open, so that the servers stop with their last holder."""
    sys.exit(128 + number)


def needs_servers(arguments: list[str]) -> bool:
    """Whether the servers must run before this command line does; `arguments[0]` is the program."""
    if len(arguments) < 2 or arguments[1] in (*NEED_NO_SERVER, *START_THE_SERVERS_THEMSELVES):
        return False
    return not set(arguments) & set(HELP)
