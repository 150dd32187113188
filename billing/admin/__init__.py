"""The operator's pages about prices, invoices, payments, the ledger and wallets."""

from billing.admin import invoices, ledger, payments, prices, tax, wallets

__all__ = ["invoices", "ledger", "payments", "prices", "tax", "wallets"]
