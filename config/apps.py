from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "config"
    verbose_name = "Configuration"

    def ready(self) -> None:
        """Load the Celery application, so that tasks sent from the office find its broker."""
        import config.celery  # noqa: F401 - imported for its effect
