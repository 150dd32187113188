"""The look of documents. A new look is a new row; old ones are shown and never changed."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminColorInputWidget, UnfoldAdminFileFieldWidget

from billing.documents.brand import NotALogo, logo_svg
from billing.models import Brand


class BrandForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's own class is not generic when it runs.
    logo = forms.FileField(required=False, widget=UnfoldAdminFileFieldWidget, help_text="An SVG or a PNG.")

    class Meta:
        model = Brand
        fields = ["language", "colour", "logo", "closing_words"]
        widgets = {"colour": UnfoldAdminColorInputWidget}

    def clean_logo(self) -> Any:
        file = self.cleaned_data["logo"]
        try:
            self.instance.logo_svg = logo_svg(file.read()) if file else ""
        except NotALogo as refusal:
            raise forms.ValidationError(str(refusal)) from refusal
        return file


@admin.register(Brand)
class BrandAdmin(ModelAdmin):
    form = BrandForm
    list_display = ["__str__", "colour", "has_logo", "closing_words"]
    fields = ["language", "colour", "logo", "closing_words"]

    @admin.display(description="Logo", boolean=True)
    def has_logo(self, brand: Brand) -> bool:
        return bool(brand.logo_svg)

    def get_fields(self, request: HttpRequest, obj: Brand | None = None) -> Any:
        return self.fields if obj is None else ["language", "colour", "has_logo", "closing_words", "created_at"]

    def get_readonly_fields(self, request: HttpRequest, obj: Brand | None = None) -> Any:
        return [] if obj is None else self.get_fields(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
