"""The tables of tenants: who is calling and who pays, and what they may use."""

from tenants.models.history import Change
from tenants.models.limits import Budget, Limit
from tenants.models.parties import (
    COUNTRY,
    CURRENCY,
    ApiKey,
    Member,
    Project,
    Tenant,
    legal_tax_number,
    time_zone,
)

__all__ = [
    "COUNTRY",
    "CURRENCY",
    "ApiKey",
    "Budget",
    "Change",
    "Limit",
    "Member",
    "Project",
    "Tenant",
    "legal_tax_number",
    "time_zone",
]
