"""The office API about write-offs and refunds of invoices, for staff."""

from typing import Any, cast

from django.contrib.auth.models import User
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ReadOnlyModelViewSet

from billing import settlements
from billing.api import ExactPrice, Refused
from billing.errors import SettlementRefused
from billing.models import Invoice, Settlement
from tenants.permissions import StaffByRole


class SettlementSerializer(serializers.ModelSerializer[Settlement]):
    amount = ExactPrice()
    recorded_by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)

    class Meta:
        model = Settlement
        fields = [
            "id", "invoice", "kind", "amount", "currency", "occurred_on", "reference", "recorded_by", "recorded_at",
        ]  # fmt: skip


class SettledSerializer(serializers.Serializer[Settlement]):
    """What is written off of an invoice, or was paid back."""

    invoice = serializers.PrimaryKeyRelatedField(queryset=Invoice.objects.all())
    kind = serializers.ChoiceField(choices=Settlement.Kind.choices)
    amount = serializers.DecimalField(max_digits=38, decimal_places=12)
    currency = serializers.CharField(max_length=3)
    occurred_on = serializers.DateField()
    reference = serializers.CharField(max_length=140, help_text="Why, or what the bank calls it.")


class NewestFirst(CursorPagination):
    ordering = "-id"


class SettlementViewSet(mixins.CreateModelMixin, ReadOnlyModelViewSet[Settlement]):
    """Write-offs and refunds recorded by hand, newest first. They never change."""

    permission_classes = [StaffByRole]
    serializer_class = SettlementSerializer
    pagination_class = NewestFirst
    lookup_value_regex = "[0-9]{1,18}"
    queryset = Settlement.objects.select_related("invoice", "recorded_by")

    @extend_schema(request=SettledSerializer, responses={201: SettlementSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Record one. 409 names the field and the reason where it is refused."""
        asked = SettledSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        person = cast(User, request.user)  # StaffByRole lets no key pass: a key's holder is no staff.
        try:
            settlement = settlements.record(Settlement(**asked.validated_data, recorded_by=person))
        except SettlementRefused as refusal:
            raise Refused(refusal) from refusal
        return Response(SettlementSerializer(settlement).data, status=status.HTTP_201_CREATED)
