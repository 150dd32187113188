"""Who calls the ingest API, and how it says no."""

from typing import Any

from django.db import models
from rest_framework.exceptions import NotFound, PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from metering import ingest_errors
from metering.ingest_formats import reported
from metering.models import Event
from metering.reporter import Reporter
from tenants.models import ApiKey, Tenant

ERRORS_MAX = 100  # Told of one call; `error_count` has the whole number.

STATUSES: dict[type[Exception], int] = {
    reported.Malformed: 400,
    reported.TooManyEvents: 413,
    reported.UnknownFormat: 415,
    ingest_errors.EventsConflict: 409,
    ingest_errors.EventsRefused: 400,
    ingest_errors.UnknownBackfill: 404,
    ingest_errors.BackfillRefused: 409,
    ingest_errors.TooManyBackfills: 409,
}


def reporter_of(request: Request) -> Reporter:
    """The key's tenant and project, where it may report; for staff the tenant they name. Members report nothing."""
    slug = request.query_params.get("tenant")
    if isinstance(request.auth, ApiKey):
        if not request.auth.reports_usage:
            raise PermissionDenied("This key may not report usage. The operator allows it on the key's page.")
        return _of_key(request.auth, slug)
    if not request.user.is_staff:
        raise PermissionDenied("Only an API key of a project, or the operator's staff, may report usage.")
    if slug is None:
        raise ValidationError({"tenant": "Name the tenant whose usage it is."})
    found = Tenant.objects.filter(slug=slug).first()
    if found is None:
        raise NotFound("There is no such tenant, or it is not yours.")
    return Reporter(found.pk, found.slug, is_staff=True)


def _of_key(key: ApiKey, slug: str | None) -> Reporter:
    tenant = key.project.tenant
    if slug not in (None, tenant.slug):
        raise NotFound("There is no such tenant, or it is not yours.")
    return Reporter(tenant.pk, tenant.slug, key.project_id, key.pk)


class SaysWhy(APIView):
    """Answers with the reasons of metering/ingest_errors.py."""

    table: type[models.Model] = Event

    def handle_exception(self, exc: Exception) -> Response:
        status = STATUSES.get(type(exc))
        if status is None:
            return super().handle_exception(exc)
        said: dict[str, Any] = {"detail": str(exc) or exc.__doc__}
        if isinstance(exc, ingest_errors.EventsRefused):
            shown = exc.refusals[:ERRORS_MAX]
            said["errors"] = [
                {"index": each.index, "id": each.id, "field": each.field, "reason": each.reason} for each in shown
            ]
            said["error_count"] = len(exc.refusals)
        return Response(said, status=status)
