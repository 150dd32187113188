"""The operator's pages about prices, invoices, payments, the ledger and wallets."""

from billing.admin import invoices, ledger, payments, prices, tax, terms, wallets

__all__ = ["invoices", "ledger", "payments", "prices", "tax", "terms", "wallets"]
