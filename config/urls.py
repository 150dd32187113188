"""What the office answers. Each package brings its own addresses."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView

from config.health import health
from config.office_metrics import metrics

urlpatterns = [
    path("", RedirectView.as_view(url="/admin/")),
    path("admin/", admin.site.urls),
    path("health", health, name="health"),
    path("office/metrics", metrics, name="metrics"),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/", include("metering.urls")),
    path("api/", include("inference.urls")),
    path("api/", include("billing.urls")),
]
