"""The office API about usage: totals and series, in pages or as files."""

import zoneinfo
from collections.abc import Iterable
from typing import Any

from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from metering import totals, usage_exports
from metering.api import QuarterField, Timespan, asked_tenants
from metering.dimensions import DIMENSIONS, NARROWED_BY
from metering.models import Bucket
from metering.streaming import streamed
from metering.usage import ServiceTier, Unit
from metering.usage_exports import KINDS_OF_FILES
from metering.zones import QUARTER

PAGE_GROUPS = 1_000
PAGE_GROUPS_MAX = totals.GROUPS_MAX
ID_MAX = 2**63 - 1


class GroupByField(serializers.CharField):
    """Names of groups, separated by commas."""

    default_error_messages = {"unknown": "{name} is not one of {names}."}

    def to_internal_value(self, data: Any) -> Any:
        names = [name.strip() for name in str(super().to_internal_value(data)).split(",") if name.strip()]
        for name in names:
            if name not in DIMENSIONS:
                self.fail("unknown", name=name, names=", ".join(DIMENSIONS))
        return list(dict.fromkeys(names))


class UsageQuery(Timespan):
    """Without bounds: the running month, UTC."""

    bound = QuarterField

    group_by = GroupByField(
        required=False, default="", allow_blank=True, help_text=f"Any of {', '.join(DIMENSIONS)}, by commas."
    )
    billed = serializers.BooleanField(required=False, allow_null=True, default=None, help_text="Only what is billed.")
    zone = serializers.CharField(required=False, help_text="Where days and hours begin; else at the tenant's.")
    project = serializers.SlugField(required=False, help_text="Only projects of this slug.")
    api_key = serializers.IntegerField(required=False, min_value=0, max_value=ID_MAX, help_text="Only this key, by id.")
    offering = serializers.CharField(required=False)
    deployment = serializers.CharField(required=False)
    grade = serializers.CharField(required=False, allow_blank=True, help_text="Empty: what is not certified.")
    service_tier = serializers.ChoiceField(choices=list(ServiceTier), required=False)
    unit = serializers.ChoiceField(choices=list(Unit), required=False)
    limit = serializers.IntegerField(
        required=False, default=PAGE_GROUPS, min_value=1, max_value=PAGE_GROUPS_MAX, help_text="Groups on a page."
    )
    cursor = serializers.CharField(required=False, help_text="Where the page before ended; take it from `next`.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        start, end = totals.this_month(timezone.now())
        return super().validate({"from": start, "to": max(end, attrs.get("from", start) + QUARTER), **attrs})

    def validate_zone(self, zone: str) -> str:
        if zone not in zoneinfo.available_timezones():
            raise serializers.ValidationError("This is not an IANA time zone such as Europe/Berlin.")
        return zone


class UsageTotalSerializer(serializers.Serializer[totals.UsageTotal]):
    """What one group used. A count that nobody reported is absent or null, which is not 0."""

    group = serializers.DictField(help_text="The group, by the names in group_by.")
    requests = serializers.IntegerField(allow_null=True)
    input_tokens = serializers.IntegerField(allow_null=True)
    output_tokens = serializers.IntegerField(allow_null=True)
    units = serializers.DictField(child=serializers.IntegerField())


class UsagePageSerializer(serializers.Serializer[Any]):
    """Groups in their order."""

    next = serializers.URLField(allow_null=True, help_text="The next page, if there is one.")
    results = UsageTotalSerializer(many=True)


class CsvRenderer(BaseRenderer):
    """What can be asked for. The view streams it, so nothing is rendered here."""

    media_type, format = "text/csv", "csv"


class ParquetRenderer(BaseRenderer):
    media_type, format = "application/vnd.apache.parquet", "parquet"


class FocusRenderer(BaseRenderer):
    media_type, format = "text/csv", "focus"


class FocusParquetRenderer(BaseRenderer):
    media_type, format = "application/vnd.apache.parquet", "focus-parquet"


class NamedFormats(DefaultContentNegotiation):
    """Refuses an unknown `format` by name, where it would else be a page that is not found."""

    def filter_renderers(self, renderers: Iterable[BaseRenderer], format: str) -> list[BaseRenderer]:  # noqa: A002
        found = [renderer for renderer in renderers if renderer.format == format]
        if not found:
            known = ", ".join(str(renderer.format) for renderer in renderers)
            raise serializers.ValidationError({"format": [f"{format} is not one of {known}."]})
        return found


class UsageView(APIView):
    """Usage within a time, in total or by groups: pages of JSON, or a whole file as CSV, Parquet or FOCUS 1.2."""

    table = Bucket

    renderer_classes = [JSONRenderer, CsvRenderer, ParquetRenderer, FocusRenderer, FocusParquetRenderer]
    content_negotiation_class = NamedFormats

    @extend_schema(
        parameters=[UsageQuery],
        responses={
            (200, "application/json"): UsagePageSerializer,
            (200, "text/csv"): OpenApiTypes.STR,
            (200, "application/vnd.apache.parquet"): OpenApiTypes.BINARY,
        },
    )
    def get(self, request: Request) -> HttpResponseBase:
        query = UsageQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        try:
            question = totals.Question(
                asked_tenants(request, asked.get("tenant")), asked["from"], asked["to"], asked["group_by"],
                asked["billed"], asked.get("zone"), {name: asked[name] for name in NARROWED_BY if name in asked},
            )  # fmt: skip
            kind = KINDS_OF_FILES.get(str(request.accepted_renderer.format))
            return page(request, question, asked) if kind is None else file(request, question, kind)
        except (totals.SpanTooLong, usage_exports.NotAPeriod) as problem:
            raise serializers.ValidationError({"group_by": [str(problem)]}) from problem
        except totals.BrokenCursor as problem:
            raise serializers.ValidationError({"cursor": [str(problem)]}) from problem

    def handle_exception(self, exc: Exception) -> Response:
        """An error is JSON, whatever was asked for."""
        self.request.accepted_renderer = JSONRenderer()
        self.request.accepted_media_type = JSONRenderer.media_type
        return super().handle_exception(exc)


def page(request: Request, question: totals.Question, asked: dict[str, Any]) -> Response:
    """One page, and where the next one is: there the bounds are named, for the running month may be another then."""
    found, cursor = totals.usage_page(question, asked.get("cursor"), asked["limit"])
    following = None
    if cursor is not None:
        following = request.build_absolute_uri()
        bounds = {"from": question.start.isoformat(), "to": question.end.isoformat()}
        for name, value in {**bounds, "cursor": cursor}.items():
            following = replace_query_param(following, name, value)
    return Response(UsagePageSerializer({"next": following, "results": found}).data)


def file(request: Request, question: totals.Question, kind: usage_exports.FileKind) -> HttpResponseBase:
    name = f"usage-{question.start:%Y-%m-%d}-{question.end:%Y-%m-%d}.{kind.ending}"
    return streamed(request._request, usage_exports.chunks(question, kind), kind.content_type, name)
