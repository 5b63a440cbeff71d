"""A packaged model that is told of the patient: its columns, their faults, and the gate that asks it."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from angiopipe import models
from angiopipe.clinical import NAMES, encode
from angiopipe.imaging.preprocess import preprocess_study
from angiopipe.registry import consumer_process, package
from angiopipe.registry.experimental import COLUMNS
from angiopipe.study import ANEURYSM, LABELS, VIEW_NAMES
from tests.packaged_model import Packaged, package_model


@pytest.fixture(scope="module")
def packaged(tmp_path_factory) -> Packaged:
    return package_model(tmp_path_factory.mktemp("told"), overrides=['model.clinical=["age","sex"]'])


@pytest.fixture(scope="module")
def model(packaged):
    return mlflow.pyfunc.load_model(str(packaged.folder))


@pytest.fixture(scope="module")
def row(cohort) -> dict[str, bytes]:
    paths = sorted(Path(cohort.images).iterdir())[:8]
    return {name: path.read_bytes() for name, path in zip(VIEW_NAMES, paths, strict=True)}


def test_it_answers_as_the_network_told_the_same(packaged, model, row):
    patients = [{"age": 71, "sex": "female"}, {"age": 30.0, "sex": "male"}, {"age": None, "sex": None}]
    answers = model.predict(pd.DataFrame([{**row, **patient} for patient in patients]))
    views, present = preprocess_study(list(row.values()), packaged.model.recipe.preprocessing)
    known = [encode(values) for values in ((71, 0, *(-1,) * 4), (30, 1, *(-1,) * 4), ())]
    study = {"views": np.stack([views] * 3), "present": np.stack([present] * 3), "clinical": np.stack(known)}
    logits = np.asarray(models.load(packaged.model)(study))
    expected = models.probabilities(logits, packaged.evaluation.calibration)
    np.testing.assert_allclose(answers[list(LABELS)], expected, atol=1e-6)
    assert len(set(answers[ANEURYSM])) == 3


@pytest.mark.parametrize("unknown", [None, "", float("nan"), pd.NA])
def test_null_empty_and_no_column_are_unknown(model, row, unknown):
    told = model.predict(pd.DataFrame([{**row, "age": unknown, "sex": None}]))
    np.testing.assert_array_equal(told[list(LABELS)], model.predict(pd.DataFrame([row]))[list(LABELS)])
    known = model.predict(pd.DataFrame([{**row, "age": "64"}]))
    assert known[ANEURYSM].item() != told[ANEURYSM].item()


def test_faults_of_rows_are_told_with_those_of_the_images(model, row):
    rows = pd.DataFrame([{**row, "age": 200, "sex": "F"}, {**row, "RV-A": b"no image", "sex": "male"}])
    with pytest.raises(ValueError, match="3 faults in 2 studies") as caught:
        model.predict(rows)
    told = str(caught.value)
    assert "row 0, column age: expected years from 0 to 120 in age, found 200" in told
    assert "row 0, column sex: expected female or male in sex, found 'F'" in told
    assert "row 1, view RV-A: " in told
    with pytest.raises(ValueError, match="column 'smoking' is no view, and none of mm_per_pixel, .* sex"):
        model.predict(pd.DataFrame([{**row, "smoking": 1}]))


def test_columns_are_in_the_signature_of_a_model_told_of_them_alone(model):
    names = model.metadata.signature.inputs.input_names()
    assert names == [*VIEW_NAMES, *COLUMNS, "sex"]
    assert package.signature().inputs.input_names() == [*VIEW_NAMES, *COLUMNS]


def test_the_gate_tells_each_model_what_it_takes(tmp_path, model, row):
    other = mlflow.pyfunc.load_model(str(package_model(tmp_path).folder))
    rows = [{**row, "age": 71, "sex": "female", "smoking": 1}]
    question = {"rows": rows, "labels": list(LABELS), "optional": NAMES}
    expected = model.predict(pd.DataFrame([{**row, "age": 71, "sex": "female"}]))[list(LABELS)]
    np.testing.assert_array_equal(consumer_process.ask(model, question), expected.to_numpy(float))
    expected = other.predict(pd.DataFrame([row]))[list(LABELS)]
    np.testing.assert_array_equal(consumer_process.ask(other, question), expected.to_numpy(float))
