"""A shard of predictions: bounded memory, the model's faults told, the records read back."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from angiopipe import storage
from angiopipe.dataflow.ingest import PlannedStudy, PlannedView
from angiopipe.dataflow.score import (
    STUDIES_AT_ONCE,
    PredictionsManifest,
    ScoringPlan,
    make_predictions,
    plan_scoring,
    read_predictions,
    score_studies,
    write_tables,
)
from angiopipe.faults import FaultyStudies
from angiopipe.registry.request import FaultyRequest
from angiopipe.study import LABELS, VIEW_NAMES

IMAGE_BYTES = 200_000
IN_MEMORY = ("--runner=FnApiRunner",)


class FirstByte:
    """A model as simple as can be: the first byte of LI-A over 255 is every probability."""

    def __init__(self, locations: bool):
        self.locations = locations

    def predict(self, data: pd.DataFrame, params: dict) -> pd.DataFrame:
        first = np.array([content[0] / 255 for content in data["LI-A"]], np.float32)
        table = pd.DataFrame(dict.fromkeys(LABELS, first), index=data.index)
        if not self.locations:
            table[list(LABELS[1:])] = np.nan
        table["decision"] = (first >= 0.5).astype(int)
        table["missing_views"] = ""
        return table


@dataclass(frozen=True)
class Load:
    locations: bool = True

    def __call__(self) -> FirstByte:
        return FirstByte(self.locations)


def planned(folder, studies: int) -> tuple[PlannedStudy, ...]:
    result = []
    for number in range(studies):
        views = []
        for view in VIEW_NAMES:
            content = bytes([number]) + view.encode() * (IMAGE_BYTES // 4)
            path = folder / f"{number}{view}.jpg"
            path.write_bytes(content)
            views.append(PlannedView(str(path), hashlib.sha256(content).hexdigest()))
        result.append(PlannedStudy(str(number), (), tuple(views)))
    return tuple(result)


def test_a_worker_holds_a_few_studies_however_many_a_shard_has(tmp_path):
    plan = ScoringPlan("shard", "scored", planned(tmp_path, 5 * STUDIES_AT_ONCE))
    next(score_studies(ScoringPlan("first", "scored", plan.studies[:1]), Load(), "youden"))  # Imports.
    tracemalloc.start()
    count = sum(1 for _ in score_studies(plan, Load(), "youden"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    at_once = STUDIES_AT_ONCE * len(VIEW_NAMES) * IMAGE_BYTES
    assert count == 5 * STUDIES_AT_ONCE
    assert at_once < peak < 2.5 * at_once  # The old ones go while the new ones come.


def test_changed_images_are_all_named_and_nothing_is_scored_after_them(tmp_path):
    studies = planned(tmp_path, 10)
    for number in (2, 9):
        (tmp_path / f"{number}LI-A.jpg").write_bytes(b"other")
    with pytest.raises(FaultyStudies, match="2 images cannot be scored") as caught:
        list(score_studies(ScoringPlan("shard", "scored", studies), Load(), "youden"))
    assert [fault.split(" (")[0] for fault in caught.value.faults] == [
        "study 2, view LI-A", "study 9, view LI-A",
    ]  # fmt: skip


class Refusing(FirstByte):
    """A model that refuses the request as a whole, and no study of it."""

    def predict(self, data: pd.DataFrame, params: dict) -> pd.DataFrame:
        raise FaultyRequest(f"operating point {params['operating_point']!r}: expected one of youden")


def test_a_refusal_that_names_no_study_is_no_success(tmp_path):
    studies = planned(tmp_path, 1)
    with pytest.raises(FaultyStudies, match="operating point 'nice': expected one of youden"):
        list(score_studies(ScoringPlan("shard", "scored", studies), lambda: Refusing(True), "nice"))


class Older(FirstByte):
    """A model whose every probability is the age over a hundred; 1 where it is unknown."""

    def predict(self, data: pd.DataFrame, params: dict) -> pd.DataFrame:
        assert [*VIEW_NAMES, "age"] == list(data)
        ages = data["age"].fillna(100) / 100
        return pd.DataFrame({**dict.fromkeys(LABELS, ages), "decision": 1, "missing_views": ""})


@dataclass(frozen=True)
class LoadOlder:
    def __call__(self) -> Older:
        return Older(locations=True)


def test_the_model_is_told_the_variables_it_takes(tmp_path):
    views = pd.DataFrame([], columns=["Index", "view", "uri", "sha256", "frame"])
    known = {"a": (63, 1, -1, -1, -1, -1), "b": (-1,) * 6}
    (plan,) = plan_scoring(pd.DataFrame({"Index": ["a", "b"]}), views, known, ("age",))
    ages = [json.loads(record)["probabilities"][0] for record in score_studies(plan, LoadOlder(), "youden")]
    assert ages == [0.63, 1.0]


@pytest.mark.parametrize("locations", [True, False])
def test_the_tables_are_in_the_lists_order_across_shards(tmp_path, monkeypatch, locations):
    monkeypatch.setattr("angiopipe.dataflow.score.STUDIES_PER_SHARD", 3)
    studies = planned(tmp_path, 7)[::-1]
    views = pd.DataFrame(
        [
            (study.index, name, view.uri, view.sha256, None)
            for study in studies
            for name, view in zip(VIEW_NAMES, study.views, strict=True)
        ],
        columns=["Index", "view", "uri", "sha256", "frame"],
    )
    plans = plan_scoring(pd.DataFrame({"Index": [study.index for study in studies]}), views)
    assert [len(plan.studies) for plan in plans] == [3, 3, 1]
    described = PredictionsManifest(
        fingerprint="", data_fingerprint="d", location="", shards=(), model_name="m", model_version="1",
        weights_sha256=str(locations), operating_point="youden", output_uri=str(tmp_path / "output.csv"),
        predictions_uri=str(tmp_path / "predictions.csv"),
    )  # fmt: skip
    made = make_predictions(plans, Load(locations), described, str(tmp_path / "root"), IN_MEMORY)
    write_tables(made, location_threshold=5 / 255)
    assert [study.index for study in read_predictions(made)] == list("6543210")
    lines = storage.read_text(made.output_uri).splitlines()
    assert lines[0] == ",".join(["Index", *LABELS])
    decided = ["1"] * 21 if locations else [""] * 21  # No decision is not a 0.
    assert lines[1] == ",".join(["6", str(np.float32(6 / 255)), *decided])
    assert lines[7] == ",".join(["0", "0.0", *(["0"] * 21 if locations else decided)])
    assert storage.read_text(made.predictions_uri).splitlines()[7].split(",")[-8:] == [
        view.sha256 for view in studies[-1].views
    ]
