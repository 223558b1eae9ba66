"""pyproject.toml, requirements.txt and what the code imports agree with each other."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import packages_distributions

from packaging.requirements import Requirement

from tests.helpers.sources import ROOT, files, imported, tree_of


def requirements(text: str) -> dict[str, Requirement]:
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return {requirement.name: requirement for requirement in map(Requirement, filter(None, lines))}


DECLARED = requirements("\n".join(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]))
INSTALLED = requirements((ROOT / "requirements.txt").read_text())


def test_the_ranges_are_the_same_and_torch_is_pinned_inside_its_own():
    pins = INSTALLED["torch"].specifier
    assert [pin.operator for pin in pins] == ["=="]
    assert all(pin.version in DECLARED["torch"].specifier for pin in pins)
    others = {name: str(requirement) for name, requirement in INSTALLED.items() if name != "torch"}
    assert others == {name: str(requirement) for name, requirement in DECLARED.items() if name != "torch"}


def test_every_package_that_is_imported_is_required():
    distributions = packages_distributions()
    modules = {
        found.module.partition(".")[0]
        for p in ("core", "app")
        for path in files(p)
        for found in imported(tree_of(path))
    }
    outside = modules - sys.stdlib_module_names - {"core", "app", "__future__"}
    required = {re.sub(r"[-_.]+", "-", name).lower() for name in DECLARED}
    missing = {
        module
        for module in outside
        if not {re.sub(r"[-_.]+", "-", name).lower() for name in distributions.get(module, [module])} & required
    }
    assert missing == set()
