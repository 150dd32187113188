"""Lets an application call the office API with the same key that it calls the gateway with."""

from dataclasses import dataclass

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from tenants import keys
from tenants.models import ApiKey, Tenant


@dataclass(frozen=True)
class KeyHolder:
    """The caller behind an API key: an application of one tenant's project, not a person."""

    key_id: int
    project_id: int
    tenant_id: int
    is_authenticated: bool = True
    is_active: bool = True
    is_staff: bool = False

    @property
    def pk(self) -> str:
        """Names the caller where a person's primary key would stand, such as in rate limits."""
        return f"key-{self.key_id}"


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer sk-tw-...`; any other scheme is left to the next authentication class."""

    def authenticate(self, request: Request) -> tuple[KeyHolder, ApiKey] | None:
        scheme, _, secret = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            return None
        found = ApiKey.objects.select_related("project__tenant")
        key = found.filter(digest=keys.digest(secret.strip()), revoked_at=None).first()
        if key is None:
            raise AuthenticationFailed("The API key is unknown or revoked. Ask your operator for a new one.")
        if key.project.tenant.status != Tenant.Status.ACTIVE:
            raise AuthenticationFailed("The tenant is suspended. Ask your operator why.")
        return KeyHolder(key.pk, key.project_id, key.project.tenant_id), key

    def authenticate_header(self, request: Request) -> str:
        """Makes a failed authentication 401 and not 403."""
        return "Bearer"


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # drf-spectacular has no types here.
    """Tells the OpenAPI schema how the key is sent."""

    target_class = ApiKeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}
