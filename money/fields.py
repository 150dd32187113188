"""How money lies in Postgres: NUMERIC(38,12), with the currency in a column beside it.

This is the one module of the package that knows Django.
"""

from typing import Any

from django.db import models


def MoneyAmountField(**options: Any) -> "models.DecimalField[Any, Any]":  # noqa: N802 - it is used as a field.
    """A column that holds any `Money` exactly: 26 digits before the point and 12 after."""
    return models.DecimalField(max_digits=38, decimal_places=12, **options)


def CurrencyField(**options: Any) -> "models.CharField[Any, Any]":  # noqa: N802 - it is used as a field.
    """An ISO 4217 code."""
    return models.CharField(max_length=3, **options)
