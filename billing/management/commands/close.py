from argparse import ArgumentParser, ArgumentTypeError
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from billing import closing, runs
from billing.documents.figures import amount
from billing.documents.issue import pdf_of
from billing.errors import BillingError
from billing.models import ClosingItem
from billing.periods import NotAMonth, parse_month
from tenants.models import Tenant


def month(text: str) -> date:
    try:
        return parse_month(text)
    except NotAMonth as refusal:
        raise ArgumentTypeError(str(refusal)) from refusal


def folder(text: str) -> Path:
    """A folder that is there: found out before a number is given, not after."""
    path = Path(text)
    if not path.is_dir():
        raise ArgumentTypeError(f"{text!r} is not a folder")
    return path


class Command(BaseCommand):
    help = "Close a month: make, number and freeze its invoices. Doing it again gives the same invoices."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--all", type=month, metavar="YYYY-MM", help="close this month for every tenant, as a run")
        parser.add_argument("--grace-hours", type=int, metavar="N", help="with --all: instead of the setting's")
        parser.add_argument("--tenant", metavar="SLUG")
        parser.add_argument("--month", type=month, metavar="YYYY-MM")
        parser.add_argument("--early", action="store_true", help="close a month that has not ended")
        parser.add_argument("--pdf", type=folder, metavar="FOLDER", help="also write the PDF into this folder")

    def handle(self, *args: Any, **options: Any) -> None:
        of_one = [options[name] for name in ("tenant", "month", "early", "pdf")]
        if options["all"] and not any(of_one):
            self.close_all(options["all"], options["grace_hours"])
        elif not options["all"] and all(of_one[:2]) and options["grace_hours"] is None:
            self.close_one(**options)
        else:
            raise CommandError("Give --tenant and --month, or --all with its month.")

    def close_all(self, first_day: date, grace_hours: int | None) -> None:
        try:
            run = runs.start(first_day, grace_hours=grace_hours)
        except BillingError as refusal:
            raise CommandError(str(refusal)) from refusal
        runs.work(run=run)
        said = f"{run}: " + (", ".join(f"{n} {state}" for state, n in runs.progress(run).items()) or "no tenants")
        parked = run.items.filter(state=ClosingItem.State.PARKED).select_related("tenant")
        if parked:
            raise CommandError("\n  ".join([said, *(f"{i.tenant.slug}: {i.parked_for}: {i.reason}" for i in parked)]))
        self.stdout.write(said)

    def close_one(self, **options: Any) -> None:
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        if tenant is None:
            raise CommandError(f"There is no tenant {options['tenant']!r}.")
        try:
            began = timezone.now()
            invoice = closing.close(tenant, options["month"], early=options["early"])
        except BillingError as refusal:
            raise CommandError(str(refusal)) from refusal
        if invoice.finalised_at and invoice.finalised_at < began:
            self.stdout.write("This month was closed before. What was recorded since comes on the next invoice.")
        gross = amount(invoice.gross, invoice.currency)
        self.stdout.write(f"{invoice.number}  {gross} {invoice.currency}  due {invoice.due_on}")
        if options["pdf"]:
            path = options["pdf"] / f"{invoice.number}.pdf"
            path.write_bytes(pdf_of(invoice))
            self.stdout.write(str(path))
