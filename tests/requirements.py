"""Print what building in place, linting and testing need, as pyproject.toml has it."""

import tomllib
from pathlib import Path

project = tomllib.loads(Path(__file__).parent.with_name("pyproject.toml").read_text())
print(*project["build-system"]["requires"], sep="\n")
for extra in project["project"]["optional-dependencies"].values():
    print(*extra, sep="\n")
