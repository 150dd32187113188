"""The console script `tokenworks`: Django's command line, with our own commands in front and the servers running."""

import os
import sys
from contextlib import ExitStack

NEEDS_NO_SERVER = ("help", "version", "--help", "--version", "-h")


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from config import env

    try:
        from config import embedded, settings
    except env.BadSetting as problem:
        sys.exit(f"tokenworks does not start: {problem}")

    from django.core.management import execute_from_command_line

    wanted = (
        embedded.is_embedded(settings.DATABASE_URL, settings.TOKENWORKS_HOME),
        embedded.is_embedded(settings.REDIS_URL, settings.TOKENWORKS_HOME),
    )
    with ExitStack() as stack:
        if any(wanted) and len(sys.argv) > 1 and not set(sys.argv) & set(NEEDS_NO_SERVER):
            try:
                stack.enter_context(embedded.hold(settings.TOKENWORKS_HOME, wanted=wanted))
            except embedded.EmbeddedServerFailed as problem:
                sys.exit(f"tokenworks does not start: {problem}")
        execute_from_command_line(sys.argv)
