"""The compiled graph: what runs, in what order, with which parameters, in which image."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from angiopipe import defaults
from angiopipe.cohort.validate import validate
from angiopipe.dataflow.ingest import ingest
from angiopipe.dataflow.preprocess import preprocess
from angiopipe.evaluation.evaluate import evaluate
from angiopipe.records.audit import audit
from angiopipe.registry.promote import promote
from angiopipe.registry.register import register
from angiopipe.training.train import train
from pipelines.__main__ import main
from tests.unit.pipelines.conftest import compiled

STEPS = {f.__name__: f for f in (validate, ingest, audit, preprocess, train, evaluate, register, promote)}


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> dict:
    return compiled("training", tmp_path_factory)


def test_the_steps_run_in_the_order_of_the_data(package):
    tasks = package["root"]["dag"]["tasks"]
    assert set(tasks) == set(STEPS)
    needs = {name: set(task.get("dependentTasks", ())) for name, task in tasks.items()}
    assert needs == {
        "validate": set(),
        "ingest": {"validate"},
        "audit": {"ingest"},
        "preprocess": {"ingest", "audit"},
        "train": {"preprocess"},
        "evaluate": {"preprocess", "train"},
        "register": {"train", "evaluate"},
        "promote": {"validate", "ingest", "evaluate", "register"},
    }


@pytest.mark.parametrize("name", STEPS)
def test_a_components_parameters_are_its_steps(package, name):
    inputs = package["components"][f"comp-{name}"]["inputDefinitions"]
    declared = set(inputs.get("parameters", {})) | set(inputs.get("artifacts", {}))
    known = set(inspect.signature(STEPS[name]).parameters)
    declared -= {"fingerprint", "code_version"}  # for Kubeflow's cache alone
    declared.remove("given_run_id")  # instead of `run_id`
    assert declared <= known
    optional = {"out", "report", "card", "experiment", "examples", "faults", "patience", "statistics"}
    by_hand = {"version", "model_name", "why", "overrule"} if name == "promote" else set()
    assert known - declared <= optional | by_hand


@pytest.mark.parametrize("pipeline", ["training", "search"])
def test_validate_is_told_what_the_later_steps_will_be_told(pipeline, tmp_path_factory):
    tasks = compiled(pipeline, tmp_path_factory)["root"]["dag"]["tasks"]
    told = tasks["validate"]["inputs"]["parameters"]
    known = {*inspect.signature(validate).parameters} - {"data_root", "run_id"}
    asked = 0
    for task in tasks.values():
        for name, value in task["inputs"].get("parameters", {}).items():
            if name in known and "componentInputParameter" in value:
                assert told[name] == value
                asked += 1
    assert asked > 30


def test_defaults_are_the_librarys(package):
    parameters = package["root"]["inputDefinitions"]["parameters"]
    assert parameters["model_name"]["defaultValue"] == defaults.MODEL_NAME
    assert parameters["beam_args"]["defaultValue"] == list(defaults.BEAM_ARGS)
    for name in ("recipe", "seed", "test_share", "validation_share", "tracking_uri"):
        own = {
            f: inspect.signature(f).parameters[name].default
            for f in STEPS.values()
            if name in inspect.signature(f).parameters
        }
        assert set(own.values()) == {parameters[name]["defaultValue"]}


def test_only_steps_that_need_tensorflow_run_in_its_image(package):
    images = {
        name.removeprefix("exec-"): executor["container"]["image"]
        for name, executor in package["deploymentSpec"]["executors"].items()
    }
    assert {name for name, image in images.items() if "train" in image} == {
        "audit",
        "train",
        "evaluate",
        "register",
        "promote",
    }


def test_nothing_is_installed_at_run_time(package):
    commands = str([e["container"]["command"] for e in package["deploymentSpec"]["executors"].values()])
    assert "pip install" not in commands


def test_compiling_imports_no_heavy_library():
    heavy = ("tensorflow", "keras", "apache_beam", "cv2", "mlflow", "sklearn", "pandas")
    code = f"import pipelines.training, sys; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_same_graph_gives_the_same_bytes(tmp_path):
    for name in ("a.yaml", "b.yaml"):
        main(["compile", "training", "--out", str(tmp_path / name)])
    assert Path(tmp_path / "a.yaml").read_bytes() == Path(tmp_path / "b.yaml").read_bytes()


def test_an_unknown_pipeline_is_told():
    with pytest.raises(SystemExit, match="'trainig': expected one of training"):
        main(["compile", "trainig"])
