from rest_framework.routers import SimpleRouter

from billing.api import InvoiceViewSet, PriceBookViewSet

router = SimpleRouter()
router.register("invoices", InvoiceViewSet, basename="invoice")
router.register("price-books", PriceBookViewSet, basename="price-book")

urlpatterns = router.urls
