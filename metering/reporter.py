"""Who reports usage, and in which of the tenant's projects and keys it belongs."""

from collections.abc import Iterable
from dataclasses import dataclass

from metering.ingest_formats.reported import BadEvent, ReportedUsage
from metering.ingest_rows import NO_KEY
from tenants.models import ApiKey, Project


@dataclass(frozen=True)
class Reporter:
    """The caller: an application by its key, or the operator's staff for a tenant that they name."""

    tenant_id: int
    tenant_slug: str
    project_id: int | None = None
    api_key_id: int = NO_KEY
    is_staff: bool = False


class Places:
    """The tenant's projects and keys that a call names."""

    def __init__(self, reporter: Reporter, events: Iterable[ReportedUsage]) -> None:
        self._reporter = reporter
        slugs = {said.project for said in events if said.project is not None}
        keys = {said.api_key for said in events if said.api_key is not None}
        projects = Project.objects.filter(tenant_id=reporter.tenant_id, slug__in=slugs) if slugs else ()
        named = ApiKey.objects.filter(project__tenant_id=reporter.tenant_id, pk__in=keys) if keys else ()
        self._projects = {project.slug: project.pk for project in projects}
        self._projects_of_keys = {key.pk: key.project_id for key in named}

    def of(self, said: ReportedUsage) -> tuple[int | None, int]:
        """The project and the key that an event is counted for. Raises BadEvent where the tenant has no such.

        None where nobody said a project and there is no caller's key. A project that is named without a key has none,
        unless it is the caller's own.
        """
        project_id = self._reporter.project_id if said.project is None else self._projects.get(said.project)
        if said.project is not None and project_id is None:
            raise BadEvent("project", "The tenant has no project of this name.")
        if said.api_key is None:
            own = project_id == self._reporter.project_id
            return project_id, self._reporter.api_key_id if own else NO_KEY
        of_key = self._projects_of_keys.get(said.api_key)
        if of_key is None:
            raise BadEvent("api_key", "The tenant has no API key of this number.")
        if said.project is not None and of_key != project_id:
            raise BadEvent("api_key", "This API key is of another project.")
        return of_key, said.api_key
