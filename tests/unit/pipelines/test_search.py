"""The search's graph: after the data steps a search, whose overrides the training takes; the gate at its end."""

from __future__ import annotations

import inspect

import pytest

from angiopipe.training.search import search
from tests.unit.pipelines.conftest import compiled


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> dict:
    return compiled("search", tmp_path_factory)


def test_the_search_stands_between_the_examples_and_the_training(package):
    tasks = package["root"]["dag"]["tasks"]
    needs = {name: set(task.get("dependentTasks", ())) for name, task in tasks.items()}
    assert needs == {
        "validate": set(),
        "ingest": {"validate"},
        "audit": {"ingest"},
        "preprocess": {"ingest", "audit"},
        "search": {"preprocess"},
        "train": {"preprocess", "search"},
        "evaluate": {"preprocess", "train"},
        "register": {"train", "evaluate"},
        "promote": {"validate", "ingest", "evaluate", "register"},
    }
    overrides = tasks["train"]["inputs"]["parameters"]["overrides"]
    assert overrides == {"taskOutputParameter": {"producerTask": "search", "outputParameterKey": "Output"}}
    assert "train" in package["deploymentSpec"]["executors"]["exec-search"]["container"]["image"]


def test_its_parameters_and_their_defaults_are_the_librarys(package):
    known = inspect.signature(search).parameters
    inputs = package["components"]["comp-search"]["inputDefinitions"]
    declared = set(inputs["parameters"]) | set(inputs["artifacts"])
    assert declared - {"given_run_id"} == set(known) - {"out"}
    for name, parameter in package["root"]["inputDefinitions"]["parameters"].items():
        if name in known and "defaultValue" in parameter and name != "run_id":
            default = known[name].default
            assert parameter["defaultValue"] == (list(default) if isinstance(default, tuple) else default), (
                name
            )
