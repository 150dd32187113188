"""`tokenworks tax_rates`: enters standard rates that are shipped, and prints all that are known."""

from typing import Any

from django.core.management.base import BaseCommand

from billing import standard_rates
from billing.models import TaxRate


class Command(BaseCommand):
    help = "Enter standard rates of VAT for countries that have none yet, and print all rates with their sources."

    def handle(self, *args: Any, **options: Any) -> None:
        entered = {rate.pk for rate in standard_rates.enter()}
        for rate in TaxRate.objects.all():
            fresh = "entered" if rate.pk in entered else "was there"
            self.stdout.write(f"{rate.country}  {rate.valid_from}  {rate.percent:>6} %  {fresh}  {rate.source}")
        self.stdout.write("Compare them with the law before you invoice: you answer for them.")
