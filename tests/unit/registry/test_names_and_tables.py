"""What the registry reads back from CSV, and which names it can live with."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.utils.models import _parse_model_uri

from angiopipe.evaluation.predictions import Predictions, predictions_table, table_csv
from angiopipe.registry.answers import read_answers
from angiopipe.rules import LONGEST_MODEL_NAME, check_model_name
from angiopipe.study import LABELS, VIEW_NAMES
from tests.unit.cohort.made_up import SPELLINGS


def predicted(indices, split="test", locations=True) -> Predictions:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(len(indices), len(LABELS))).astype(np.float32)
    if not locations:
        logits[:, 1:] = np.nan
    labels = rng.integers(0, 2, (len(indices), len(LABELS)), dtype=np.uint8)
    present = np.ones((len(indices), len(VIEW_NAMES)), np.uint8)
    present[0, :3] = 0
    return Predictions(split, tuple(indices), labels, logits, present, np.full((len(indices), 8, 2), 64))


@pytest.mark.parametrize("locations", [True, False])
def test_answers_are_those_of_the_evaluation_whatever_an_index_spells(locations):
    test = predicted(SPELLINGS, locations=locations)
    content = table_csv(predictions_table((predicted(["1", "2"], "validation"), test))).encode()
    answers = read_answers(content)
    assert answers.indices == SPELLINGS
    np.testing.assert_array_equal(answers.labels, test.labels)
    np.testing.assert_array_equal(answers.probabilities.astype(np.float32), test.probabilities)
    assert answers.of(tuple(reversed(SPELLINGS))).of(SPELLINGS).indices == SPELLINGS


def test_an_index_of_digits_keeps_its_zeros_beside_others_of_digits():
    content = table_csv(predictions_table((predicted(["007", "010"]),))).encode()
    assert read_answers(content).indices == ("007", "010")


@pytest.mark.parametrize("cut", [-1, -30, 60, 5])
def test_predictions_that_lost_their_end_are_refused(cut):
    content = table_csv(predictions_table((predicted(["1", "2", "3"]),))).encode()
    if cut == -1:
        assert read_answers(content[:cut]).indices == ("1", "2", "3")
        return
    with pytest.raises(
        ValueError,
        match="expected it as it was written, found it damaged; restore it, or run",
    ):
        read_answers(content[:cut])


def test_a_word_among_probabilities_is_told_with_its_line():
    table = predictions_table((predicted(["1", "2"]),)).astype({"probability_BA": object})
    table.loc[1, "probability_BA"] = "high"
    with pytest.raises(ValueError, match="line 3: expected a number in probability_BA, found 'high'"):
        read_answers(table_csv(table).encode())


def test_the_table_is_what_pandas_would_read_where_pandas_reads_it_right(tmp_path):
    content = table_csv(predictions_table((predicted(["a", "b"]),)))
    (tmp_path / "predictions.csv").write_text(content)
    expected = pd.read_csv(tmp_path / "predictions.csv", float_precision="round_trip")
    columns = [f"probability_{label}" for label in LABELS]
    np.testing.assert_array_equal(read_answers(content.encode()).probabilities, expected[columns].to_numpy())


TAKEN = [
    "a",
    "aneurysm-detector",
    "aneurysm detector (2)",
    "동맥류",
    "a.b",
    "a#1",
    "50%",
    'a"b',
    "a@b",
    "-",
    "a\\b",
]
TAKEN.append("x" * LONGEST_MODEL_NAME)
REFUSED = [
    "",
    " ",
    "a/b",
    "a:b",
    "/",
    ".",
    "..",
    "../a",
    "a/../b",
    "..a",
    "./a",
    "a//b",
    "a'b",
    "a?b",
    "a\nb",
    "a\tb",
]
REFUSED.append("x" * (LONGEST_MODEL_NAME + 1))


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    return MlflowClient(f"sqlite:///{tmp_path_factory.mktemp('names')}/mlflow.db")


def works(client: MlflowClient, name: str) -> bool:
    """Whether MLflow takes a name, and finds it again by all ways that the registry goes."""
    try:
        client.create_registered_model(name)
        found = client.search_model_versions(f"name = '{name}'")
        uris = [_parse_model_uri(uri) for uri in (f"models:/{name}@champion", f"models:/{name}/1")]
    except MlflowException:
        return False
    return found == [] and all(uri.name == name for uri in uris) and len(f"{name}-ledger") <= 256


@pytest.mark.parametrize("name", [*TAKEN, *REFUSED])
def test_the_names_refused_ahead_are_those_that_do_not_work(client, name):
    if works(client, name):
        check_model_name(name)
        assert name in TAKEN
    else:
        with pytest.raises(ValueError, match="model_name: expected 1 to 249 characters"):
            check_model_name(name)
