"""The office API about price books, for staff: drafts of versions are written whole, then published."""

from decimal import Decimal
from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ReadOnlyModelViewSet

from billing import price_drafts, publishing
from billing.api import Refused
from billing.errors import BillingError, PricesRefused
from billing.models import PriceBook, PriceBookVersion, Rate
from billing.models.prices import STEPS_MAX
from tenants.permissions import StaffByRole

RATES_MAX = 5_000  # Of one version, in one call.


class ExactAmount(serializers.DecimalField):
    """An amount, with as many decimals as it has. It is read from text and whole numbers, for 0.1 is no float."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_digits=38, decimal_places=12, min_value=Decimal(0), normalize_output=True, **options)

    def to_internal_value(self, data: Any) -> Decimal:
        if isinstance(data, float):
            raise serializers.ValidationError('Write the amount as text, such as "0.60".')
        return super().to_internal_value(data)


class RateSerializer(serializers.ModelSerializer[Rate]):
    amount = ExactAmount(help_text="The price of `per` units.")
    above = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1),
        max_length=STEPS_MAX,
        required=False,
        help_text="Of graduated and volume prices: quantities of a month at which the price changes.",
    )
    amounts_above = serializers.ListField(
        child=ExactAmount(), max_length=STEPS_MAX, required=False, help_text="The price above each of these."
    )

    class Meta:
        model = Rate
        fields = ["offering", "unit", "grade", "service_tier", "kind", "amount", "per", "above", "amounts_above"]

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        """Name the field that makes it no price."""
        book = self.context.get("book")
        if book is not None:
            try:
                Rate(version=PriceBookVersion(price_book=book), **given).price()
            except PricesRefused as refusal:
                raise serializers.ValidationError({refusal.field: [str(refusal)]}) from refusal
        return given


class VersionSerializer(serializers.ModelSerializer[PriceBookVersion]):
    rates = RateSerializer(  # type: ignore[call-arg]  # The stubs do not know that the list takes its bound.
        many=True, max_length=RATES_MAX, help_text="All of them: rates not given are deleted."
    )

    class Meta:
        model = PriceBookVersion
        fields = ["id", "valid_from", "published_at", "rates"]
        read_only_fields = ["published_at"]


class PriceBookSerializer(serializers.ModelSerializer[PriceBook]):
    versions = VersionSerializer(many=True, read_only=True)

    class Meta:
        model = PriceBook
        fields = ["slug", "name", "currency", "versions"]


class BySlug(CursorPagination):
    ordering = "slug"


class PriceBookViewSet(mixins.CreateModelMixin, ReadOnlyModelViewSet[PriceBook]):
    """Price books with all their versions. A published version never changes; another one follows it."""

    permission_classes = [StaffByRole]
    serializer_class = PriceBookSerializer
    pagination_class = BySlug
    lookup_field = "slug"
    queryset = PriceBook.objects.prefetch_related("versions__rates")

    @extend_schema(request=VersionSerializer, responses={201: VersionSerializer})
    @action(detail=True, methods=["post"])
    def versions(self, request: Request, slug: str) -> Response:
        """Draft a version with its rates. It prices nothing until it is published."""
        book = self.get_object()
        given = self._given(request, book)
        try:
            version = price_drafts.draft(book, given["valid_from"], given["rates"])
        except BillingError as refusal:
            raise Refused(refusal) from refusal
        return Response(VersionSerializer(version).data, status=status.HTTP_201_CREATED)

    @extend_schema(responses=VersionSerializer)
    @action(detail=True, methods=["get"], url_path=r"versions/(?P<number>[0-9]{1,18})")
    def version(self, request: Request, slug: str, number: str) -> Response:
        """One version of a book."""
        return Response(VersionSerializer(self._version(number)).data)

    @extend_schema(request=VersionSerializer, responses=VersionSerializer)
    @version.mapping.put
    def replace_version(self, request: Request, slug: str, number: str) -> Response:
        """Write a draft anew: its beginning, and all of its rates."""
        version = self._version(number)
        given = self._given(request, version.price_book)
        try:
            redrafted = price_drafts.redraft(version, given["valid_from"], given["rates"])
        except BillingError as refusal:
            raise Refused(refusal) from refusal
        return Response(VersionSerializer(redrafted).data)

    @extend_schema(responses={204: None})
    @version.mapping.delete
    def delete_version(self, request: Request, slug: str, number: str) -> Response:
        """Throw a draft away."""
        try:
            self._version(number).delete()
        except BillingError as refusal:
            raise Refused(refusal) from refusal
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=VersionSerializer)
    @action(detail=True, methods=["post"], url_path=r"versions/(?P<number>[0-9]{1,18})/publish")
    def publish(self, request: Request, slug: str, number: str) -> Response:
        """Freeze a version, so that it prices usage. 409 names what is not whole. Twice is once."""
        try:
            version = publishing.publish(self._version(number))
        except BillingError as refusal:
            raise Refused(refusal) from refusal
        return Response(VersionSerializer(version).data)

    def _version(self, number: str) -> PriceBookVersion:
        versions = PriceBookVersion.objects.select_related("price_book")
        return get_object_or_404(versions, price_book=self.get_object(), pk=int(number))

    def _given(self, request: Request, book: PriceBook) -> dict[str, Any]:
        asked = VersionSerializer(data=request.data, context={"book": book})
        asked.is_valid(raise_exception=True)
        found: dict[str, Any] = asked.validated_data
        return found
