"""A run that failed is gone on with, by a new run of the same parameters that keeps its work."""

from __future__ import annotations

import fcntl
import json

import pytest

from pipelines.__main__ import main
from pipelines.code import code_version
from pipelines.commands.local_runs import noted, resumed_here
from pipelines.errors import PipelineError
from tests.unit.pipelines.recorded_kubeflow import NEVER, recorded_run

ENDED = recorded_run("failed")
ENDED = {name: ENDED[name] for name in ("state", "state_history", "finished_at", "run_details")}


@pytest.fixture
def failed(kubeflow, write_settings) -> tuple[str, str]:
    """The settings, and the id of a run that was submitted with them and failed."""
    settings = write_settings(steps={"train": {"memory": "6Gi"}})
    main(["submit", "training", "--settings", settings, "--seed", "7"])
    kubeflow.runs[0] |= ENDED
    kubeflow.frames = [kubeflow.runs[0]]
    return settings, kubeflow.runs[0]["run_id"]


def refused(run_id: str, settings: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["resume", run_id, "--settings", settings])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_failed_run_is_gone_on_with_under_its_name(kubeflow, failed, capsys):
    settings, run_id = failed
    main(["resume", run_id, "--settings", settings])
    first, second = (one.body for one in kubeflow.sent("POST", "/runs"))
    before, after = (one["runtime_config"]["parameters"] for one in (first, second))
    assert after == before | {"run_id": run_id}
    assert after["seed"] == 7
    assert second["pipeline_version_reference"] == first["pipeline_version_reference"]
    assert f"goes on with the work of {run_id}" in capsys.readouterr().out


def test_every_step_takes_the_run_whose_work_is_gone_on_with(kubeflow, failed):
    graph, _ = kubeflow.packages[next(iter(kubeflow.packages))]
    for name, task in graph["root"]["dag"]["tasks"].items():
        assert task["inputs"]["parameters"]["given_run_id"] == {"componentInputParameter": "run_id"}, name


def test_one_that_went_on_and_failed_too_is_gone_on_with_under_the_first_ones_name(kubeflow, failed):
    settings, run_id = failed
    main(["resume", run_id, "--settings", settings])
    kubeflow.runs[0] |= ENDED
    kubeflow.frames = [kubeflow.runs[0]]
    main(["resume", kubeflow.runs[0]["run_id"], "--settings", settings])
    assert kubeflow.runs[0]["runtime_config"]["parameters"]["run_id"] == run_id


def test_more_memory_makes_another_version_of_the_same_work(kubeflow, failed, write_settings):
    _, run_id = failed
    main(["resume", run_id, "--settings", write_settings(steps={"train": {"memory": "32Gi"}})])
    assert len(kubeflow.versions) == 2
    assert kubeflow.runs[0]["runtime_config"]["parameters"]["run_id"] == run_id


def test_what_has_not_failed_is_refused(kubeflow, failed):
    settings, run_id = failed
    run = kubeflow.runs[0]
    kubeflow.frames = [run | {"state": "RUNNING", "finished_at": NEVER}]
    assert f"run {run_id}: expected one that has failed, found it running" in refused(run_id, settings)
    kubeflow.frames = [run | {"state": "SUCCEEDED"}]
    assert f"run {run_id}: expected one that has failed, found it succeeded" in refused(run_id, settings)


def test_work_that_another_run_goes_on_with_is_refused(kubeflow, failed):
    settings, run_id = failed
    main(["resume", run_id, "--settings", settings])
    other = kubeflow.runs[0]
    assert f"found that run {other['run_id']} does: " in refused(run_id, settings)
    other |= ENDED | {"state": "SUCCEEDED"}
    assert f"found that run {other['run_id']} did and succeeded: " in refused(run_id, settings)


def test_another_package_is_refused(kubeflow, failed, write_settings):
    settings, run_id = failed
    (version,) = kubeflow.packages
    graph, _ = kubeflow.packages[version]
    graph["components"]["comp-train"]["inputDefinitions"]["parameters"].pop("seed")
    assert "expected this checkout to make its package, found that they differ in components" in refused(
        run_id, settings
    )
    del graph["root"]["inputDefinitions"]["parameters"]["run_id"]
    assert "found one of an earlier release, without the parameter run_id" in refused(run_id, settings)
    graph["pipelineInfo"]["name"] = "another"
    assert "expected one of training, retraining, search, scoring, found another" in refused(run_id, settings)


def test_a_run_that_is_not_there_is_refused(kubeflow, write_settings):
    assert "expected to see run x, found status 404" in refused("x", write_settings())


def begun(root, run_id: str, **note) -> None:
    folder = root / "runs" / run_id
    folder.mkdir(parents=True)
    told = {
        "pipeline": "training",
        "code_version": code_version(),
        "parameters": {"seed": 7},
        "succeeded": False,
    }
    (folder / "run.json").write_text(json.dumps(told | note))


def refused_here(run_id: str, root) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["resume", run_id, "--data-root", str(root)])
    return str(caught.value)


def test_runs_of_this_machine_are_named_where_another_is_meant(tmp_path):
    assert refused_here("x", tmp_path) == (
        f"run x: expected a run that `python -m pipelines run` began, found no run of that name under {tmp_path}/runs"
    )
    begun(tmp_path, "one")
    begun(tmp_path, "two")
    assert refused_here("x", tmp_path).startswith("run x: expected one of one, two, found no run")


def test_a_run_of_this_machine_that_needs_no_resuming_or_was_of_other_code_is_refused(tmp_path):
    begun(tmp_path, "done", succeeded=True)
    begun(tmp_path, "old", code_version="code-0123456789abcdef")
    assert "run done: expected one that has failed, found it succeeded" in refused_here("done", tmp_path)
    assert "run old: expected the code that made it (code-0123456789abcdef), found code-" in refused_here(
        "old", tmp_path
    )


def test_a_run_of_this_machine_that_goes_on_is_refused(tmp_path):
    begun(tmp_path, "busy")
    pipeline, values = resumed_here("busy", str(tmp_path))
    with (tmp_path / "runs" / "busy" / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with (
            pytest.raises(PipelineError, match="found that it goes on in another process"),
            noted(pipeline, values | {"run_id": "busy"}),
        ):
            pass


def test_a_moved_data_root_is_the_one_that_is_given(tmp_path):
    begun(tmp_path, "one", parameters={"data_root": "/elsewhere", "seed": 7})
    assert resumed_here("one", str(tmp_path)) == ("training", {"data_root": str(tmp_path), "seed": 7})
