"""import-linter does not see a foreign key that is written as a string, so this does."""

from collections.abc import Iterable

from django.apps import apps
from django.db import models
from django.test.utils import isolate_apps

BOTTOM_UP = ("money", "tenants", "metering", "providers", "inference", "billing", "config")


def upward(tables: Iterable[type[models.Model]]) -> list[str]:
    """The relations of `tables` that point to a higher package, as `app.Table.field -> app.Table`."""
    ours = [table for table in tables if table._meta.app_label in BOTTOM_UP]
    return [
        f"{field} -> {field.related_model._meta.label}"
        for table in ours
        for field in table._meta.get_fields()
        if field.is_relation
        and field.concrete
        and isinstance(field.related_model, type)
        and field.related_model._meta.app_label in BOTTOM_UP
        and BOTTOM_UP.index(field.related_model._meta.app_label) > BOTTOM_UP.index(table._meta.app_label)
    ]


def test_no_foreign_key_points_to_a_higher_package() -> None:
    assert upward(apps.get_models()) == []


@isolate_apps("billing", "tenants")
def test_a_foreign_key_that_points_up_is_found() -> None:
    class Bill(models.Model):
        class Meta:
            app_label = "billing"

    class Payer(models.Model):
        last_bill = models.ForeignKey(Bill, on_delete=models.CASCADE)

        class Meta:
            app_label = "tenants"

    assert upward([Bill, Payer]) == ["tenants.Payer.last_bill -> billing.Bill"]
