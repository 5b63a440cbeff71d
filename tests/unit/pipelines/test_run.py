"""A local run hands its parameters on as they are, or refuses them before the first step."""

import os
import sys
from pathlib import Path

import pytest
from kfp import dsl, local

from pipelines.__main__ import main
from pipelines.commands.run import MOST_CHARACTERS, _commands_as_written
from tests.odd_paths import ALL, ODD
from tests.small_disks import Mount, fill, make_read_only


@dsl.component(base_image="python", packages_to_install=[], install_kfp_package=False)
def echo(text: str, texts: list[str], made: dsl.Output[dsl.Artifact]) -> list[str]:
    """Gives back what reached it, and by which Python it runs."""
    import sys

    with open(made.path, "w") as file:
        file.write(text)
    return [text, *texts, sys.executable]


@dsl.pipeline(name="echoing")
def echoing(text: str, texts: list[str]) -> list[str]:
    """Hands its parameters on to a step."""
    return echo(text=text, texts=texts).outputs["Output"]


def test_every_parameter_reaches_a_step_as_it_is(tmp_path, capsys):
    texts = [
        *ODD.values(),
        ALL,
        "training.x=python3",
        "--runner=python3 -c",
        "https://hook/python3?a=b&c='d'",
    ]
    root = tmp_path / ALL
    before = sys.executable, os.environ["PATH"]
    with _commands_as_written():
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root))
        found = echoing(text=ALL, texts=texts).output
    capsys.readouterr()
    assert found[:-1] == [ALL, *texts]
    assert os.path.samefile(found[-1], sys.executable)
    assert next(root.rglob("made")).read_text() == ALL
    assert (sys.executable, os.environ["PATH"]) == before


def refused(tmp_path: Path, **changed: object) -> str:
    """What a run says that does not begin."""
    values = {"images": tmp_path, "labels": tmp_path / "train.csv", "data_root": tmp_path / "root", **changed}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]
    with pytest.raises(SystemExit) as caught:
        main(["run", "training", *flags])
    assert caught.value.code
    return "" if caught.value.code == 1 else str(caught.value.code)


@pytest.mark.parametrize("text", ["{{$.pipeline_root}}", "{{", "/kfp-workspace/x", "pipelinechannel--x"])
def test_what_kubeflow_would_replace_is_refused_in_one_sentence(tmp_path, text):
    for name in ("images", "labels", "data_root", "model_name", "overrides"):
        message = refused(tmp_path, **{name: f"{tmp_path}/{text}"})
        assert message.startswith(f"--{name.replace('_', '-')}: expected no ")
        assert f"{tmp_path}/{text}" in message
        assert message.endswith("rename the folder")
    assert not list(tmp_path.iterdir())


def test_a_relative_data_root_below_a_folder_that_kubeflow_would_replace_is_refused(tmp_path, monkeypatch):
    (tmp_path / "{{x}}").mkdir()
    monkeypatch.chdir(tmp_path / "{{x}}")
    assert refused(tmp_path, data_root="root").startswith("--data-root: expected no '{{' in it")


def test_a_name_that_is_no_utf_8_is_refused(tmp_path):
    assert "--images: expected text in UTF-8" in refused(tmp_path, images=os.fsdecode(b"/data/\xff"))


def test_more_than_a_command_line_holds_is_refused(tmp_path):
    message = refused(tmp_path, model_name="x" * MOST_CHARACTERS)
    assert message == "expected parameters of at most 65,536 characters in all, got more"


@pytest.mark.parametrize("name", ["what?", "a%20b", "a%2fb"])
def test_a_data_root_where_mlflow_would_not_find_its_database_is_refused(tmp_path, name, capsys):
    assert refused(tmp_path, data_root=tmp_path / name) == ""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"python -m pipelines run training: {tmp_path}/{name}/mlflow.db: expected a path without"
    )
    assert not list(tmp_path.iterdir())


def test_a_data_root_that_cannot_be_written_to_is_told_before_the_first_step(tmp_path, mount: Mount, capsys):
    (tmp_path / "file").write_text("x")
    full, read_only = mount("64k", "full"), mount("64k", "read-only")
    fill(full)
    make_read_only(read_only)
    for place, what in {
        tmp_path / "file" / "root": "not a directory; a file is there in place of a folder",
        full / "root": "no space left on device; free some space there",
        read_only / "root": "read-only file system; choose a place that can be written to",
        tmp_path / ("x" * 300): "file name too long; choose a shorter path",
        tmp_path.joinpath(*["x" * 200] * 18, "y" * 150): "file name too long; choose a shorter path",
    }.items():
        assert refused(tmp_path, data_root=place) == ""
        captured = capsys.readouterr()
        (line,) = captured.err.splitlines()
        assert line.startswith(f"python -m pipelines run training: {place}"[:200])
        assert what in line
        assert captured.out == ""
    assert not list(tmp_path.glob("x*"))


def test_a_full_place_for_scratch_files_is_told_before_the_first_step(
    tmp_path, mount: Mount, capsys, monkeypatch
):
    full = mount("64k")
    fill(full, left=8192)
    monkeypatch.setattr("tempfile.tempdir", str(full))
    assert refused(tmp_path) == ""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"python -m pipelines run training: {full}/angiopipe-")
    assert "no space left on device; free some space" in line
    assert not (tmp_path / "root").exists()
