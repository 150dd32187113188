from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class ConfigConfig(AppConfig):
    name = "config"
    verbose_name = "Configuration"

    def ready(self) -> None:
        """Load the Celery application, so that tasks sent from the office find its broker; plug in what is above."""
        import config.celery  # noqa: F401 - imported for its effect
        from config.history import keep_all
        from config.roles import make_all
        from metering import focus

        focus.seller = seller_name
        # This app's signal comes after those of all of ours, so tables and permissions are there.
        post_migrate.connect(make_all, sender=apps.get_app_config("auth"))
        post_migrate.connect(keep_all, sender=apps.get_app_config("auth"))


def seller_name() -> str | None:
    """Who sells, for exports of usage, whose package does not know invoices; None until a seller was entered."""
    from billing.errors import SellerIsUnclear
    from billing.parties import the_seller

    try:
        return the_seller().legal_name
    except SellerIsUnclear:
        return None
