"""The step from manifests to manifest, with real models and real shards."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from angiopipe import models
from angiopipe.evaluation.evaluate import evaluate
from angiopipe.evaluation.fingerprint import studies_fingerprint
from angiopipe.evaluation.operating_points import RULES
from angiopipe.evaluation.scoring import records
from angiopipe.records.manifest import EvaluationManifest, ExamplesManifest, ModelManifest
from angiopipe.storage import file_sha256
from angiopipe.training.predict import predict

Manifests = dict[str, str]


@pytest.fixture
def manifests(
    tmp_path: Path, examples_of: Callable[[str], ExamplesManifest], trained: Callable[..., ModelManifest]
) -> Callable[[str], Manifests]:
    """Writes examples and a model for a recipe; the arguments of the step."""

    def make(name: str) -> Manifests:
        examples, manifest = examples_of(name), trained(name, str(tmp_path))
        keras.utils.set_random_seed(0)
        models.build(manifest.recipe.model, examples.shape).save_weights(manifest.weights_uri)
        digest = file_sha256(Path(manifest.weights_uri))
        examples.write(str(tmp_path / "examples.json"))
        manifest.model_copy(update={"weights_sha256": digest}).write(str(tmp_path / "model.json"))
        names = {"examples": "examples.json", "model": "model.json", "out": "out.json"} | {
            "report": "page.html", "card": "card.md",
        }  # fmt: skip
        return {key: str(tmp_path / file) for key, file in names.items()} | {
            "data_root": str(tmp_path / "data")
        }

    return make


@pytest.mark.parametrize("name", ["octoview", "kium_vgg16"])
def test_evaluation_from_manifests_to_manifest(manifests: Callable[[str], Manifests], name: str) -> None:
    arguments = manifests(name)
    found = evaluate(**arguments, run_id="one")
    folder = Path(arguments["data_root"]) / "runs" / "one" / "evaluation"
    assert EvaluationManifest.read(arguments["out"]) == found
    assert EvaluationManifest.read(str(folder / "manifest.json")) == found
    assert found.location == str(folder)
    model = ModelManifest.read(arguments["model"])
    assert found.weights_sha256 == model.weights_sha256
    for kind, file in (("report", "report.html"), ("card", "card.md")):
        assert Path(arguments[kind]).read_bytes() == (folder / file).read_bytes()
    assert Path(found.card_page_uri).read_text().startswith("<!DOCTYPE html>")
    overlays = Path(found.report_uri).read_text().count("data:image/png")
    assert (overlays > 0) == (name == "octoview")
    _check_fingerprint(found, ExamplesManifest.read(arguments["examples"]))
    _check_table(pd.read_csv(found.predictions_uri), found, arguments)
    json.dumps(found.model_dump(), allow_nan=False)


def _check_table(table: pd.DataFrame, found: EvaluationManifest, arguments: Manifests) -> None:
    """The table holds what the model says, and the metrics follow from the table."""
    examples, model = ExamplesManifest.read(arguments["examples"]), ModelManifest.read(arguments["model"])
    assert table.split.value_counts().to_dict() == {"test": 33, "validation": 24}
    test = table[table.split == "test"]
    indices, labels, logits = predict(models.load(model), examples, "test", 33)
    assert test.Index.tolist() == indices
    assert np.array_equal(test.filter(like="true_"), labels)
    np.testing.assert_allclose(
        test.filter(like="probability_"), models.probabilities(logits, found.calibration), rtol=1e-4
    )
    outputs = logits.shape[1]
    np.testing.assert_allclose(test.filter(like="logit_").iloc[:, :outputs], logits, rtol=1e-4)
    assert outputs == 1 or found.calibration.locations != 1
    assert test.set_index("Index").missing_views.dropna().to_dict() == {"test-17-3": "RI-B"}
    assert found.metrics["test_auroc"] == pytest.approx(
        roc_auc_score(test.true_Aneurysm, test.probability_Aneurysm)
    )
    called = test.probability_Aneurysm >= found.operating_point("youden").threshold
    assert found.metrics["youden_sensitivity"] == called[test.true_Aneurysm == 1].mean()


def _check_fingerprint(found: EvaluationManifest, examples: ExamplesManifest) -> None:
    """The name depends on the studies alone, not on their order."""
    studies = sorted(records(examples, "test"), key=lambda study: study.index)
    labels, sha256 = np.stack([study.labels for study in studies]), [study.sha256 for study in studies]
    indices = [study.index for study in studies]
    assert found.test_fingerprint == studies_fingerprint(indices, labels, sha256)


def test_an_operating_point_is_asked_for_by_name(manifests: Callable[[str], Manifests]) -> None:
    found = evaluate(**manifests("kium_vgg16"))
    assert [point.name for point in found.operating_points] == list(RULES)
    assert found.operating_point() == found.operating_points[0]
    assert found.operating_point("sensitivity_95").threshold == found.metrics["sensitivity_95_threshold"]
    with pytest.raises(ValueError, match="'sensitivity_99': expected one of youden, sensitivity_90"):
        found.operating_point("sensitivity_99")


def test_examples_of_another_preprocessing_are_refused(manifests: Callable[[str], Manifests]) -> None:
    arguments = manifests("octoview")
    examples = ExamplesManifest.read(arguments["examples"])
    examples.model_copy(update={"preprocessing_digest": "0" * 16}).write(arguments["examples"])
    with pytest.raises(ValueError, match="preprocess the studies with the model's recipe"):
        evaluate(**arguments)
    assert not Path(arguments["out"]).exists()
    failure = Path(arguments["data_root"]) / "runs" / "local" / "failures" / "evaluate.json"
    assert json.loads(failure.read_text())["step"] == "evaluate"


def test_the_step_can_be_named_without_loading_what_it_needs() -> None:
    heavy = {"tensorflow", "keras", "sklearn", "jinja2", "cv2", "pandas"}
    code = f"import sys, angiopipe.evaluation.evaluate; print({heavy!r} & set(sys.modules) or 'none')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "none"
