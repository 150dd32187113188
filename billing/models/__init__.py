"""The tables of billing: who sells, at which prices, and what was invoiced."""

from billing.models.documents import Brand, InvoiceXml
from billing.models.invoices import (
    Delivery,
    Invoice,
    InvoiceCounter,
    InvoiceDocument,
    InvoiceLine,
    InvoiceTax,
    InvoiceUsage,
    Period,
    TaxCategory,
)
from billing.models.ledger import Entry, Payment, Posting
from billing.models.prices import Plan, PriceBook, PriceBookVersion, Rate
from billing.models.programmes import Programme
from billing.models.runs import ClosingItem, ClosingRun
from billing.models.seller import Seller
from billing.models.settlements import Settlement
from billing.models.tax import TaxExemption, TaxRate
from billing.models.terms import Coupon, IncludedUsage, PlanTerms, Redemption
from billing.models.top_ups import TopUpOrder, TopUpRule
from billing.models.wallets import BudgetNotice, WalletCredit, WalletDraw

__all__ = [
    "Brand",
    "BudgetNotice",
    "ClosingItem",
    "ClosingRun",
    "Coupon",
    "Delivery",
    "Entry",
    "IncludedUsage",
    "Invoice",
    "InvoiceCounter",
    "InvoiceDocument",
    "InvoiceLine",
    "InvoiceTax",
    "InvoiceUsage",
    "InvoiceXml",
    "Payment",
    "Period",
    "Plan",
    "PlanTerms",
    "Posting",
    "PriceBook",
    "PriceBookVersion",
    "Programme",
    "Rate",
    "Redemption",
    "Seller",
    "Settlement",
    "TaxCategory",
    "TaxExemption",
    "TaxRate",
    "TopUpOrder",
    "TopUpRule",
    "WalletCredit",
    "WalletDraw",
]
