from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing import budgets, holders
from billing.errors import BillingError


class Command(BaseCommand):
    help = "Show which gateways hold leases of budgets, or count budgets anew without one that is gone for good."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--gone", metavar="JOURNAL", help="name or id of the journal of a gateway that is gone")
        parser.add_argument("--recount", action="store_true", help="count all budgets anew from Postgres")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["gone"] or options["recount"]:
            try:
                gone = holders.journal_of(options["gone"]).hex if options["gone"] else ""
            except BillingError as refusal:
                raise CommandError(str(refusal)) from refusal
            self.stdout.write(f"{budgets.recount_all(gone=gone)} budgets are counted anew.")
        for holder in holders.holders():
            self.stdout.write(str(holder))
