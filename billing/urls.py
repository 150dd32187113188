from rest_framework.routers import SimpleRouter

from billing.api import InvoiceViewSet, PriceBookViewSet
from billing.payments_api import PaymentViewSet

router = SimpleRouter()
router.register("invoices", InvoiceViewSet, basename="invoice")
router.register("payments", PaymentViewSet, basename="payment")
router.register("price-books", PriceBookViewSet, basename="price-book")

urlpatterns = router.urls
