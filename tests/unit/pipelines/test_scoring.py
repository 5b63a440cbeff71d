"""The compiled scoring graph: one step, with its own parameters and defaults, never from a cache."""

from __future__ import annotations

import inspect

import pytest

from angiopipe.registry.score import score
from tests.unit.pipelines.conftest import compiled

OUTSIDE = {"run_id", "out", "output"}
"""What the pipeline itself fills in."""


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> dict:
    return compiled("scoring", tmp_path_factory)


def test_parameters_and_defaults_are_the_steps(package):
    parameters = package["root"]["inputDefinitions"]["parameters"]
    own = {name: one.default for name, one in inspect.signature(score).parameters.items()}
    assert parameters.pop("run_id")["defaultValue"] == ""  # The step's own is for who calls it as a command.
    assert set(parameters) == set(own) - OUTSIDE
    for name, parameter in parameters.items():
        default = own[name] if own[name] is not inspect.Parameter.empty else None
        assert parameter.get("defaultValue") == (list(default) if isinstance(default, tuple) else default)
    given = package["components"]["comp-score"]["inputDefinitions"]["parameters"]
    assert set(given) - {"given_run_id"} == set(own) - {"out", "output"}


def test_images_that_changed_in_place_are_scored_anew(package):
    assert not package["root"]["dag"]["tasks"]["score"]["cachingOptions"].get("enableCache")


def test_the_step_runs_in_the_image_that_has_tensorflow_and_mlflow(package):
    (executor,) = package["deploymentSpec"]["executors"].values()
    assert executor["container"]["image"].startswith("angiopipe/python-train:")
