"""The office API about payments, for staff."""

from typing import Any, cast

from django.contrib.auth.models import User
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ReadOnlyModelViewSet

from billing import payments
from billing.api import PaidAmount, Refused
from billing.errors import PaymentRefused
from billing.models import Invoice, Payment
from tenants.permissions import StaffByRole


class PaymentSerializer(serializers.ModelSerializer[Payment]):
    amount = PaidAmount()
    recorded_by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)
    reversed_by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)

    class Meta:
        model = Payment
        fields = [
            "id",
            "invoice",
            "amount",
            "currency",
            "received_on",
            "reference",
            "recorded_by",
            "recorded_at",
            "reversed_at",
            "reversed_by",
            "reversal_reason",
        ]


class ReceivedSerializer(serializers.Serializer[Payment]):
    """Money that came in for an invoice."""

    invoice = serializers.PrimaryKeyRelatedField(queryset=Invoice.objects.all())
    amount = serializers.DecimalField(max_digits=38, decimal_places=12)
    currency = serializers.CharField(max_length=3)
    received_on = serializers.DateField()
    reference = serializers.CharField(max_length=140, help_text="What the bank calls it. An invoice has each once.")


class ReversalSerializer(serializers.Serializer[Payment]):
    reason = serializers.CharField(max_length=200)


class NewestPaymentsFirst(CursorPagination):
    ordering = "-id"


class PaymentViewSet(mixins.CreateModelMixin, ReadOnlyModelViewSet[Payment]):
    """Payments recorded by hand, newest first. They are reversed by a counter-entry and never deleted."""

    permission_classes = [StaffByRole]
    serializer_class = PaymentSerializer
    pagination_class = NewestPaymentsFirst
    lookup_value_regex = "[0-9]{1,18}"
    queryset = Payment.objects.select_related("invoice", "recorded_by", "reversed_by")

    @extend_schema(request=ReceivedSerializer, responses={201: PaymentSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Record a payment. 409 names the field and the reason where it is refused."""
        asked = ReceivedSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            payment = payments.record(Payment(**asked.validated_data, recorded_by=_person(request)))
        except PaymentRefused as refusal:
            raise Refused(refusal) from refusal
        return Response(PaymentSerializer(payment).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=ReversalSerializer, responses=PaymentSerializer)
    @action(detail=True, methods=["post"])
    def reverse(self, request: Request, pk: str) -> Response:
        """Take a payment back that did not hold: its invoice is open again by so much."""
        asked = ReversalSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            payment = payments.reverse(self.get_object().pk, asked.validated_data["reason"], _person(request))
        except PaymentRefused as refusal:
            raise Refused(refusal) from refusal
        return Response(PaymentSerializer(payment).data)


def _person(request: Request) -> User:
    return cast(User, request.user)  # StaffByRole lets no key pass: a key's holder is no staff.
