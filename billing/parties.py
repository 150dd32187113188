"""Who sells and who buys, copied whole into an invoice, so that a later change of address does not reach back."""

import msgspec
from django.core.exceptions import ValidationError

from billing.errors import BuyerIsIncomplete, SellerIsUnclear
from billing.models import Seller
from tenants.models import Tenant


class SellerCopy(msgspec.Struct, frozen=True):
    legal_name: str
    address_lines: str
    country: str
    tax_number: str
    bank_details: str
    email: str
    payment_terms_days: int
    invoice_prefix: str
    in_one_stop_shop: bool


class BuyerCopy(msgspec.Struct, frozen=True):
    slug: str
    name: str
    legal_name: str
    address_lines: str
    country: str
    tax_number: str
    email: str
    time_zone: str


# Where an invoice between two parties at home names the buyer's tax number, whoever the buyer is.
NAMED_AT_HOME = {
    "ES": "art. 6.1.d of the Real Decreto 1619/2012",
    "IT": "art. 21(2)(f) of the DPR 633/1972",
}


def the_seller() -> SellerCopy:
    sellers = list(Seller.objects.all()[:2])
    if len(sellers) != 1:
        raise SellerIsUnclear
    return msgspec.convert(sellers[0], SellerCopy, from_attributes=True)


def buyer(tenant: Tenant) -> BuyerCopy:
    """The tenant as an invoice shows it. Raises `BuyerIsIncomplete`, whose `field` names what the law misses."""
    missing = [field for field in ("legal_name", "address_lines", "country") if not getattr(tenant, field).strip()]
    if missing:
        raise BuyerIsIncomplete(
            f"{tenant.slug} lacks {', '.join(missing)}, which the law wants on an invoice.", field=missing[0]
        )
    try:
        tenant.clean()
    except ValidationError as refusal:
        field, reasons = next(iter(refusal.message_dict.items()))
        raise BuyerIsIncomplete(f"{tenant.slug}, {field}: {reasons[0]}", field=field) from refusal
    copy = BuyerCopy(
        slug=tenant.slug,
        name=tenant.name,
        legal_name=tenant.legal_name,
        address_lines=tenant.address_lines,
        country=tenant.country,
        tax_number=tenant.tax_number,
        email=tenant.invoice_email,
        time_zone=tenant.time_zone,
    )
    _refuse_at_home(the_seller(), copy)
    return copy


def _refuse_at_home(seller: SellerCopy, buyer: BuyerCopy) -> None:
    law = NAMED_AT_HOME.get(seller.country) if seller.country == buyer.country else None
    if law and not buyer.tax_number:
        raise BuyerIsIncomplete(f"{buyer.slug} lacks its tax number, which {law} wants.", field="tax_number")
