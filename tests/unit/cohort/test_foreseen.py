"""What a later step would refuse is refused by validate, before an image is read, all of it in one error."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from angiopipe import storage
from angiopipe.cohort.pseudonyms import PSEUDONYM_KEY
from angiopipe.cohort.validate import validate
from angiopipe.faults import FaultyStudies
from angiopipe.study import INDEX, LABELS, VIEW_NAMES


class Made(NamedTuple):
    """A cohort whose image files are empty: whoever reads one finds a fault."""

    folder: Path

    @property
    def labels(self) -> str:
        return str(self.folder / "train.csv")

    def refused(self, **options) -> list[str]:
        """What validate refuses, an entry each; images it does not read."""
        with pytest.raises(FaultyStudies) as caught:
            self.validate(**options)
        assert "an empty file" not in str(caught.value)
        assert not (self.folder / "root" / "splits").exists() or options.get("data_root")
        if not caught.value.faults:
            return [str(caught.value)]
        assert str(caught.value).startswith(
            f"{len(caught.value.faults)} things would stop this run; no image was"
        )
        return caught.value.faults

    def validate(self, **options):
        options = {"data_root": str(self.folder / "root"), **options}
        return validate(str(self.folder / "images"), self.labels, str(self.folder / "out"), **options)


@pytest.fixture
def made(tmp_path):
    def make(positives: int = 20, negatives: int = 20) -> Made:
        (tmp_path / "images").mkdir()
        lines = [",".join((INDEX, *LABELS))]
        for number in range(positives + negatives):
            flag = str(int(number < positives))
            lines.append(",".join([f"{number:04d}", flag, flag, *"0" * 20]))
            for view in VIEW_NAMES:
                (tmp_path / "images" / f"{number:04d}{view}.jpg").touch()
        (tmp_path / "train.csv").write_text("\n".join(lines) + "\n")
        return Made(tmp_path)

    return make


@pytest.mark.parametrize(("positives", "negatives"), [(0, 40), (40, 0), (0, 1), (1, 0), (0, 300)])
def test_a_cohort_of_one_class_is_refused(made, positives, negatives):
    cohort = made(positives, negatives)
    assert cohort.refused() == [
        f"{cohort.labels}: expected studies with and without an aneurysm, found {positives} with and {negatives} "
        "without; add studies of the other kind"
    ]


@pytest.mark.parametrize(("positives", "negatives"), [(1, 60), (2, 60), (60, 1), (1, 1), (2, 1)])
def test_splits_that_lack_a_class_are_refused_and_each_is_named(made, positives, negatives):
    cohort = made(positives, negatives)
    (told,) = cohort.refused()
    lacking = told.count(f"{cohort.labels}, split ")
    assert lacking >= 1
    assert told.count("expected studies with and without an aneurysm, found ") == lacking
    assert told.endswith("; add studies, or split the cohort again with another seed or other shares")


def test_a_split_of_no_studies_is_refused(made):
    (told,) = made().refused(validation_share=0.0)
    assert (
        "split validation: expected studies with and without an aneurysm, found 0 with and 0 without" in told
    )


def test_an_ensemble_of_more_folds_than_studies_of_a_class_is_refused(made):
    (told,) = made(9, 60).refused(overrides=["training.ensemble=7"])
    assert told.startswith("training.ensemble=7: expected folds of the ")
    assert told.endswith("; choose fewer folds")


REFUSED = {
    "no recipe": ({"recipe": "octovew"}, "recipe 'octovew': expected one of coding_vessels"),
    "no field": ({"overrides": ["training.epoch=3"]}, "recipe override 'training.epoch=3': no such field"),
    "no value": ({"overrides": ["training.epochs=0"]}, "training.epochs: Input should be greater than 0"),
    "a view too small": (
        {"recipe": "coding_vessels", "overrides": ["preprocessing.size=32"]},
        "model spatial_attention: views must have 64 rows and columns at least, got 32 x 32",
    ),
    "a view too small for five stages": (
        {"recipe": "kium_vgg16", "overrides": ["preprocessing.size=16"]},
        "model vgg16: views must have 32 rows and columns at least",
    ),
    "another recipe's model": (
        {"recipe": "coding_vessels", "overrides": ['model={"architecture":"octoview"}']},
        "model octoview: views must have 1 channel (grey), got 3",
    ),
    "stages without width": (
        {"recipe": "kium_vgg16", "overrides": ["model.depths=[2,2]"]},
        "expected a depth and a width for each stage, got 2 model.depths and 5 model.widths",
    ),
    "weights of another network": (
        {"overrides": ["model.widths=[8,16]"]},
        "model.weights=synthetic: expected",
    ),
    "weights nowhere": (
        {"overrides": ["model.weights=/nowhere/w.weights.h5"]},
        "model.weights=/nowhere/w.weights.h5: expected a file of weights, found nothing there; correct the path",
    ),
    "workers": ({"workers": 3}, "training.batch_size: expected a multiple of 3 (workers 3 x devices 1"),
    "no worker": ({"workers": 0}, "training.batch_size: expected a multiple of 0 (workers 0"),
    "accumulation": (
        {"overrides": ["training.accumulate=3"]},
        "training.batch_size: expected a multiple of 3",
    ),
    "tensorboard": (
        {"tensorboard": "scalar"},
        "tensorboard: expected one of off, scalars, profile, got 'scalar'",
    ),
    "no cluster settings": (
        {"cluster_settings": "/nowhere/training.yaml"},
        "/nowhere/training.yaml: expected cluster settings in YAML, found nothing there",
    ),
    "no model name": ({"model_name": ""}, "model_name: expected 1 to 249 characters"),
    "a path for a model name": ({"model_name": "team/model"}, "got 'team/model'; choose another name"),
    "no registry": (
        {"data_root": "memory://root", "model_name": "a"},
        "data root memory://root: expected a tracking_uri (or MLFLOW_TRACKING_URI) beside a remote data root",
    ),
    "no clinical data": (
        {"overrides": ['model.clinical=["age","sex"]']},
        "expected the clinical variables age, sex of model.clinical, found none; run validate with a --clinical CSV",
    ),
    "no key": ({"pseudonymise": True}, f"{PSEUDONYM_KEY}: expected a key of 16 bytes or more, found 0"),
    "no earlier statistics": (
        {"previous_statistics": "/nowhere/statistics.json"},
        "/nowhere/statistics.json: expected the statistics of an earlier run, found nothing there",
    ),
    "no split": (
        {"test_share": 0.9},
        "expected shares that leave studies to train on, got 0.15 for validation",
    ),
    "no fold": ({"folds": 5, "fold": 5}, "expected 2 or more folds and a fold among them from 0, got 5 of 5"),
    "a word for quarantine": ({"on_fault": "quarantined"}, "on_fault: expected one of stop, quarantine"),
    "no clinical CSV": (
        {"clinical": "/nowhere/c.csv"},
        "/nowhere/c.csv: expected a CSV, found nothing there",
    ),
    "no trial": (
        {"trials": 0, "startup_trials": 5},
        "expected 1 trial and startup trial or more, got 0 and 5",
    ),
    "no space": (
        {"trials": 9, "startup_trials": 5, "space": ["model.lstm=[1]"]},
        "no such field; here there are",
    ),
    "an ensemble's search": (
        {"trials": 9, "startup_trials": 5, "overrides": ["training.ensemble=3"]},
        "training.ensemble: expected 0, trials are single models",
    ),
    "no database": (
        {"trials": 9, "startup_trials": 5, "data_root": "memory://root"},
        "data root memory://root: expected a database beside a remote data root, got none",
    ),
    "a batch that the best trial may have": (
        {"trials": 9, "startup_trials": 5, "workers": 4, "space": ["training.batch_size=[6,8]"]},
        "training.batch_size: expected a multiple of 4 (workers 4 x devices 1 x training.accumulate 1), got 6",
    ),
    "a batch within a range": (
        {"trials": 9, "startup_trials": 5, "workers": 2, "space": ["training.batch_size=uniform(2,8)"]},
        "expected a multiple of 2 (workers 2 x devices 1 x training.accumulate 1), got 3",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_later_step_would_refuse_is_refused_in_one_sentence(made, name, monkeypatch):
    monkeypatch.delenv(PSEUDONYM_KEY, raising=False)
    options, message = REFUSED[name]
    (told,) = made().refused(**options)
    assert message in told


def test_cluster_settings_are_read_and_their_workers_and_devices_divide_the_batch(made, tmp_path):
    cohort, path = made(), tmp_path / "training.yaml"
    path.write_text("namespace: a\nimage: b\nworkers: 2\ngpus: 3\n")
    (told,) = cohort.refused(cluster_settings=str(path))
    assert "expected a multiple of 6 (workers 2 x devices 3" in told
    path.write_text("namespace: a\nimage: b\nworker: 2\n")
    (told,) = cohort.refused(cluster_settings=str(path))
    assert "expected cluster settings in YAML, found 1 validation error" in told
    path.write_bytes(b"\xff\xfe\x00")
    (told,) = cohort.refused(cluster_settings=str(path))
    assert "expected cluster settings in YAML, found" in told


def test_statistics_that_are_none_are_refused(made, tmp_path):
    (tmp_path / "statistics.json").write_text("{}")
    (told,) = made().refused(previous_statistics=str(tmp_path / "statistics.json"))
    assert "statistics.json: expected a Statistics, found" in told


def test_clinical_variables_that_no_study_has_are_refused(made, tmp_path):
    (tmp_path / "clinical.csv").write_text("Index,age,sex\n0001,,male\n0002,,\n")
    (told,) = made().refused(
        clinical=str(tmp_path / "clinical.csv"), overrides=['model.clinical=["age","sex"]']
    )
    assert "expected the clinical variables age, sex of model.clinical, found sex; run validate with" in told


def test_all_refusals_and_faulty_lines_are_told_in_one_error(made):
    cohort = made()
    with Path(cohort.labels).open("a") as file:
        file.write("0040,1\n")
    told = cohort.refused(
        recipe="none",
        model_name="a:b",
        validation_share=0.9,
        previous_statistics="/nowhere",
        tensorboard="on",
    )
    assert [line.partition(":")[0] for line in told] == [
        "recipe 'none'",
        "tensorboard",
        "model_name",
        "expected shares that leave studies to train on, got 0.9 for validation and 0.2 for the test",
        "/nowhere",
        "study 0040 (line 42)",
    ]


def test_a_line_that_may_be_mended_is_not_counted_as_lacking(made):
    cohort = made(40, 0)
    with Path(cohort.labels).open("a") as file:
        file.write(",".join(["0040", *"0" * 21]) + "\n")
    with pytest.raises(FaultyStudies, match="faults in") as caught:
        cohort.validate()
    assert "studies of the other kind" not in str(caught.value)


def test_an_unreadable_labels_csv_and_wrong_parameters_are_told_together(made, tmp_path):
    cohort = made()
    Path(cohort.labels).write_text("Index;Aneurysm\n")
    told = cohort.refused(recipe="none")
    assert [
        message in line for message, line in zip(("recipe 'none'", "found semicolons"), told, strict=True)
    ] == [
        True,
        True,
    ]


def test_a_damaged_memory_of_splits_is_refused_before_an_image_is_read(own_cohort, tmp_path):
    root = str(tmp_path / "root")
    validate(own_cohort.images, own_cohort.labels, str(tmp_path / "out"), root)
    (uri,) = storage.list_files(f"{root}/splits")
    storage.write_text(uri, storage.read_text(uri)[:-4])
    for path in Path(own_cohort.images).iterdir():
        path.write_bytes(b"")
    with pytest.raises(FaultyStudies, match=f"{uri}: expected each study's split once, found it damaged"):
        validate(own_cohort.images, own_cohort.labels, str(tmp_path / "out"), root)


def test_a_cohort_that_is_refused_leaves_no_memory_of_its_splits(own_cohort, tmp_path):
    """Studies left out may leave a split without a class; the others are free to be split otherwise."""
    lines = Path(own_cohort.labels).read_text().splitlines()
    positive = [line.split(",")[0] for line in lines[1:] if line.split(",")[1] == "1"]
    for index in positive[1:]:
        Path(own_cohort.images, f"{index}LI-A.jpg").write_bytes(b"")
    root = str(tmp_path / "root")
    with pytest.raises(FaultyStudies, match="; add studies, or split the cohort again") as caught:
        validate(
            own_cohort.images,
            own_cohort.labels,
            str(tmp_path / "out"),
            root,
            on_fault="quarantine",
            quarantine_share=0.9,
        )
    assert "an image" not in str(caught.value)
    assert storage.list_files(f"{root}/splits") == []


def test_the_studies_of_a_first_run_stay_where_they_are_when_one_joins(own_cohort, tmp_path):
    lines = Path(own_cohort.labels).read_text().splitlines()
    splits = []
    for last in range(40, 49):
        Path(own_cohort.labels).write_text("\n".join(lines[:last]) + "\n")
        made = validate(own_cohort.images, own_cohort.labels, str(tmp_path / "out"), str(tmp_path / "root"))
        splits.append(pd.read_parquet(made.labels_uri).set_index(INDEX)["split"])
    for before, after in pairwise(splits):
        pd.testing.assert_series_equal(after.loc[before.index], before)
