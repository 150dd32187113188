"""Why prices, a closing or a document were refused.

BillingError                 `field` names what to put right
├── PricesRefused
│   ├── InexactRate
│   ├── TiersAreUnclear
│   ├── PerIsUnclear
│   ├── RatesOverlap
│   ├── VersionTwice
│   ├── IncompletePrices
│   ├── PricesArePublished
│   ├── TermsAreAgreed
│   ├── TermsInAnotherCurrency
│   ├── CouponTwice
│   └── PastIsInvoiced
├── JournalUnclear
├── ClosingRefused
│   ├── MonthHasNotBegun
│   ├── MonthIsNotOver
│   ├── EarlierMonthIsOpen
│   ├── DraftIsOpen
│   ├── UsageIsNotFolded
│   ├── UsageIsNotPriced
│   ├── NothingToInvoice
│   ├── SellerIsUnclear
│   ├── BuyerIsIncomplete
│   ├── TaxIsUnclear
│   ├── CurrencyIsNotTheTenants
│   ├── WalletHasChanged
│   └── TooManyClosings
├── NotParked
├── CreditRefused
│   ├── NotAnInvoice
│   ├── CreditWithoutReason
│   ├── CreditOverLine
│   ├── CreditOverInvoice
│   ├── NothingLeftToCredit
│   └── CreditTwice
├── InvoiceIsADraft
├── DocumentRefused
│   ├── DocumentIsInvalid
│   ├── ValidationDidNotRun
│   ├── NoElectronicForm
│   └── TextCannotBeSet
├── BookedOtherwise
├── WalletRefused
│   ├── CreditCannotBePaid
│   ├── ExpiryIsUnclear
│   ├── CreditHoldsLess
│   ├── GrantIsNotRefunded
│   ├── RefundWithoutReason
│   ├── OrderIsNotOpen
│   ├── ProgrammeIsClosed
│   ├── TenantIsNotEligible
│   ├── GrantedAlready
│   └── PoolIsEmpty
├── SettlementRefused
│   ├── SettlementOfADraft
│   ├── SettlementCannotBePaid
│   ├── SettledTooMuch
│   ├── SettledTwice
│   └── SettledTooEarly
└── PaymentRefused
    ├── DraftIsNotPaid
    ├── PaymentInAnotherCurrency
    ├── AmountCannotBePaid
    ├── PaidTooMuch
    ├── PaymentTwice
    ├── NotReceivedYet
    ├── ReasonIsMissing
    └── PaymentIsReversed
"""

from datetime import date


class BillingError(Exception):
    """Something about prices or invoices was refused."""

    field = "non_field_errors"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class PricesRefused(BillingError):
    """The prices are not ones that can be charged."""


class InexactRate(PricesRefused):
    """The price of one unit is finer than 10^-12. Give fewer decimals, or a price per fewer units."""

    field = "amount"


class TiersAreUnclear(PricesRefused):
    """Graduated and volume prices, and no others, have steps that ascend from above 0, each with the price above it."""

    field = "above"


class PerIsUnclear(PricesRefused):
    """A price is for every 1, 1,000 or 1,000,000 units. A package holds what it says, and a flat amount is per 1."""

    field = "per"


class RatesOverlap(PricesRefused):
    """Two rates of a version would price the same usage. Narrow one of them to another grade or service tier."""

    field = "rates"


class VersionTwice(PricesRefused):
    """The book has a version from this instant on already. Change that one, or begin at another time."""

    field = "valid_from"


class IncompletePrices(PricesRefused):
    """An offering lacks a price for a unit that its answers can contain. Give one; 0 is a price."""

    field = "rates"


class PricesArePublished(PricesRefused):
    """A published version of a price book never changes. Publish another version that begins later."""

    field = "version"


class TermsAreAgreed(PricesRefused):
    """Terms that a plan names never change. Write new ones, and let another plan with them follow."""

    field = "terms"


class TermsInAnotherCurrency(PricesRefused):
    """The terms, or the coupon, are in another currency than the tenant's own."""

    field = "currency"


class CouponTwice(PricesRefused):
    """The tenant has this coupon already. Each is redeemed once."""

    field = "coupon"


class PastIsInvoiced(PricesRefused):
    """The prices would begin at a time that has been invoiced already. Let them begin later."""

    field = "valid_from"


class ClosingRefused(BillingError):
    """The month cannot be closed."""

    field = "month"


class MonthHasNotBegun(ClosingRefused):
    """The month has not begun anywhere."""


class MonthIsNotOver(ClosingRefused):
    """The month has not ended in the tenant's time zone. Wait, or ask for an early closing."""


class EarlierMonthIsOpen(ClosingRefused):
    """There is usage of an earlier month that was never closed. Close months in their order."""

    def __init__(self, message: str, open_month: date) -> None:
        super().__init__(message)
        self.open_month = open_month


class DraftIsOpen(ClosingRefused):
    """An earlier month has a draft that is not final yet. Close months in their order."""


class UsageIsNotFolded(ClosingRefused):
    """Usage has been shipped and is not yet in the buckets. The worker folds it in seconds: try again."""


class UsageIsNotPriced(ClosingRefused):
    """There is usage without a price. Publish prices, or give the tenant a plan, that begin before it."""


class NothingToInvoice(ClosingRefused):
    """No usage is left to invoice up to the end of this month."""


class SellerIsUnclear(ClosingRefused):
    """An invoice names one seller. Enter the operator's legal entity in the admin, exactly one."""

    field = "seller"


class BuyerIsIncomplete(ClosingRefused):
    """The tenant lacks what the law wants on an invoice: legal name, address and country."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


class TaxIsUnclear(ClosingRefused):
    """No rule says how the tenant's usage is taxed. Enter its tax rate, or the rate of its country."""

    field = "tax_rate_percent"


