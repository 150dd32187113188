"""The operator's pages about prices, invoices, payments and wallets."""

from billing.admin import invoices, payments, prices, wallets

__all__ = ["invoices", "payments", "prices", "wallets"]
