"""The office API about what tenants agree to: terms, plans and coupons. For staff."""

from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import transaction
from django.db.models import Model
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.viewsets import ReadOnlyModelViewSet

from billing import agreements, publishing
from billing.api import Refused
from billing.errors import BillingError
from billing.models import Coupon, IncludedUsage, Plan, PlanTerms, PriceBook, Redemption
from tenants.models import Tenant
from tenants.permissions import StaffByRole


class IncludedSerializer(serializers.ModelSerializer[IncludedUsage]):
    class Meta:
        model = IncludedUsage
        fields = ["offering", "unit", "quantity"]


def refuse_by_field(row: Model) -> None:
    """Refuse, by field, what the row's own `clean` refuses."""
    try:
        row.full_clean()
    except ValidationError as refusal:
        raise by_field(refusal) from refusal


def by_field(refusal: ValidationError) -> serializers.ValidationError:
    """The same refusal for a caller of the API."""
    renamed: dict[str, str] = {NON_FIELD_ERRORS: api_settings.NON_FIELD_ERRORS_KEY}
    return serializers.ValidationError(
        {renamed.get(field, field): messages for field, messages in refusal.message_dict.items()}
    )


class PlanTermsSerializer(serializers.ModelSerializer[PlanTerms]):
    included = IncludedSerializer(many=True, required=False)

    class Meta:
        model = PlanTerms
        fields = [
            "id",
            "name",
            "currency",
            "fee",
            "fee_months",
            "included",
            "included_amount",
            "discount_percent",
            "minimum",
            "maximum",
            "commitment",
            "commitment_months",
            "trial_days",
        ]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        refuse_by_field(PlanTerms(**{name: value for name, value in attrs.items() if name != "included"}))
        return attrs

    @transaction.atomic
    def create(self, validated_data: dict[str, Any]) -> PlanTerms:
        included = validated_data.pop("included", [])
        terms = PlanTerms.objects.create(**validated_data)
        IncludedUsage.objects.bulk_create(IncludedUsage(terms=terms, **one) for one in included)
        return terms


class PlanSerializer(serializers.ModelSerializer[Plan]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", queryset=Tenant.objects.all())
    price_book = serializers.SlugRelatedField[PriceBook](slug_field="slug", queryset=PriceBook.objects.all())
    terms = serializers.SlugRelatedField[PlanTerms](
        slug_field="name", queryset=PlanTerms.objects.all(), required=False, allow_null=True
    )

    class Meta:
        model = Plan
        fields = ["id", "tenant", "price_book", "terms", "starts_at"]


class CouponSerializer(serializers.ModelSerializer[Coupon]):
    class Meta:
        model = Coupon
        fields = ["id", "code", "name", "percent", "amount", "currency", "months"]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        refuse_by_field(Coupon(**attrs))
        return attrs


class RedemptionSerializer(serializers.ModelSerializer[Redemption]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", queryset=Tenant.objects.all())
    coupon = serializers.SlugRelatedField[Coupon](slug_field="code", queryset=Coupon.objects.all())

    class Meta:
        model = Redemption
        fields = ["id", "tenant", "coupon", "first_month"]
        validators: list[Any] = []  # `redeem` says it with the reason.


class OldestFirst(CursorPagination):
    ordering = "id"


class PlanTermsViewSet(mixins.CreateModelMixin, ReadOnlyModelViewSet[PlanTerms]):
    """Terms of plans. They are written once: others are other terms."""

    permission_classes = [StaffByRole]
    serializer_class = PlanTermsSerializer
    pagination_class = OldestFirst
    lookup_value_regex = "[0-9]{1,18}"
    queryset = PlanTerms.objects.prefetch_related("included")


class CouponViewSet(mixins.CreateModelMixin, ReadOnlyModelViewSet[Coupon]):
    """Coupons that tenants may redeem."""

    permission_classes = [StaffByRole]
    serializer_class = CouponSerializer
    pagination_class = OldestFirst
    lookup_value_regex = "[0-9]{1,18}"
    queryset = Coupon.objects.all()


class PlanViewSet(mixins.CreateModelMixin, ReadOnlyModelViewSet[Plan]):
    """What tenants agreed to, and from when."""

    permission_classes = [StaffByRole]
    serializer_class = PlanSerializer
    pagination_class = OldestFirst
    lookup_value_regex = "[0-9]{1,18}"
    queryset = Plan.objects.select_related("tenant", "price_book", "terms")

    @extend_schema(request=PlanSerializer, responses={201: PlanSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Give a tenant a plan from an instant on. 409 names the field and the reason where it is refused."""
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            plan = publishing.agree(**asked.validated_data)
        except BillingError as refusal:
            raise Refused(refusal) from refusal
        except ValidationError as refusal:
            raise by_field(refusal) from refusal
        return Response(self.get_serializer(plan).data, status=status.HTTP_201_CREATED)


class RedemptionViewSet(mixins.CreateModelMixin, ReadOnlyModelViewSet[Redemption]):
    """Which tenant has which coupon, and from which month on."""

    permission_classes = [StaffByRole]
    serializer_class = RedemptionSerializer
    pagination_class = OldestFirst
    lookup_value_regex = "[0-9]{1,18}"
    queryset = Redemption.objects.select_related("tenant", "coupon")

    @extend_schema(request=RedemptionSerializer, responses={201: RedemptionSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Redeem a coupon for a tenant. 409 names the field and the reason where it is refused."""
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            redemption = agreements.redeem(**asked.validated_data)
        except BillingError as refusal:
            raise Refused(refusal) from refusal
        return Response(self.get_serializer(redemption).data, status=status.HTTP_201_CREATED)
