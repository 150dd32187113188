"""The office API about wallets: what they hold and afford, their credits and draws, and orders of top-ups."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar, cast

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet, ReadOnlyModelViewSet

from billing import top_ups, wallets
from billing.api import ExactPrice, Refused
from billing.errors import BillingError
from billing.models import TopUpOrder, WalletCredit, WalletDraw
from billing.wallet_reading import Holding, holding, with_left
from money.amount import Money
from tenants.models import Tenant
from tenants.permissions import StaffByRole
from tenants.visibility import visible_tenant_ids

Row = TypeVar("Row", WalletCredit, WalletDraw, TopUpOrder)


@dataclass(frozen=True)
class Wallet:
    """What a tenant's wallet holds, and what it still affords before tax; None where it limits nothing."""

    tenant: Tenant
    holding: Holding
    affordable: Decimal | None


class WalletSerializer(serializers.Serializer[Any]):
    tenant = serializers.SlugField(source="tenant.slug", read_only=True)
    currency = serializers.CharField(source="tenant.currency", read_only=True)
    bought = ExactPrice(source="holding.bought.decimal", help_text="What pays invoices.")
    granted = ExactPrice(source="holding.granted.decimal", help_text="What lowers them before tax.")
    affordable = ExactPrice(
        help_text="Before tax, less what was used and is not invoiced; null where the tenant is not prepaid."
    )


class CreditSerializer(serializers.ModelSerializer[WalletCredit]):
    tenant = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    currency = serializers.CharField(source="tenant.currency", read_only=True)
    amount = ExactPrice()
    left = ExactPrice(help_text="What was not drawn yet.")
    programme = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)

    class Meta:
        model = WalletCredit
        fields = [
            "id", "tenant", "kind", "currency", "amount", "left", "note", "priority", "expires_at", "offerings",
            "programme", "created_at",
        ]  # fmt: skip


class PaidInSerializer(serializers.Serializer[WalletCredit]):
    """A credit to put into a wallet."""

    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", queryset=Tenant.objects.all())
    kind = serializers.ChoiceField(choices=WalletCredit.Kind.choices, default=WalletCredit.Kind.BOUGHT)
    amount = serializers.DecimalField(max_digits=38, decimal_places=12)
    note = serializers.CharField(max_length=200)
    priority = serializers.IntegerField(min_value=-32768, max_value=32767, default=0)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)
    offerings = serializers.ListField(child=serializers.CharField(max_length=200), max_length=100, required=False)
    order = serializers.PrimaryKeyRelatedField[TopUpOrder](
        queryset=TopUpOrder.objects.all(), required=False, help_text="The order of a top-up that it pays."
    )


class RefundSerializer(serializers.Serializer[Any]):
    amount = serializers.DecimalField(max_digits=38, decimal_places=12)
    reason = serializers.CharField(max_length=200)


class DrawSerializer(serializers.ModelSerializer[WalletDraw]):
    tenant = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    amount = ExactPrice(help_text="Below zero where it was given back.")
    invoice = serializers.SlugRelatedField[Any](slug_field="number", read_only=True)

    class Meta:
        model = WalletDraw
        fields = ["id", "tenant", "credit", "kind", "amount", "invoice", "reason", "created_at"]


class OrderSerializer(serializers.ModelSerializer[TopUpOrder]):
    tenant = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    amount = ExactPrice()
    affordable = ExactPrice(help_text="What the wallet still afforded when it was ordered.")
    reference = serializers.CharField(read_only=True)

    class Meta:
        model = TopUpOrder
        fields = ["id", "reference", "tenant", "amount", "currency", "status", "affordable", "created_at", "sent_at"]


class NewestFirst(CursorPagination):
    ordering = "-id"


class BySlug(CursorPagination):
    ordering = "slug"


