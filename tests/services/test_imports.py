"""Each service stands alone, and costs an import of arcly nothing."""

import subprocess
import sys

import pytest

SERVICES = ["auth", "observe", "prometheus", "audit", "health"]

EXTRAS = {"jwt", "cryptography", "re2", "prometheus_client"}


def loaded(code: str) -> set[str]:
    script = f"{code}\nimport sys; print(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )


def test_importing_arcly_imports_no_service() -> None:
    assert not any(name.startswith("arcly.services") for name in loaded("import arcly"))


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_imports_no_more_than_it_needs(service: str) -> None:
    modules = loaded(f"import arcly.services.{service}")
    needed = {"prometheus_client"} if service == "prometheus" else set()
    assert {name.partition(".")[0] for name in modules} & EXTRAS == needed
    assert not modules & {"starlette", "uvicorn"}
    assert service == "prometheus" or "http.client" not in modules


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        ("import arcly.services.prometheus", "prometheus"),
        ("from arcly.services.auth import JwtAuthenticator; JwtAuthenticator('x' * 32, algorithms=['HS256'])", "jwt"),
    ],
)
def test_a_missing_extra_is_named(code: str, extra: str) -> None:
    block = f"import sys; sys.modules.update(dict.fromkeys({sorted(EXTRAS)!r}))"
    done = subprocess.run([sys.executable, "-c", f"{block}\n{code}"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"arcly[{extra}]" in done.stderr.splitlines()[-1]
