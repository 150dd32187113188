"""What the page of an object's history shows."""

from django import template
from django.db import models

from tenants import history
from tenants.models import Change

register = template.Library()


@register.simple_tag
def changes_of(row: models.Model) -> list[Change]:
    """The newest changes of a row, with who made them and what differs."""
    return history.changes_of(row)
