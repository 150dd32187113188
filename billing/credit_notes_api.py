"""The office API about credit notes, for staff: given over an invoice, and read among the invoices."""

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import balances, credit_notes
from billing.api import InvoiceSerializer, Refused
from billing.errors import BillingError
from billing.models import Invoice
from tenants.permissions import StaffByRole

LINES_MAX = 10_000


class CreditedLineSerializer(serializers.Serializer[Any]):
    position = serializers.IntegerField(min_value=1)
    amount = serializers.DecimalField(max_digits=38, decimal_places=12, help_text="Net, with the sign of the line.")


class CreditNoteSerializer(serializers.Serializer[Any]):
    """What to take back of an invoice, and why. Without `lines`, all that is left of it."""

    invoice = serializers.PrimaryKeyRelatedField(queryset=Invoice.objects.all())
    reason = serializers.CharField(max_length=credit_notes.REASON_CHARACTERS_MAX)
    lines = serializers.ListField(
        child=CreditedLineSerializer(), required=False, allow_empty=False, max_length=LINES_MAX
    )

    def validate_lines(self, lines: list[dict[str, Any]]) -> dict[int, Decimal]:
        amounts = {line["position"]: line["amount"] for line in lines}
        if len(amounts) < len(lines):
            raise serializers.ValidationError("A line is named twice.")
        return amounts


class CreditNotesView(APIView):
    """Gives credit notes."""

    table = Invoice
    permission_classes = [StaffByRole]

    @extend_schema(request=CreditNoteSerializer, responses={201: InvoiceSerializer})
    def post(self, request: Request) -> Response:
        """Give a credit note. 409 names the field and the reason where it is refused."""
        asked = CreditNoteSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        try:
            note = credit_notes.give(given["invoice"].pk, given.get("lines"), given["reason"])
        except BillingError as refusal:
            raise Refused(refusal) from refusal
        shown = balances.with_open_amount(Invoice.objects.select_related("tenant", "period")).get(pk=note.pk)
        return Response(InvoiceSerializer(shown).data, status=status.HTTP_201_CREATED)
