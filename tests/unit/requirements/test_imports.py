"""What code imports is declared, for each place where it runs: nothing is there because another package needs it."""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.metadata
import importlib.util
import re
import runpy
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import grimp
import pytest

from angiopipe.registry import package
from components.face import IMAGES
from tests.unit.pipelines.test_components import ALL

ROOT = Path(__file__).parents[3]
OURS = ("angiopipe", "components", "pipelines")
UNDER_TEST = ("tests", "benchmarks", "infra", "docker", "requirements")
IN_BASE = ("infra/flink/worker_pool.py", "infra/base/mlflow/backup.py")
"""Scripts that run in the base image."""
DECODERS = {"pyjpegls", "pylibjpeg", "pylibjpeg-openjpeg"}
"""What pydicom finds by itself."""
OWN_ENVIRONMENT = "tensorflow_io"
"""What the audit's reader tries, and goes without where it is not; `requirements/tfio.in` has it."""


def names(requirements: Iterable[str]) -> set[str]:
    found = (re.match(r"[\w.-]+", line.strip()) for line in requirements)
    return {normalised(one[0]) for one in found if one}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@functools.cache
def declared(*extras: str) -> frozenset[str]:
    """The distributions that setup.py asks for."""
    given: dict[str, Any] = {}
    with contextlib.chdir(ROOT), pytest.MonkeyPatch.context() as patched:
        patched.setattr("setuptools.setup", lambda **fields: given.update(fields))
        runpy.run_path("setup.py")
    wanted = [
        *given["install_requires"],
        *(line for extra in extras for line in given["extras_require"][extra]),
    ]
    return frozenset(names(wanted))


def listed(name: str) -> set[str]:
    """The distributions that a list in requirements/ asks for."""
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    included = [line.split()[1] for line in lines if line.startswith("-r ")]
    return names(lines).union(*(listed(one) for one in included))


def extras_of(image: str) -> tuple[str, ...]:
    """Those that `make lock` resolves an image's lock file from."""
    text = (ROOT / "Makefile").read_text()
    shared, own = (
        re.search(pattern, text)
        for pattern in (
            r"RESOLVE_IMAGE = (.*)",
            rf"\(RESOLVE_IMAGE\)(.*) --output-file requirements/{image}.lock",
        )
    )
    assert shared
    assert own
    return tuple(re.findall(r"--extra (\S+)", shared[1] + own[1]))


@functools.cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*OURS, exclude_type_checking_imports=True)


def reached(*modules: str) -> set[Path]:
    """The files of modules and of all that they import of ours, at once or when they are called."""
    all_of_them = set(modules).union(*(graph().find_upstream_modules(module) for module in modules))
    return {Path(str(importlib.util.find_spec(module).origin)) for module in all_of_them}  # type: ignore[union-attr]


def imported(path: Path) -> Iterator[str]:
    """The dotted names that a file imports of others' packages."""
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        waiting += ast.iter_child_nodes(node)
        found = [one.name for one in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            found = [f"{node.module}.{one.name}" for one in node.names]
        yield from (
            name
            for name in found
            if name.partition(".")[0] not in {*sys.stdlib_module_names, *OURS, *UNDER_TEST}
        )


packages_distributions = functools.cache(importlib.metadata.packages_distributions)


@functools.cache
def sources(module: str) -> frozenset[str]:
    """The distributions that bring a module; those of a namespace by the module's own folder."""
    top, *inner = module.split(".")
    found = packages_distributions().get(top, [top])
    if top == "google":
        folder = f"{top}/{inner[0]}/"
        found = [
            one
            for one in found
            if any(str(file).startswith(folder) for file in importlib.metadata.files(one) or ())
        ]
    return frozenset(map(normalised, found))


def undeclared(paths: Iterable[Path], allowed: Iterable[str], but: str = OWN_ENVIRONMENT) -> set[str]:
    known = set(allowed)
    return {
        f"{path.relative_to(ROOT)}: {module}"
        for path in paths
        for module in imported(path)
        if not sources(module) & known and module.partition(".")[0] != but
    }


def scripts(folder: str) -> Iterator[Path]:
    """Python's files, those that are called by another name among them."""
    for path in (ROOT / folder).rglob("*"):
        if path.suffix == ".py" or (
            path.is_file() and not path.suffix and b"python" in path.read_bytes()[:60]
        ):
            yield path


def components_in(image: str) -> list[str]:
    found = ((name, one.component_spec.implementation.container.image) for name, one in ALL.items())
    return [f"components.{name}" for name, own in found if own == IMAGES[image]]


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_what_its_components_import(image):
    paths = reached(*components_in(image), *(["angiopipe.training.worker"] if image == "train" else []))
    beside = {ROOT / name for name in IN_BASE} if image == "base" else set()
    assert undeclared(paths | beside, declared(*extras_of(image))) == set()


@pytest.mark.parametrize("image", IMAGES)
def test_an_images_lock_file_has_what_setup_py_asks_for(image):
    lock = (ROOT / "requirements" / f"{image}.lock").read_text()
    assert declared(*extras_of(image)) <= names(re.findall(r"^[\w.-]+==", lock, re.MULTILINE))


def test_a_pipelines_commands_have_what_they_import():
    assert undeclared(reached("pipelines.__main__", "angiopipe.__main__"), declared("kfp")) == set()


def test_all_of_the_library_runs_on_what_some_extra_brings():
    own = [module for module in graph().modules if module.startswith("angiopipe")]
    assert undeclared(reached(*own), declared("train")) == set()


def test_tests_and_tools_have_what_they_import():
    everything = declared("kfp", "object-stores", "train", "jpeg-12bit", "dev")
    paths = {path for folder in UNDER_TEST for path in scripts(folder)}
    assert len(paths) > 150
    assert undeclared(paths, everything) == set()


def test_the_audits_environment_has_what_the_audit_imports():
    audit = reached("angiopipe.records.audit", "angiopipe.__main__")
    assert undeclared(audit, listed("tfio.in"), but="") == set()
    assert undeclared(scripts("tests/tfio"), listed("tfio-tests.in"), but="") == set()


def test_a_packaged_predictor_has_what_it_imports_and_no_more():
    predictor, pinned = reached("angiopipe.registry.predictor"), names(package.requirements())
    assert undeclared(predictor, pinned) == set()
    needed = {one for path in predictor for module in imported(path) for one in sources(module)}
    assert pinned - needed == DECODERS
