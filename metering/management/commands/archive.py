"""`tokenworks archive`: drops old months of events into the archive, which a worker does every night besides."""

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from metering import archive, archive_file, partitions
from metering.models import Archive


class Command(BaseCommand):
    help = "Archive and drop the months that retention names, or one month, or list what is where."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--month", metavar="YYYY-MM", help="this month alone, whatever the setting says")
        parser.add_argument("--list", action="store_true", help="list archived months and those in the database")

    def handle(self, *args: Any, month: str | None, **options: Any) -> None:
        archive_file.spare_memory()
        if options["list"]:
            self.list()
        elif month is not None:
            self.one(parsed(month))
        else:
            self.show(archive.archive_due())

    def one(self, month: datetime) -> None:
        try:
            done = archive.archive_month(month)
        except archive.CannotArchive as problem:
            raise CommandError(str(problem)) from None
        if done is None:
            raise CommandError("Another run is archiving. Try again when it has ended.")
        self.show([done])

    def show(self, done: list[Archive]) -> None:
        for record in done:
            self.stdout.write(f"{record}  {record.rows} events  {record.file_bytes} bytes  {record.location}")
        if not done:
            self.stdout.write("Nothing was archived.")

    def list(self) -> None:
        for month in partitions.months():
            self.stdout.write(f"{month:%Y-%m}  in the database")
        for record in Archive.objects.all():
            state = "archived" if record.dropped_at else "archived, not dropped yet"
            self.stdout.write(f"{record}  {state}  {record.rows} events  {record.file_bytes} bytes  {record.location}")


def parsed(month: str) -> datetime:
    try:
        return datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise CommandError(f"{month!r} is not a month. Write year and month, such as 2026-11.") from None