class WalletViewSet(GenericViewSet[Tenant]):
    """The wallets of the caller's tenants."""

    pagination_class = BySlug
    serializer_class = WalletSerializer
    queryset = Tenant.objects.all()

    @extend_schema(responses=WalletSerializer(many=True))
    def list(self, request: Request) -> Response:
        visible = visible_tenant_ids(request.user)
        tenants = self.queryset if visible is None else self.queryset.filter(pk__in=visible)
        page: list[Tenant] = self.paginate_queryset(tenants) or []
        return self.get_paginated_response(WalletSerializer(_wallets(page), many=True).data)


class CreditViewSet(mixins.CreateModelMixin, ReadOnlyModelViewSet[WalletCredit]):
    """Credits of the caller's wallets, newest first. Staff put them in and refund them."""

    serializer_class = CreditSerializer
    pagination_class = NewestFirst
    lookup_value_regex = "[0-9]{1,18}"
    queryset = with_left(WalletCredit.objects.select_related("tenant", "programme"))

    def get_permissions(self) -> list[Any]:
        return [StaffByRole()] if self.action in ("create", "refund") else [*super().get_permissions()]

    def get_queryset(self) -> QuerySet[WalletCredit]:
        return _visible(super().get_queryset(), self.request)

    @extend_schema(request=PaidInSerializer, responses={201: CreditSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Put a credit into a wallet. 409 names the field and the reason where it is refused."""
        asked = PaidInSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        order = given.pop("order", None)
        try:
            credit = wallets.pay_in(WalletCredit(**given), order)
        except BillingError as refusal:
            raise Refused(refusal) from refusal
        return Response(CreditSerializer(self.get_queryset().get(pk=credit.pk)).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=RefundSerializer, responses=CreditSerializer)
    @action(detail=True, methods=["post"])
    def refund(self, request: Request, pk: str) -> Response:
        """Pay back what is left of a bought credit, or a part of it."""
        asked = RefundSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        credit = self.get_object()
        amount = Money.of(asked.validated_data["amount"], credit.tenant.currency)
        try:
            wallets.refund(credit.pk, amount, asked.validated_data["reason"], _person(request))
        except BillingError as refusal:
            raise Refused(refusal) from refusal
        return Response(CreditSerializer(self.get_object()).data)


class DrawViewSet(ReadOnlyModelViewSet[WalletDraw]):
    """What was drawn from the caller's wallets, newest first."""

    serializer_class = DrawSerializer
    pagination_class = NewestFirst
    lookup_value_regex = "[0-9]{1,18}"
    queryset = WalletDraw.objects.select_related("tenant", "invoice")

    def get_queryset(self) -> QuerySet[WalletDraw]:
        return _visible(super().get_queryset(), self.request)


class OrderViewSet(ReadOnlyModelViewSet[TopUpOrder]):
    """Orders of top-ups of the caller's wallets, newest first."""

    serializer_class = OrderSerializer
    pagination_class = NewestFirst
    lookup_value_regex = "[0-9]{1,18}"
    queryset = TopUpOrder.objects.select_related("tenant")

    def get_queryset(self) -> QuerySet[TopUpOrder]:
        return _visible(super().get_queryset(), self.request)

    @extend_schema(request=None, responses=OrderSerializer)
    @action(detail=True, methods=["post"], permission_classes=[StaffByRole])
    def cancel(self, request: Request, pk: str) -> Response:
        """Expect no payment of it any more; another may be ordered."""
        try:
            top_ups.cancel(self.get_object().pk)
        except BillingError as refusal:
            raise Refused(refusal) from refusal
        return Response(OrderSerializer(self.get_object()).data)


def _wallets(tenants: "list[Tenant]") -> "list[Wallet]":
    affordable = top_ups.affordable_of({tenant.pk for tenant in tenants if tenant.prepaid}, timezone.now())
    return [Wallet(tenant, holding(tenant), affordable.get(tenant.pk)) for tenant in tenants]


def _visible(rows: "QuerySet[Row]", request: Request) -> "QuerySet[Row]":
    visible = visible_tenant_ids(request.user)
    return rows if visible is None else rows.filter(tenant_id__in=visible)


def _person(request: Request) -> User:
    return cast(User, request.user)  # StaffByRole lets no key pass: a key's holder is no staff.