class CurrencyIsNotTheTenants(ClosingRefused):
    """The tenant's prices are in another currency than the tenant's own."""

    field = "currency"


class TooManyClosings(ClosingRefused):
    """Another closing or preview of this tenant is at work. Try again."""

    field = "tenant"


class WalletHasChanged(ClosingRefused):
    """A grant that the draft shows is no longer whole in the tenant's wallet. Make the draft anew."""

    field = "tenant"


class JournalUnclear(BillingError):
    """This is not the name or id of one journal."""


class NotParked(BillingError):
    """The item of a closing run is not parked, or not for approval."""

    field = "state"


class CreditRefused(BillingError):
    """The credit note cannot be given."""

    field = "lines"


class NotAnInvoice(CreditRefused):
    """A credit note is over an invoice that is final. A draft is made anew until it is."""

    field = "invoice"


class CreditWithoutReason(CreditRefused):
    """A credit note says why. Give the reason in a few words."""

    field = "reason"


class CreditOverLine(CreditRefused):
    """A line has less left than was asked for, or the amount cannot be paid."""


class CreditOverInvoice(CreditRefused):
    """The invoice has less left than the lines come to, or they come to nothing."""


class NothingLeftToCredit(CreditRefused):
    """Nothing of the invoice is left to take back."""

    field = "invoice"


class CreditTwice(CreditRefused):
    """The invoice has a credit note over the same amount for the same reason. Where it is another, say how."""

    field = "reason"


class InvoiceIsADraft(BillingError):
    """A draft has no document. Close its month again: the closing is taken up where it stopped."""

    field = "status"


class DocumentRefused(BillingError):
    """The document cannot be issued."""

    field = "status"


class DocumentIsInvalid(DocumentRefused):
    """The document breaks the rules of EN 16931, so it is not issued."""


class ValidationDidNotRun(DocumentRefused):
    """Whether the document keeps the rules of EN 16931 is not known, so it is not issued. Try again."""


class NoElectronicForm(DocumentRefused):
    """EN 16931 knows no amounts with three decimals: a document in such a currency has no XML."""

    field = "currency"


class TextCannotBeSet(DocumentRefused):
    """The document has a character that no font of this machine can show. Install one, such as Noto Serif CJK."""


class BookedOtherwise(BillingError):
    """A deed was booked by this key already, with other postings. Find out which of the two is right."""


class WalletRefused(BillingError):
    """The wallet cannot be changed like that."""

    field = "amount"


class CreditCannotBePaid(WalletRefused):
    """The amount is not above zero, or finer than the currency can be paid."""


class ExpiryIsUnclear(WalletRefused):
    """A credit expires at a quarter of an hour that is still to come."""

    field = "expires_at"


class CreditHoldsLess(WalletRefused):
    """The credit holds less than that."""


class GrantIsNotRefunded(WalletRefused):
    """Granted credit was never paid for, so nothing of it is refunded."""

    field = "credit"


class RefundWithoutReason(WalletRefused):
    """A refund says why. Give the reason in a few words."""

    field = "reason"


class OrderIsNotOpen(WalletRefused):
    """The order of a top-up is paid or cancelled already, or another tenant's."""

    field = "order"


class ProgrammeIsClosed(WalletRefused):
    """The programme does not grant anything now."""

    field = "programme"


class TenantIsNotEligible(WalletRefused):
    """The programme is not for this tenant."""

    field = "tenant"


class GrantedAlready(WalletRefused):
    """The tenant has its grant of this programme already."""

    field = "tenant"


class PoolIsEmpty(WalletRefused):
    """The programme's pool holds less than one more grant."""

    field = "programme"


class SettlementRefused(BillingError):
    """The amount cannot be written off or paid back."""

    field = "invoice"


class SettlementOfADraft(SettlementRefused):
    """Nothing is owed for a draft. Close its month first."""


class SettlementCannotBePaid(SettlementRefused):
    """The amount is not above zero, finer than the currency can be paid, or in another currency than the invoice."""

    field = "amount"


class SettledTooMuch(SettlementRefused):
    """The amount is more than what is open of the invoice, or more than the tenant is owed."""

    field = "amount"


class SettledTwice(SettlementRefused):
    """The invoice has one by this reference already. Where it is another one, give a reference of its own."""

    field = "reference"


class SettledTooEarly(SettlementRefused):
    """The day is still to come. Record it when it has happened."""

    field = "occurred_on"


class PaymentRefused(BillingError):
    """The payment cannot be recorded or reversed."""

    field = "invoice"


class DraftIsNotPaid(PaymentRefused):
    """A draft has no number by which it could be paid. Close its month first."""


class PaymentInAnotherCurrency(PaymentRefused):
    """The payment is in another currency than its invoice."""

    field = "currency"


class AmountCannotBePaid(PaymentRefused):
    """The amount is not above zero, or finer than the currency can be paid."""

    field = "amount"


class PaidTooMuch(PaymentRefused):
    """The payment is more than what is open of the invoice."""

    field = "amount"


class PaymentTwice(PaymentRefused):
    """The invoice has a payment by this reference already. Where it is another one, give a reference of its own."""

    field = "reference"


class NotReceivedYet(PaymentRefused):
    """The day of receipt is still to come. Record money when it is there."""

    field = "received_on"


class ReasonIsMissing(PaymentRefused):
    """A reversal says why. Give the reason in a few words."""

    field = "reason"


class PaymentIsReversed(PaymentRefused):
    """The payment was reversed before."""

    field = "non_field_errors"
