"""The operator's pages about prices, invoices, payments, the ledger and wallets."""

from billing.admin import brand, invoices, ledger, payments, prices, programmes, runs, settlements, tax, terms, wallets

__all__ = [
    "brand",
    "invoices",
    "ledger",
    "payments",
    "prices",
    "programmes",
    "runs",
    "settlements",
    "tax",
    "terms",
    "wallets",
]
