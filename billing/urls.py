from django.urls import path
from rest_framework.routers import SimpleRouter

from billing.api import InvoiceViewSet, PriceBookViewSet
from billing.credit_notes_api import CreditNotesView
from billing.payments_api import PaymentViewSet
from billing.runs_api import ClosingItemViewSet, ClosingRunViewSet

router = SimpleRouter()
router.register("invoices", InvoiceViewSet, basename="invoice")
router.register("closing-runs", ClosingRunViewSet, basename="closing-run")
router.register("closing-items", ClosingItemViewSet, basename="closing-item")
router.register("payments", PaymentViewSet, basename="payment")
router.register("price-books", PriceBookViewSet, basename="price-book")

urlpatterns = [path("credit-notes/", CreditNotesView.as_view(), name="credit-notes"), *router.urls]
