"""The operator's pages about tenants. What the buttons do is decided in tenants/registry.py."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from tenants import registry
from tenants.models import ApiKey, Budget, Change, Limit, Member, Project, Tenant
from tenants.read_only import ReadOnly

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class PersonAdmin(UserAdmin, ModelAdmin):  # type: ignore[type-arg]  # Takes no parameter when it runs.
    form, add_form, change_password_form = UserChangeForm, UserCreationForm, AdminPasswordChangeForm


@admin.register(Group)
class RoleAdmin(GroupAdmin, ModelAdmin):
    pass


class IssuesKeys(ModelAdmin):
    """Shows a fresh key's secret in the answer to the very request that made it, so that it is stored nowhere."""

    def show_once(self, request: HttpRequest, issued: registry.IssuedKey) -> HttpResponse:
        opts = self.model._meta
        context = {
            **self.admin_site.each_context(request),
            "title": "API key issued",
            "opts": opts,
            "issued": issued,
            "next_url": reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist"),
        }
        return TemplateResponse(request, "admin/tenants/key_issued.html", context)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        issued: registry.IssuedKey = request.issued_key  # type: ignore[attr-defined]  # Set by save_model.
        return self.show_once(request, issued)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Usage and invoices refer to tenants and keys for good: they are suspended and revoked instead."""
        return False


class ProjectInline(TabularInline):
    model = Project
    extra = 0
    can_delete = False
    show_change_link = True


class MemberInline(TabularInline):
    model = Member
    extra = 0


@admin.register(Tenant)
class TenantAdmin(IssuesKeys):
    list_display = ["slug", "name", "status", "currency", "country", "created_at"]
    list_filter = ["status", "currency", "country"]
    search_fields = ["slug", "name", "legal_name"]
    readonly_fields = ["status", "created_at"]
    prepopulated_fields = {"slug": ["name"]}
    actions = ["suspend", "reactivate"]

    def get_readonly_fields(self, request: HttpRequest, obj: Tenant | None = None) -> list[str]:
        return [*self.readonly_fields, *(["slug"] if obj else [])]

    def get_prepopulated_fields(self, request: HttpRequest, obj: Tenant | None = None) -> dict[str, Any]:
        return {} if obj else dict(self.prepopulated_fields)

    def get_inlines(self, request: HttpRequest, obj: Tenant | None) -> list[Any]:
        return [ProjectInline, MemberInline] if obj else []

    def save_model(self, request: HttpRequest, obj: Tenant, form: "ModelForm[Tenant]", change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
        else:
            request.issued_key = registry.admit(obj)  # type: ignore[attr-defined]  # Read by response_add.

    @admin.action(description="Suspend: turn away all keys", permissions=["change"])
    def suspend(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        for tenant in queryset:
            registry.suspend(tenant)
            self.log_change(request, tenant, "Suspended.")

    @admin.action(description="Reactivate", permissions=["change"])
    def reactivate(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        for tenant in queryset:
            registry.reactivate(tenant)
            self.log_change(request, tenant, "Reactivated.")


@admin.register(ApiKey)
class ApiKeyAdmin(IssuesKeys):
    list_display = ["prefix", "name", "project", "reports_usage", "created_at", "revoked_at"]
    list_filter = ["project__tenant", "reports_usage"]
    search_fields = ["prefix", "name"]
    fields = ["project", "name", "reports_usage", "prefix", "created_at", "revoked_at"]
    readonly_fields = ["prefix", "created_at", "revoked_at"]
    actions = ["revoke"]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[str]:
        return [*self.readonly_fields, *(["project"] if obj else [])]

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[Any]:
        return list(self.fields) if obj else ["project", "name", "reports_usage"]

    def save_model(self, request: HttpRequest, obj: ApiKey, form: "ModelForm[ApiKey]", change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
        else:
            request.issued_key = registry.issue(obj)  # type: ignore[attr-defined]  # Read by response_add.

    @admin.action(description="Revoke for good", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset:
            registry.revoke(key)
            self.log_change(request, key, "Revoked.")


@admin.register(Limit)
class LimitAdmin(ModelAdmin):
    list_display = ["__str__", "tenant", "requests_per_minute", "tokens_per_minute", "parallel_requests", "expires_at"]
    list_filter = ["tenant"]
    list_select_related = ["tenant", "project", "api_key"]

    def get_readonly_fields(self, request: HttpRequest, obj: Limit | None = None) -> list[str]:
        return ["tenant", "project", "api_key"] if obj else []


@admin.register(Budget)
class BudgetAdmin(ModelAdmin):
    list_display = ["__str__", "tenant", "window", "amount", "tokens", "hard", "notify_at_percent", "counted_at"]
    list_filter = ["tenant", "window", "kind", "hard"]
    list_select_related = ["tenant", "project", "api_key"]

    def get_readonly_fields(self, request: HttpRequest, obj: Budget | None = None) -> list[str]:
        """Its counters are named for these, so another level, window or kind is another budget."""
        return ["tenant", "project", "api_key", "window", "kind", "hard", "created_at", "counted_at"] if obj else []


@admin.register(Change)
class ChangeAdmin(ReadOnly, ModelAdmin):
    list_display = ["at", "table", "row_id", "deed", "who"]
    list_filter = ["table", "deed"]
    list_select_related = ["context"]
    search_fields = ["row_id"]
    date_hierarchy = "at"
    fields = ["at", "table", "row_id", "deed", "who", "what"]
    readonly_fields = ["who", "what"]

    @admin.display(description="What")
    def what(self, change: Change) -> str:
        return render_to_string("admin/tenants/change_fields.html", {"change": change})
