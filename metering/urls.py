from django.urls import path

from metering import backfills_api, ingest_api
from metering.api import EventsView
from metering.usage_api import UsageView

urlpatterns = [
    path("usage/", UsageView.as_view(), name="usage"),
    path("events/", EventsView.as_view(), name="events"),
    *ingest_api.urlpatterns,
    *backfills_api.urlpatterns,
]
