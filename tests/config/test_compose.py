"""docker-compose.yml and Dockerfile, without an engine: against the specification's schema and against the product."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands

from config import env, processes, settings

COMPOSE = settings.BASE_DIR / "docker-compose.yml"
DOCKERFILE = settings.BASE_DIR / "Dockerfile"
DOCUMENT: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
SERVICES: dict[str, Any] = DOCUMENT["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "tokenworks"}
JOBS = {"migrate"}
IMAGE_HOME = Path("/var/lib/tokenworks")


def check_against_the_specification(path: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_compose_file_follows_the_compose_specification() -> None:
    done = check_against_the_specification(COMPOSE)
    assert done.returncode == 0, done.stdout


def test_the_check_against_the_specification_finds_a_mistake(tmp_path: Path) -> None:
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(COMPOSE.read_text().replace("depends_on:", "depend_on:"))
    done = check_against_the_specification(broken)
    assert done.returncode == 1
    assert "depend_on" in done.stdout


def test_all_processes_of_the_product_have_a_service() -> None:
    assert set(OURS) == {"gateway", "office", "worker", "beat", "shipper", "migrate"}
    assert set(SERVICES) - set(OURS) == {"postgres", "valkey"}


@pytest.fixture
def in_the_image(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The supervisor's own commands, as they would be inside a container."""
    monkeypatch.setattr(settings, "TOKENWORKS_HOME", IMAGE_HOME)
    monkeypatch.setattr(settings, "TOKENWORKS_HOST", "0.0.0.0")
    monkeypatch.setattr(settings, "TOKENWORKS_PORT", 8000)
    monkeypatch.setattr(settings, "BASE_DIR", Path("/srv/tokenworks"))
    return {process.name: ["python", *process.command[1:]] for process in processes.standard()}


@pytest.mark.parametrize("service", ["gateway", "office", "worker", "beat", "shipper"])
def test_a_service_runs_what_the_supervisor_runs(service: str, in_the_image: dict[str, list[str]]) -> None:
    process = "web" if service in ("gateway", "office") else service
    assert SERVICES[service]["command"] == in_the_image[process]


def test_the_image_runs_a_web_process_by_default(in_the_image: dict[str, list[str]]) -> None:
    command = re.search(r"^CMD (\[.*?\])$", DOCKERFILE.read_text(), re.MULTILINE | re.DOTALL)
    assert command
    assert yaml.safe_load(command[1].replace("\\\n", "")) == in_the_image["web"]


@pytest.mark.parametrize("service", OURS)
def test_every_management_command_that_a_service_names_exists(service: str) -> None:
    for command in (OURS[service]["command"], OURS[service].get("healthcheck", {}).get("test", [])):
        if "/srv/tokenworks/manage.py" in command:
            assert command[command.index("/srv/tokenworks/manage.py") + 1] in get_commands()


@pytest.mark.parametrize("service", OURS)
def test_a_service_sets_only_settings_that_exist(service: str) -> None:
    assert set(OURS[service]["environment"]) <= env.known()


def test_gateway_and_office_are_apart() -> None:
    assert SERVICES["gateway"]["environment"]["TOKENWORKS_PLANES"] == "gateway"
    assert SERVICES["office"]["environment"]["TOKENWORKS_PLANES"] == "office"


def test_gateway_and_shipper_share_the_journal() -> None:
    mounted = f"journal:{IMAGE_HOME}/journal"
    assert [name for name in SERVICES if mounted in SERVICES[name].get("volumes", [])] == ["gateway", "shipper"]


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_runs_as_root(service: str) -> None:
    assert SERVICES[service]["user"].split(":")[0] not in ("", "0", "root")
    assert "no-new-privileges:true" in SERVICES[service]["security_opt"]


@pytest.mark.parametrize("service", sorted(set(SERVICES) - JOBS))
def test_every_service_that_stays_has_a_health_check(service: str) -> None:
    check = SERVICES[service]["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert check["timeout"]


@pytest.mark.parametrize("service", SERVICES)
def test_the_logs_of_every_service_are_bounded(service: str) -> None:
    assert set(SERVICES[service]["logging"]["options"]) == {"max-size", "max-file"}


@pytest.mark.parametrize("service", sorted(set(OURS) - JOBS))
def test_everything_waits_for_the_tables(service: str) -> None:
    assert OURS[service]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_whatever_is_waited_for_exists_and_has_what_is_waited_for() -> None:
    for service in SERVICES.values():
        for name, wanted in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if name in JOBS else "service_healthy"
            assert wanted == {"condition": expected}
            assert name in SERVICES


def test_every_secret_is_required_and_none_has_a_default() -> None:
    secrets = re.findall(r"\$\{([A-Z_]*(?:SECRET|PASSWORD)[A-Z_]*)([^}]*)\}", COMPOSE.read_text())
    assert {name for name, _ in secrets} == {"POSTGRES_PASSWORD", "VALKEY_PASSWORD", "TOKENWORKS_SECRET_KEY"}
    assert [rest for _, rest in secrets if not rest.startswith(":?Give ")] == []


def test_ports_are_published_to_this_machine_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_named_volume_is_used_and_declared() -> None:
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert used == set(DOCUMENT["volumes"])


def test_images_are_named_without_a_host() -> None:
    images = re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), re.MULTILINE)
    images += [service["image"] for service in SERVICES.values()]
    assert [image for image in images if re.search(r"[.:].*/|localhost", image)] == []


def test_the_image_installs_what_the_lock_file_says_and_runs_without_root() -> None:
    text = DOCKERFILE.read_text()
    assert "--require-hashes --only-binary :all: -r /tmp/base.txt" in text
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE) == ["10001:10001"]
    assert {service["user"] for service in OURS.values()} == {"10001:10001"}
    assert text.count("\nHEALTHCHECK ") == 1
    assert f"TOKENWORKS_HOME={IMAGE_HOME}" in text


def test_the_image_has_every_package_of_the_product_and_no_data() -> None:
    allowed = {
        line.removeprefix("!")
        for line in (settings.BASE_DIR / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text())
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert allowed == packages | {"manage.py", "requirements/base.txt"}
