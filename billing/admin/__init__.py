"""The operator's pages about prices and invoices."""

from billing.admin import invoices, prices

__all__ = ["invoices", "prices"]
