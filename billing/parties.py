"""Who sells and who buys, copied whole into an invoice, so that a later change of address does not reach back."""

import msgspec

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


def the_seller() -> SellerCopy:
    sellers = list(Seller.objects.all()[:2])
    if len(sellers) != 1:
        raise SellerIsUnclear
    return msgspec.convert(sellers[0], SellerCopy, from_attributes=True)


def buyer(tenant: Tenant) -> BuyerCopy:
    missing = [field for field in ("legal_name", "address_lines", "country") if not getattr(tenant, field).strip()]
    if missing:
        raise BuyerIsIncomplete(f"{tenant.slug} lacks {', '.join(missing)}, which the law wants on an invoice.")
    return BuyerCopy(
        slug=tenant.slug,
        name=tenant.name,
        legal_name=tenant.legal_name,
        address_lines=tenant.address_lines,
        country=tenant.country,
        tax_number=tenant.tax_number,
        email=tenant.invoice_email,
        time_zone=tenant.time_zone,
    )
