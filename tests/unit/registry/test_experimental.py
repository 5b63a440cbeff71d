"""The predictor's experimental columns: sizes where a spacing is known, PHASES where all is."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from angiopipe import models
from angiopipe.evaluation.phases import likeliest, phases
from angiopipe.evaluation.size import estimate_mm
from angiopipe.imaging.preprocess import preprocess_study
from angiopipe.records.manifest import ModelManifest
from angiopipe.registry import package
from angiopipe.registry.experimental import ANSWERS, COLUMNS, POINTS, RISK, SIZE, read_known
from angiopipe.storage import file_sha256
from angiopipe.study import LABELS, LOCATIONS, VIEW_NAMES
from tests.packaged_model import make_manifests

SPACING = 1.6
"""A view of 96 pixels then shows a head."""

PATIENT = {"age": 71, "hypertension": 1, "earlier_bleeding": 0, "population": "japanese"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> ModelManifest:
    """A model whose maps are above even odds on a few positions only, and its package beside it."""
    folder = tmp_path_factory.mktemp("octoview")
    manifest, evaluation = make_manifests(folder)
    network = models.load(manifest)
    bias = network.get_layer("evidence").anything.bias
    bias.assign(bias - 0.9)
    network.save_weights(folder / "model.weights.h5")
    manifest = manifest.model_copy(update={"weights_sha256": file_sha256(folder / "model.weights.h5")})
    with package.contents(manifest, evaluation) as contents:
        mlflow.pyfunc.save_model(folder / "package", **contents)
    return manifest


@pytest.fixture(scope="module")
def model(trained):
    return mlflow.pyfunc.load_model(f"{trained.location}/package")


@pytest.fixture(scope="module")
def rows(cohort) -> list[dict[str, object]]:
    paths = sorted(Path(cohort.images).iterdir())
    contents = [path.read_bytes() for path in paths[: 8 * 6]]
    return [dict(zip(VIEW_NAMES, contents[8 * study :], strict=False)) for study in range(6)]


@pytest.fixture(scope="module")
def plain(model, rows) -> pd.DataFrame:
    return model.predict(pd.DataFrame(rows))


def with_known(rows, **known) -> pd.DataFrame:
    return pd.DataFrame(rows).assign(**known)


def test_a_size_comes_out_where_a_spacing_is_known_and_no_probability_changes(trained, model, rows, plain):
    spacings = [SPACING, None, 2 * SPACING, SPACING, "0.5", float("nan")]
    answer = model.predict(with_known(rows, mm_per_pixel=spacings))
    pd.testing.assert_frame_equal(answer[list(plain)[:-3]], plain[list(plain)[:-3]], check_exact=True)
    maps = models.evidence(models.load(trained))
    for row, spacing, found in zip(rows, spacings, answer[SIZE], strict=True):
        views, present = preprocess_study([row[view] for view in VIEW_NAMES], trained.recipe.preprocessing)
        evidence = maps({"views": views[None], "present": present[None]}).numpy()[0, ..., 0]
        expected = estimate_mm(evidence, present, [96] * 8, float(spacing or "nan"))
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert answer[SIZE].notna().tolist() == [True, False, True, True, True, False]
    assert plain[list(ANSWERS)].isna().all(axis=None)


def test_a_larger_picture_of_a_finer_spacing_shows_the_same_sac(model, rows):
    import cv2

    small = cv2.imdecode(np.frombuffer(rows[0]["LI-A"], np.uint8), 0)
    large = cv2.resize(small, (192, 192), interpolation=cv2.INTER_NEAREST)
    png = {name: cv2.imencode(".png", view)[1].tobytes() for name, view in {"s": small, "l": large}.items()}
    studies = [dict.fromkeys(VIEW_NAMES, png["s"]), dict.fromkeys(VIEW_NAMES, png["l"])]
    sizes = model.predict(with_known(studies, mm_per_pixel=[SPACING, SPACING / 2]))[SIZE]
    assert sizes[0] > 0
    assert sizes[1] == pytest.approx(sizes[0], rel=0.02)


def test_phases_is_that_of_the_likeliest_location_where_all_is_known(model, rows):
    unknown = [{**PATIENT, name: None} for name in PATIENT]
    patients = pd.DataFrame([PATIENT, *unknown, PATIENT]).to_dict("list")
    answer = model.predict(with_known(rows, mm_per_pixel=[SPACING] * 5 + [None], **patients))
    first = answer.iloc[0]
    location = likeliest({name: float(first[name]) for name in LOCATIONS})
    by_hand = phases("japanese", True, 71, first[SIZE], False, location)
    assert (first[POINTS], first[RISK]) == (by_hand.points, by_hand.five_year_risk)
    assert by_hand.points >= 5
    assert answer[[POINTS, RISK]].iloc[1:].isna().all(axis=None)
    assert answer[SIZE].notna().tolist() == [True] * 5 + [False]


def test_phases_is_not_asked_about_a_study_without_an_aneurysm(model, rows):
    known = with_known(rows[:1], mm_per_pixel=SPACING, **PATIENT)
    (answer,) = model.predict(known, params={"operating_point": "sensitivity_90"}).to_dict("records")
    assert answer["decision"] == 0
    assert np.isnan(answer[POINTS])
    assert answer[SIZE] > 0


def test_faults_beside_the_views_are_told_with_theirs(model, rows):
    known = with_known(
        [{**rows[0], "LI-A": b"broken"}, *rows[1:4]],
        mm_per_pixel=[0.4, 0, "wide", 430],
        age=[1, 150, 70, 1],
        population=["finnish", "finnish", "martian", None],
        hypertension=[True, 0, 1, "maybe"],
    )
    with pytest.raises(ValueError, match="7 faults in 4 studies; nothing was scored:") as caught:
        model.predict(known)
    lines = [line.strip() for line in str(caught.value).splitlines()[1:]]
    for line, (where, what) in zip(lines, [
        ("row 0, view LI-A: ", "found 6 bytes"),
        ("row 1, column mm_per_pixel: ", "expected millimetres, above 0 and at most 5, found 0; leave"),
        ("row 1, column age: ", "expected years from 0 to 120 in age, found 150"),
        ("row 2, column mm_per_pixel: ", "found 'wide'"),
        ("row 2, column population: ", "found 'martian'"),
        ("row 3, column mm_per_pixel: ", "found 430"),
        ("row 3, column hypertension: ", "found 'maybe'"),
    ], strict=True):  # fmt: skip
        assert line.startswith(where)
        assert what in line


@pytest.mark.parametrize("unknown", [None, "", " ", float("nan"), pd.NA, np.float32("nan")])
def test_what_is_empty_is_unknown(unknown):
    known = read_known(pd.DataFrame([dict.fromkeys(COLUMNS, unknown)], dtype=object))
    assert np.isnan(known.mm_per_pixel).all()
    assert set(known.patients[0].values()) == {-1}
    assert not known.faults


@pytest.mark.parametrize("spacing", [0, -0.4, float("inf"), True, "0,4", [0.4], 5.1])
def test_a_spacing_is_millimetres_above_zero(spacing):
    known = read_known(pd.DataFrame({"mm_per_pixel": pd.Series([0.4, spacing], dtype=object)}))
    assert list(known.faults) == [1]
    assert known.mm_per_pixel[0] == 0.4


def test_a_server_gives_null_for_what_is_not_known(model, rows, monkeypatch):
    import base64

    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
    sent = {name: base64.b64encode(content).decode() for name, content in rows[0].items()}
    known = pd.DataFrame([{**sent, "mm_per_pixel": SPACING, **PATIENT}, {**sent, "mm_per_pixel": None}])
    whole, nothing = model.predict(known).to_dict("records")
    assert whole[SIZE] > 0
    assert whole[POINTS] >= 5
    assert [nothing[name] for name in ANSWERS] == [None] * 3


def test_the_signature_names_them(model, plain):
    signature = model.metadata.signature
    optional = {column.name: column.required for column in signature.inputs}
    assert [optional[name] for name in COLUMNS] == [False] * 5
    answered = {column.name: column for column in signature.outputs}
    assert list(plain) == [*LABELS, "decision", "operating_point", "missing_views", *ANSWERS]
    assert [plain[name].dtype for name in ANSWERS] == [answered[name].type.to_numpy() for name in ANSWERS]
    assert not any(answered[name].required for name in ANSWERS)
