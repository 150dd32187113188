"""Names that outlive their rows.

Usage events and buckets refer to offerings, deployments and upstreams by name, not by id: metering lies below this
package and knows none of its tables. A renamed row would cut its history off, so names are final: the forms say so
here, and a trigger (migration 0002) refuses every other way to change them.
"""

from collections.abc import Collection
from typing import Any, ClassVar, Self

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

offering_name = RegexValidator(
    r"\A[a-z0-9][a-z0-9._:/-]*\Z",
    "Use lower-case letters, digits and . _ : / - only, beginning with a letter or digit, such as llama-3.3-70b.",
)

FINAL = "This is final, for recorded usage refers to it. Disable the row and add another."


class FinalNames(models.Model):
    """A row some of whose fields can be set once and never changed."""

    final_fields: ClassVar[tuple[str, ...]]
    _stored: dict[str, object] | None = None

    class Meta:
        abstract = True

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **options: Any) -> Self:
        row = super().from_db(db, field_names, values, **options)
        row._stored = dict(zip(field_names, values, strict=False))
        return row

    def clean(self) -> None:
        super().clean()
        changed = [name for name in self.final_fields if self._differs(name)]
        if changed:
            raise ValidationError(dict.fromkeys(changed, FINAL))

    def _differs(self, name: str) -> bool:
        attribute = self._meta.get_field(name).attname  # type: ignore[union-attr]  # final fields are columns of their own
        return self._stored is not None and self._stored.get(attribute) not in (None, getattr(self, attribute))
