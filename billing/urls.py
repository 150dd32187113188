from django.urls import path
from rest_framework.routers import SimpleRouter

from billing.api import InvoiceViewSet
from billing.credit_notes_api import CreditNotesView
from billing.payments_api import PaymentViewSet
from billing.prices_api import PriceBookViewSet
from billing.programmes_api import ProgrammeViewSet
from billing.runs_api import ClosingItemViewSet, ClosingRunViewSet
from billing.settlements_api import SettlementViewSet
from billing.terms_api import CouponViewSet, PlanTermsViewSet, PlanViewSet, RedemptionViewSet
from billing.wallets_api import CreditViewSet, DrawViewSet, OrderViewSet, WalletViewSet

router = SimpleRouter()
router.register("invoices", InvoiceViewSet, basename="invoice")
router.register("closing-runs", ClosingRunViewSet, basename="closing-run")
router.register("closing-items", ClosingItemViewSet, basename="closing-item")
router.register("payments", PaymentViewSet, basename="payment")
router.register("price-books", PriceBookViewSet, basename="price-book")
router.register("settlements", SettlementViewSet, basename="settlement")
router.register("wallets", WalletViewSet, basename="wallet")
router.register("wallet-credits", CreditViewSet, basename="wallet-credit")
router.register("wallet-draws", DrawViewSet, basename="wallet-draw")
router.register("top-up-orders", OrderViewSet, basename="top-up-order")
router.register("programmes", ProgrammeViewSet, basename="programme")
router.register("plan-terms", PlanTermsViewSet, basename="plan-terms")
router.register("plans", PlanViewSet, basename="plan")
router.register("coupons", CouponViewSet, basename="coupon")
router.register("redemptions", RedemptionViewSet, basename="redemption")

urlpatterns = [path("credit-notes/", CreditNotesView.as_view(), name="credit-notes"), *router.urls]
