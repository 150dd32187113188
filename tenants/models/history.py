"""Who changed what, when: one row for each change of a row that money depends on. Written by a trigger alone."""

import json
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.db import models
from django.db.models.functions import Now
from pghistory.models import Context


class ExactDecoder(json.JSONDecoder):
    """Reads amounts as they stand in Postgres: a float would round them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "parse_float": Decimal})


class Change(models.Model):
    """One row of some table before and after. Who did it is in the context that django-pghistory hands to Postgres."""

    class Deed(models.TextChoices):
        INSERT = "insert", "added"
        UPDATE = "update", "changed"
        DELETE = "delete", "deleted"

    at = models.DateTimeField(db_default=Now())
    table = models.CharField(max_length=63)
    row_id = models.CharField(max_length=40)
    deed = models.CharField(max_length=6, choices=Deed)
    before = models.JSONField(null=True, decoder=ExactDecoder)
    after = models.JSONField(null=True, decoder=ExactDecoder)
    context = models.ForeignKey(Context, on_delete=models.DO_NOTHING, null=True, db_constraint=False, related_name="+")
    database_role = models.CharField(max_length=63)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["table", "row_id"], name="change_of_row")]

    def __str__(self) -> str:
        return f"{self.table} {self.row_id} {self.get_deed_display()}"

    @property
    def who(self) -> str:
        """The person of a request, the task of a worker, or the role that spoke SQL to Postgres."""
        known = self.context.metadata if self.context else {}
        if known.get("user"):
            name = User.objects.filter(pk=known["user"]).values_list("username", flat=True).first()
            return name or f"user {known['user']}, deleted since"
        if known.get("task"):
            return f"task {known['task']}"
        return "somebody without a name" if known else f"SQL by {self.database_role}"

    @property
    def fields(self) -> list[tuple[str, Any, Any]]:
        """Name, value before and value after of each column that differs; of all columns where a row came or went."""
        before, after = self.before or {}, self.after or {}
        names = [*before, *(name for name in after if name not in before)]
        return [(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]
