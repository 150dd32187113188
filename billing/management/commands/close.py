from argparse import ArgumentParser, ArgumentTypeError
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from billing import closing
from billing.documents.figures import amount
from billing.documents.issue import pdf_of
from billing.errors import BillingError
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
    help = "Close a tenant's month: make, number and freeze its invoice. Doing it again gives the same invoice."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--month", required=True, type=month, metavar="YYYY-MM")
        parser.add_argument("--early", action="store_true", help="close a month that has not ended")
        parser.add_argument("--pdf", type=folder, metavar="FOLDER", help="also write the PDF into this folder")

    def handle(self, *args: Any, **options: Any) -> None:
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
