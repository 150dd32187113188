"""The office API about programmes: which there are for a tenant, and claiming a grant."""

from typing import Any, cast

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ReadOnlyModelViewSet

from billing import programmes
from billing.api import ExactPrice, Refused
from billing.errors import BillingError
from billing.models import Programme
from billing.wallet_reading import with_left
from billing.wallets_api import CreditSerializer
from tenants.authentication import KeyHolder
from tenants.models import Tenant
from tenants.visibility import visible_tenant_ids


class ProgrammeSerializer(serializers.ModelSerializer[Programme]):
    amount = ExactPrice(help_text="What a tenant is granted each time.")

    class Meta:
        model = Programme
        fields = [
            "slug", "name", "currency", "amount", "every", "valid_days", "offerings", "automatic", "opens_at",
            "closes_at",
        ]  # fmt: skip


class ClaimSerializer(serializers.Serializer[Any]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", queryset=Tenant.objects.all())

    def validate_tenant(self, tenant: Tenant) -> Tenant:
        """A person's own tenant, or any for staff. Another one is as unknown as one that does not exist."""
        visible = visible_tenant_ids(self.context["request"].user)
        if visible is not None and tenant.pk not in visible:
            raise serializers.ValidationError(f"Object with slug={tenant.slug} does not exist.")
        return tenant


class BySlug(CursorPagination):
    ordering = "slug"


class ProgrammeViewSet(ReadOnlyModelViewSet[Programme]):
    """Programmes that grant now. One that names its tenants is shown to these and to staff."""

    serializer_class = ProgrammeSerializer
    pagination_class = BySlug
    lookup_field = "slug"

    def get_queryset(self) -> QuerySet[Programme]:
        found = programmes.open_programmes(timezone.now())
        visible = visible_tenant_ids(self.request.user)
        return found if visible is None else programmes.shown_to(found, visible)

    @extend_schema(request=ClaimSerializer, responses={201: CreditSerializer})
    @action(detail=True, methods=["post"])
    def claim(self, request: Request, slug: str) -> Response:
        """Take a tenant's grant. For its members and for staff, and not for keys; 409 says why there is none."""
        if isinstance(cast(object, request.user), KeyHolder):  # Whoever authenticates says which it is.
            raise PermissionDenied("A grant is claimed by a person, not by a key.")
        asked = ClaimSerializer(data=request.data, context=self.get_serializer_context())
        asked.is_valid(raise_exception=True)
        try:
            credit = programmes.grant(self.get_object().pk, asked.validated_data["tenant"])
        except BillingError as refusal:
            raise Refused(refusal) from refusal
        shown = with_left(type(credit).objects.select_related("tenant", "programme")).get(pk=credit.pk)
        return Response(CreditSerializer(shown).data, status=status.HTTP_201_CREATED)
