"""The office API about invoices."""

import re
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import APIException
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.pagination import CursorPagination
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ReadOnlyModelViewSet

from billing import balances, closing, preview
from billing.documents.files import FILES, file_of
from billing.documents.issue import pdf_of
from billing.errors import BillingError
from billing.models import Invoice, InvoiceLine, InvoiceTax, Payment
from billing.periods import NotAMonth, parse_month
from money.amount import decimals
from tenants.models import Tenant
from tenants.permissions import StaffByRole
from tenants.visibility import visible_tenant_ids

FILE_NAMES = "|".join(map(re.escape, FILES))


class Refused(APIException):
    """409, with the field to put right and the reason."""

    status_code = status.HTTP_409_CONFLICT

    def __init__(self, refusal: BillingError) -> None:
        super().__init__({refusal.field: [str(refusal)]})


@extend_schema_field(OpenApiTypes.DECIMAL)
class PaidAmount(serializers.ReadOnlyField):
    """An amount that can be paid, with the decimals of its invoice's currency."""

    def get_attribute(self, instance: Invoice | InvoiceLine | InvoiceTax | Payment) -> str | None:
        invoice = instance if isinstance(instance, Invoice) else instance.invoice
        amount = super().get_attribute(instance)
        return None if amount is None else f"{amount:.{decimals(invoice.currency)}f}"


@extend_schema_field(OpenApiTypes.DECIMAL)
class ExactPrice(serializers.ReadOnlyField):
    """A price, with as many decimals as it has."""

    def to_representation(self, value: Decimal) -> str:
        return f"{value.normalize():f}"


class InvoiceLineSerializer(serializers.ModelSerializer[InvoiceLine]):
    unit_amount = ExactPrice(help_text="The price of `per` units.")
    amount = PaidAmount()

    class Meta:
        model = InvoiceLine
        fields = [
            "position",
            "description",
            "month",
            "is_correction",
            "project",
            "offering",
            "unit",
            "quantity",
            "unit_amount",
            "per",
            "amount",
            "tax_category",
            "tax_rate_percent",
            "service_start",
            "service_end",
        ]


class InvoiceTaxSerializer(serializers.ModelSerializer[InvoiceTax]):
    """The tax on all lines of one category (of UNCL5305) and rate."""

    net = PaidAmount()
    tax = PaidAmount()

    class Meta:
        model = InvoiceTax
        fields = ["category", "rate_percent", "net", "tax", "reason"]


