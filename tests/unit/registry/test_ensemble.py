"""An ensemble in the registry's package answers with the mean of its members."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from angiopipe import models
from angiopipe.evaluation.size import estimate_mm
from angiopipe.imaging.preprocess import preprocess_study
from angiopipe.records.manifest import Member, ModelManifest, ensemble_sha256
from angiopipe.registry import package
from angiopipe.registry.experimental import SIZE
from angiopipe.registry.run_log import epoch_metrics
from angiopipe.storage import file_sha256
from angiopipe.study import LABELS, VIEW_NAMES
from tests.packaged_model import make_manifests


@pytest.fixture
def members(tmp_path):
    """A manifest of two members and the members themselves."""
    model, evaluation = make_manifests(tmp_path / "trained")
    networks, named = [], []
    for number in range(2):
        network = models.load(model)
        rng = np.random.default_rng(number)
        network.set_weights([w + rng.normal(0, 0.1, w.shape) for w in network.get_weights()])
        _look_at_the_centre(network)
        path = tmp_path / "trained" / f"member-{number}.weights.h5"
        network.save_weights(path)
        named.append(
            Member(weights=path.name, weights_sha256=file_sha256(path), best_epoch=1, fold_auroc=0.5)
        )
        networks.append(network)
    fields = model.model_dump() | {"members": named, "weights_sha256": ensemble_sha256(named)}
    return ModelManifest.model_validate(fields), evaluation, networks


def _look_at_the_centre(network) -> None:
    """Lets the maps show a sac more likely than not in the middle of a view alone."""
    evidence = network.get_layer("evidence")
    place = np.zeros(evidence.place.shape, np.float32)
    place[:, [1, 9], 0] = 1  # the longest cosine along columns, and along rows
    evidence.place.assign(place)
    evidence.anything.bias.assign([-6.0])


def test_the_packaged_ensemble_answers_with_the_mean_of_its_members_logits(members, cohort, tmp_path):
    model, evaluation, networks = members
    # Nothing but the package may be needed.
    with package.contents(model, evaluation) as contents:
        mlflow.pyfunc.save_model(tmp_path / "package", **contents)
    Path(model.location).rename(tmp_path / "gone")
    paths = sorted(Path(cohort.images).iterdir())[:16]
    rows = [[path.read_bytes() for path in paths[:8]], [path.read_bytes() for path in paths[8:]]]
    answers = mlflow.pyfunc.load_model(str(tmp_path / "package")).predict(
        pd.DataFrame(rows, columns=list(VIEW_NAMES)).assign(mm_per_pixel=[1.6, None])
    )
    studies = [preprocess_study(row, model.recipe.preprocessing) for row in rows]
    inputs = {"views": np.stack([s[0] for s in studies]), "present": np.stack([s[1] for s in studies])}
    each = np.stack([np.asarray(network(inputs)) for network in networks])
    assert np.abs(each[0] - each[1]).max() > 1e-2
    expected = models.probabilities(each.mean(axis=0), evaluation.calibration)
    np.testing.assert_allclose(answers[list(LABELS)], expected, atol=1e-5)
    # The size is that of the mean of their maps.
    mean = np.mean([np.asarray(models.evidence(network)(inputs))[0, ..., 0] for network in networks], axis=0)
    size_mm = estimate_mm(mean, inputs["present"][0], [96] * 8, 1.6)
    np.testing.assert_allclose(answers[SIZE], [size_mm, np.nan], rtol=1e-4)
    assert size_mm > 0


def test_the_epochs_of_each_member_are_a_curve_of_their_own():
    history = pd.DataFrame(
        {"epoch": [1, 2, 1], "loss": [0.3, 0.2, 0.4], "seconds": [1.0, 2.0, 1.5], "member": [0, 0, 1]}
    )
    found = [(m.key, m.step, m.value, m.timestamp) for m in epoch_metrics(history, 1000) if "loss" in m.key]
    assert found == [
        ("member-0/epoch/loss", 1, 0.3, 2000),
        ("member-0/epoch/loss", 2, 0.2, 4000),
        ("member-1/epoch/loss", 1, 0.4, 5500),
    ]
    alone = epoch_metrics(history.drop(columns="member").head(2), 1000)
    assert {m.key for m in alone} == {"epoch/loss", "epoch/seconds"}
