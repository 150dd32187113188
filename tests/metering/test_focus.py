"""Usage as FOCUS 1.2: https://focus.finops.org/focus-specification/v1-2/, checked against its list of columns."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from billing.models import Seller
from metering import focus
from metering.focus import COLUMNS
from metering.models import Bucket
from metering.usage import Unit
from tests.conftest import Person

pytestmark = pytest.mark.django_db

# The columns that the specification has, by their feature level.
MANDATORY = {
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost",
    "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName",
    "ServiceCategory", "ServiceName",
}  # fmt: skip
RECOMMENDED = {"AvailabilityZone", "ChargeFrequency", "InvoiceId", "ServiceSubcategory"}
CONDITIONAL = {
    "BillingAccountType", "CapacityReservationId", "CapacityReservationStatus", "CommitmentDiscountCategory",
    "CommitmentDiscountId", "CommitmentDiscountName", "CommitmentDiscountQuantity", "CommitmentDiscountStatus",
    "CommitmentDiscountType", "CommitmentDiscountUnit", "ConsumedQuantity", "ConsumedUnit", "ContractedUnitPrice",
    "ListUnitPrice", "PricingCategory", "PricingCurrency", "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice", "RegionId", "RegionName", "ResourceId",
    "ResourceName", "ResourceType", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId",
    "SubAccountName", "SubAccountType", "Tags",
}  # fmt: skip
# Those of the mandatory ones that may be null by the specification; and those that are here though they may not.
NULLABLE = {"BillingAccountName", "ChargeClass", "ChargeDescription", "PricingQuantity", "PricingUnit"}
COSTS = {"BilledCost", "ContractedCost", "EffectiveCost", "ListCost"}
OTHERS_NULL = {"ChargeClass", "ContractedUnitPrice", "InvoiceId", "ListUnitPrice", "SkuPriceId"}

NOON = datetime(2023, 11, 15, 12, tzinfo=UTC)
NOVEMBER = {"from": "2023-11-01T00:00:00Z", "to": "2023-12-01T00:00:00Z"}


@pytest.fixture(autouse=True)
def seller() -> None:
    Seller.objects.all().delete()
    Seller.objects.create(legal_name="Tokens AG", country="DE", address_lines="Somewhere 1", invoice_prefix="T")


def used(person: Person, **changed: Any) -> None:
    bucket = {
        "tenant_id": person.tenant.pk, "start": NOON, "project_id": person.project.pk, "api_key_id": person.key.pk,
        "offering": "llama", "deployment": "llama-at-a", "billed": True, "unit": "output", "quantity": 7,
        "updated_at": NOON,
    }  # fmt: skip
    Bucket.objects.create(**(bucket | changed))


def rows(person: Person, **query: str) -> list[dict[str, str]]:
    client = APIClient()
    client.force_login(person.user)
    answer = client.get(reverse("usage"), {**NOVEMBER, "format": "focus", **query})
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(b"".join(answer).decode(), newline="")))


def test_all_mandatory_columns_are_there_and_none_that_the_specification_does_not_know() -> None:
    names = [column.name for column in COLUMNS]
    assert len(names) == len(set(names))
    assert set(names) >= MANDATORY
    assert {name for name in names if not name.startswith("x_")} <= MANDATORY | RECOMMENDED | CONDITIONAL
    assert (len(MANDATORY), len(MANDATORY | RECOMMENDED | CONDITIONAL)) == (21, 57)


def test_a_row_says_who_used_how_much_of_what_and_when(alice: Person) -> None:
    used(alice, grade="grounded", service_tier="batch")
    (row,) = rows(alice)
    null = COSTS | OTHERS_NULL
    assert {name for name, value in row.items() if value == ""} == null
    assert {name: value for name, value in row.items() if name not in null} == {
        "BillingAccountId": "acme", "BillingAccountName": "Acme", "BillingAccountType": "Tenant",
        "BillingCurrency": "USD", "BillingPeriodStart": "2023-10-31T23:00:00Z",
        "BillingPeriodEnd": "2023-11-30T23:00:00Z", "ChargeCategory": "Usage", "ChargeDescription": "llama: output",
        "ChargeFrequency": "Usage-Based", "ChargePeriodStart": "2023-11-14T23:00:00Z",
        "ChargePeriodEnd": "2023-11-15T23:00:00Z", "ConsumedQuantity": "7", "ConsumedUnit": "Tokens",
        "InvoiceIssuerName": "Tokens AG", "PricingQuantity": "7", "PricingUnit": "Tokens", "ProviderName": "Tokens AG",
        "PublisherName": "Tokens AG", "ServiceCategory": "AI and Machine Learning", "ServiceName": "llama",
        "ServiceSubcategory": "Generative AI", "SkuId": "llama (batch)/output", "SkuMeter": "Output",
        "SubAccountId": f"acme/{alice.project.slug}", "SubAccountName": alice.project.name, "SubAccountType": "Project",
        "x_ApiKeyId": str(alice.key.pk), "x_Billed": "true", "x_Deployment": "llama-at-a", "x_Grade": "grounded",
        "x_ServiceTier": "batch", "x_Unit": "output",
    }  # fmt: skip


def test_only_costs_are_null_that_the_specification_wants(alice: Person) -> None:
    used(alice)
    (row,) = rows(alice)
    assert {name for name in MANDATORY - NULLABLE if row[name] == ""} == COSTS


def test_every_unit_has_a_noun(alice: Person) -> None:
    for unit in Unit:
        used(alice, unit=unit)
    nouns = {row["x_Unit"]: row["ConsumedUnit"] for row in rows(alice)}
    assert nouns.keys() == set(Unit)
    assert set(nouns.values()) == {"Tokens", "Images", "Seconds", "Characters", "Requests"}


def test_quantities_of_a_unit_are_those_of_the_buckets_whatever_the_period(alice: Person) -> None:
    for number in range(60):
        used(alice, start=NOON + number * timedelta(hours=3, minutes=15), quantity=3**30 + number)
    whole = sum(Bucket.objects.values_list("quantity", flat=True))
    for period in ("quarter", "hour", "day", "month"):
        found = rows(alice, group_by=period)
        assert sum(int(row["ConsumedQuantity"]) for row in found) == whole
        for row in found:
            assert row["ChargePeriodStart"] < row["ChargePeriodEnd"]


def test_without_a_seller_its_name_is_not_made_up(alice: Person) -> None:
    Seller.objects.all().delete()
    used(alice)
    (row,) = rows(alice)
    assert {row["ProviderName"], row["PublisherName"], row["InvoiceIssuerName"]} == {""}
    assert focus.nobody() is None


def test_parquet_has_the_same_columns_and_no_floats(alice: Person) -> None:
    used(alice)
    client = APIClient()
    client.force_login(alice.user)
    answer = client.get(reverse("usage"), {**NOVEMBER, "format": "focus-parquet"})
    table = pq.read_table(io.BytesIO(b"".join(answer)))
    assert table.column_names == [column.name for column in COLUMNS]
    assert not [field for field in table.schema if pa.types.is_floating(field.type)]
    assert table["BilledCost"].type == pa.decimal128(38, 12)
    assert table["ConsumedQuantity"].to_pylist() == [7]
    assert table["ChargePeriodStart"].to_pylist() == [datetime(2023, 11, 14, 23, tzinfo=UTC)]