class InvoiceSummarySerializer(serializers.ModelSerializer[Invoice]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", read_only=True)
    month = serializers.DateField(source="period.month", read_only=True, help_text="The month's first day.")
    net = PaidAmount()
    tax = PaidAmount()
    gross = PaidAmount()
    prepaid = PaidAmount(help_text="How much of the gross amount the tenant's wallet paid.")
    open_amount = PaidAmount(allow_null=True, help_text="What the ledger says is still owed; null for a draft.")
    is_paid = serializers.SerializerMethodField()

    def get_is_paid(self, invoice: Invoice) -> bool:
        return balances.is_paid(invoice)

    class Meta:
        model = Invoice
        fields = [
            "id",
            "number",
            "kind",
            "corrects",
            "reason",
            "status",
            "tenant",
            "month",
            "issued_on",
            "due_on",
            "currency",
            "net",
            "tax",
            "gross",
            "prepaid",
            "open_amount",
            "is_paid",
        ]


class InvoiceSerializer(InvoiceSummarySerializer):
    service_start = serializers.DateTimeField(source="period.start", read_only=True)
    service_end = serializers.DateTimeField(source="period.end", read_only=True)
    recorded_until = serializers.DateTimeField(source="period.cutoff", read_only=True)
    taxes = InvoiceTaxSerializer(many=True, read_only=True)
    lines = InvoiceLineSerializer(many=True, read_only=True)

    class Meta(InvoiceSummarySerializer.Meta):
        fields = [
            *InvoiceSummarySerializer.Meta.fields,
            "service_start",
            "service_end",
            "usage_until",
            "recorded_until",
            "closed_early",
            "seller",
            "buyer",
            "taxes",
            "lines",
        ]


GIVEN_WITH_THE_NUMBER = {"id", "number", "issued_on", "due_on", "open_amount", "is_paid"}


class PreviewSerializer(InvoiceSerializer):
    """What closing a month would give now. It has no number, and is kept nowhere unless it is final."""

    class Meta(InvoiceSerializer.Meta):
        fields = [name for name in InvoiceSerializer.Meta.fields if name not in GIVEN_WITH_THE_NUMBER]


@extend_schema_field(OpenApiTypes.STR)
class MonthField(serializers.Field[date, str, str, Any]):
    """A month's first day, written as year and month."""

    def to_internal_value(self, data: str) -> date:
        try:
            return parse_month(str(data))
        except NotAMonth as refusal:
            raise serializers.ValidationError(str(refusal)) from refusal

    def to_representation(self, value: date) -> str:
        return f"{value:%Y-%m}"


class MonthOfTenantSerializer(serializers.Serializer[Any]):
    """Whose month. A caller finds only tenants that it may see."""

    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", queryset=Tenant.objects.all())
    month = MonthField(help_text="Year and month, such as 2026-11.")

    def validate_tenant(self, tenant: Tenant) -> Tenant:
        visible = visible_tenant_ids(self.context["request"].user)
        if visible is not None and tenant.pk not in visible:
            self.fields["tenant"].fail("does_not_exist", slug_name="slug", value=tenant.slug)
        return tenant


class ClosingSerializer(MonthOfTenantSerializer):
    """Which month to close."""

    early = serializers.BooleanField(default=False, help_text="Close a month that has not ended.")


class NewestFirst(CursorPagination):
    ordering = ("-created_at", "-id")


class AnyAccept(BaseContentNegotiation):
    """Whoever asks for a PDF says `Accept: application/pdf`, and still gets errors as JSON."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class InvoiceViewSet(ReadOnlyModelViewSet[Invoice]):
    """Invoices of the caller's tenants, newest first. Drafts are shown to staff only."""

    pagination_class = NewestFirst
    lookup_value_regex = "[0-9]+"
    queryset = balances.with_open_amount(Invoice.objects.select_related("tenant", "period"))

    def get_queryset(self) -> QuerySet[Invoice]:
        visible = visible_tenant_ids(self.request.user)
        if visible is None:
            return super().get_queryset()
        return super().get_queryset().filter(tenant_id__in=visible, status=Invoice.Status.FINAL)

    def get_serializer_class(self) -> type[InvoiceSummarySerializer]:
        return InvoiceSummarySerializer if self.action == "list" else InvoiceSerializer

    @extend_schema(responses={(200, "application/pdf"): OpenApiTypes.BINARY})
    @action(detail=True, methods=["get"], content_negotiation_class=AnyAccept)
    def pdf(self, request: Request, pk: str) -> HttpResponse:
        """The invoice as PDF."""
        invoice = self.get_object()
        try:
            content = pdf_of(invoice)
        except BillingError as refusal:
            raise Refused(refusal) from refusal
        name = f'inline; filename="{invoice.number}.pdf"'
        return HttpResponse(content, content_type="application/pdf", headers={"Content-Disposition": name})

    @extend_schema(
        parameters=[OpenApiParameter("file", location=OpenApiParameter.PATH, enum=list(FILES))],
        responses={(200, kind): OpenApiTypes.BINARY for kind in sorted({kind.content_type for kind in FILES.values()})},
    )
    @action(detail=True, url_path=f"files/(?P<file>{FILE_NAMES})", content_negotiation_class=AnyAccept)
    def files(self, request: Request, pk: str, file: str) -> HttpResponse:
        """The invoice as a file: PDF, XML for Factur-X or Peppol, JSON, or rows of its lines, its usage or FOCUS."""
        invoice = self.get_object()
        try:
            found = file_of(invoice, file)
        except BillingError as refusal:
            raise Refused(refusal) from refusal
        name = f'attachment; filename="{found.name}"'
        return HttpResponse(found.content, content_type=found.content_type, headers={"Content-Disposition": name})

    @extend_schema(parameters=[MonthOfTenantSerializer], responses=PreviewSerializer)
    @action(detail=False, methods=["get"])
    def preview(self, request: Request) -> Response:
        """What closing a month would give now: usage so far at its prices, and all that the plan adds to it."""
        asked = MonthOfTenantSerializer(data=request.query_params, context=self.get_serializer_context())
        asked.is_valid(raise_exception=True)
        try:
            invoice = preview.preview(**asked.validated_data)
        except BillingError as refusal:
            raise Refused(refusal) from refusal
        return Response(PreviewSerializer(invoice, context=self.get_serializer_context()).data)

    @extend_schema(request=ClosingSerializer, responses=InvoiceSerializer)
    @action(detail=False, methods=["post"], permission_classes=[StaffByRole])
    def close(self, request: Request) -> Response:
        """Close a tenant's month: make its invoice, or return the one that is there."""
        asked = ClosingSerializer(data=request.data, context=self.get_serializer_context())
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        try:
            invoice = closing.close(given["tenant"], given["month"], early=given["early"])
        except BillingError as refusal:
            raise Refused(refusal) from refusal
        shown = self.get_queryset().get(pk=invoice.pk)
        return Response(InvoiceSerializer(shown, context=self.get_serializer_context()).data)
