"""The operator's pages about prices, invoices and wallets."""

from billing.admin import invoices, prices, wallets

__all__ = ["invoices", "prices", "wallets"]
