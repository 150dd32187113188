"""`tokenworks journal`: list, check and print the journals of this node. It reads only, and needs no server."""

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from metering import inspection, journal_report
from metering.inspection import NoJournal, SegmentDamaged


class Command(BaseCommand):
    help = "List, check and print the journals of this node; their gateways may be writing."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        deeds = parser.add_subparsers(dest="deed", required=True)
        for name, told in (
            ("list", "Say what each journal holds, from its newest segment."),
            ("check", "Read everything; exit with 1 and say where, if something is wrong."),
        ):
            deed = deeds.add_parser(name, help=told)
            deed.add_argument("journal", nargs="*", help="Its name or its folder; without any, all of this node.")
            deed.add_argument("--json", action="store_true", help="One JSON object a journal.")
        printing = deeds.add_parser("print", help="Print records as lines of JSON.")
        printing.add_argument("place", help="A segment's file, or a journal's name or folder.")
        printing.add_argument("--after", type=int, default=0, metavar="SEQUENCE", help="Begin behind this record.")
        printing.add_argument("--limit", type=int, metavar="N", help="Print at most so many.")

    def handle(self, *args: Any, deed: str, **options: Any) -> None:
        try:
            if deed == "print":
                self._print(options["place"], options["after"], options["limit"])
            else:
                self._tell(deed, options["journal"], as_json=options["json"])
        except (NoJournal, SegmentDamaged) as problem:
            raise CommandError(str(problem)) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # `head` has seen enough; leaving must not complain.

    def _tell(self, deed: str, named: list[str], *, as_json: bool) -> None:
        folders = [folder_of(name) for name in named] or inspection.journals(home())
        found = [inspection.check(folder) if deed == "check" else inspection.look(folder) for folder in folders]
        for line in journal_report.as_json(found) if as_json else journal_report.as_text(found):
            self.stdout.write(line)
        if any(inspected.problems for inspected in found):
            raise SystemExit(1)

    def _print(self, place: str, after: int, limit: int | None) -> None:
        found = journal_report.segments_at(folder_of(place))
        for line in journal_report.lines(found, after=after, limit=limit):
            self.stdout.write(line)


def home() -> Path:
    return Path(settings.TOKENWORKS_HOME) / "journal"


def folder_of(name: str) -> Path:
    """A journal by its name on this node, else what is at this path."""
    return home() / name if inspection.is_journal(home() / name) else Path(name)
