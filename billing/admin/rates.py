"""A version's rates, and the page that says which of them a sample of usage meets."""

from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from billing.coverage import rate_for
from billing.matching import Match, overlapping
from billing.models import PriceBookVersion, Rate
from metering.usage import ServiceTier, Unit
from money.amount import Money

SHOWN_MAX = 500  # Rows of usage on the page.
QUANTITY_MAX = 10**15
STEPS_HELP = {
    "above": "Of graduated and volume prices: where in a month the price changes, such as 10000000, 50000000.",
    "amounts_above": "The price above each of these, such as 2.00, 1.80.",
}


def bare(amount: Decimal) -> Decimal:
    """An amount without the zeros that its column adds."""
    return Decimal(f"{amount.normalize():f}")


class RateForm(forms.ModelForm):  # type: ignore[type-arg]  # Takes no parameter when it runs.
    """What is not sent has its default: any grade, the standard service tier, a price per unit."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name in ("service_tier", "kind"):
            if name in self.fields:
                self.fields[name].required = False
                self.fields[name].widget.attrs["style"] = "min-width: 7.5rem"
        for name, help_text in STEPS_HELP.items():
            if name in self.fields:
                self.fields[name].widget = UnfoldAdminTextInputWidget()
                self.fields[name].help_text = help_text
        if self.instance.pk:
            self.initial["amount"] = bare(self.instance.amount)
            self.initial["amounts_above"] = [bare(amount) for amount in self.instance.amounts_above]


class RateFormSet(BaseInlineFormSet):  # type: ignore[type-arg]  # Takes no parameter when it runs.
    def clean(self) -> None:
        """Rates entered at once do not see each other in the database, and are saved one after the other."""
        super().clean()
        kept = [form for form in self.forms if form not in self.deleted_forms]
        entered = [form.instance.match for form in kept if form.instance.pk or form.has_changed()]
        for one, other in overlapping(entered):
            raise ValidationError(f"Two rates meet the same usage: {one}, and {other}. Narrow one of them.")
        self._refuse_exchange()

    def _refuse_exchange(self) -> None:
        """Go through the rates as they will be saved: each has to find its place free then."""
        stored = {rate.pk: rate.match for rate in Rate.objects.filter(version=self.instance.pk)}
        for form in self.initial_forms:
            match = stored.pop(form.instance.pk, None)
            if form in self.deleted_forms or match is None:
                continue
            for other in stored.values():
                if other.overlaps(form.instance.match):
                    raise ValidationError(
                        f"{form.instance.match} takes the place of another rate, {other}. Save that one's change or "
                        "removal first, and this one after it."
                    )
            stored[form.instance.pk] = form.instance.match


class RateInline(TabularInline):
    model = Rate
    form = RateForm
    formset = RateFormSet
    fields = ["offering", "unit", "grade", "service_tier", "kind", "amount", "per", "above", "amounts_above"]
    extra = 0
    hide_title = True

    def _is_open(self, version: PriceBookVersion | None) -> bool:
        return version is None or version.published_at is None

    def has_add_permission(self, request: HttpRequest, obj: PriceBookVersion | None = None) -> bool:
        return self._is_open(obj) and super().has_add_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: PriceBookVersion | None = None) -> bool:
        return self._is_open(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: PriceBookVersion | None = None) -> bool:
        return self._is_open(obj) and super().has_delete_permission(request, obj)


class SampleForm(forms.Form):
    """Usage to try a version on."""

    offering = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget())
    unit = forms.ChoiceField(
        choices=[(unit.value, unit.value) for unit in Unit], initial=Unit.OUTPUT, widget=UnfoldAdminSelectWidget()
    )
    grade = forms.CharField(max_length=200, required=False, widget=UnfoldAdminTextInputWidget())
    service_tier = forms.ChoiceField(
        choices=[(tier.value, tier.value) for tier in ServiceTier], widget=UnfoldAdminSelectWidget()
    )
    quantity = forms.IntegerField(
        min_value=0, max_value=QUANTITY_MAX, initial=1_000_000, widget=UnfoldAdminIntegerFieldWidget()
    )
    before = forms.IntegerField(
        min_value=0,
        max_value=QUANTITY_MAX,
        initial=0,
        label="After in the month",
        widget=UnfoldAdminIntegerFieldWidget(),
    )

    def meets(self, version: PriceBookVersion) -> dict[str, Any]:
        """The rate, and what the sample costs by it, part by part, were it the last of its month."""
        given = self.cleaned_data
        rate = rate_for(version, Match(given["offering"], given["unit"], given["grade"], given["service_tier"]))
        if rate is None:
            return {"rate": None}
        after = given["before"] + given["quantity"]
        parts = list(rate.price().parts(given["before"], after, after))
        currency = version.price_book.currency
        return {
            "rate": rate,
            "parts": [
                {
                    "quantity": f"{part.quantity:,}",
                    "price": f"{part.price.amount} per {part.price.per:,}" if part.price else part.detail,
                    "amount": Money(part.pico, currency),
                }
                for part in parts
            ],
            "total": Money(sum(part.pico for part in parts), currency),
        }
