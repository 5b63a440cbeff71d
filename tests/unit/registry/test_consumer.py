"""A registered model in a process of its own: whose code runs, and how failures are told."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest

from angiopipe.registry.consumer import Consumer, UnservableModel
from angiopipe.registry.pointed import point_mlflow_at

MODEL = """
import angiopipe, mlflow, pandas as pd
from angiopipe.study import LABELS

class Model(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        print("a library that prints")
        if model_input["LI-A"].isna().all():
            raise ValueError("no views")
        return pd.DataFrame([[angiopipe.ANSWER] * len(LABELS)] * len(model_input), columns=LABELS)

mlflow.models.set_model(Model())
"""


@pytest.fixture
def model_uri(tmp_path: Path, tracking_uri: str) -> str:
    """A model that brings another angiopipe than ours."""
    theirs = tmp_path / "code" / "angiopipe"
    theirs.mkdir(parents=True)
    (theirs / "__init__.py").write_text("ANSWER = 0.25\n")
    (theirs / "study.py").write_text("LABELS = " + repr(__import__("angiopipe.study").study.LABELS))
    (tmp_path / "model.py").write_text(MODEL)
    path = tmp_path / "saved"
    point_mlflow_at(tracking_uri)
    # Saved as code, it is not imported here, where angiopipe is ours and has no ANSWER.
    mlflow.pyfunc.save_model(
        path, python_model=str(tmp_path / "model.py"), code_paths=[str(theirs)], pip_requirements=["numpy<1"]
    )
    return str(path)


@pytest.mark.slow
def test_the_models_own_code_answers_and_failures_are_told(model_uri, tracking_uri):
    with Consumer(model_uri, tracking_uri) as consumer:
        answer = consumer.answer([{"LI-A": b"1", "LI-B": None}, {"LI-A": b"2", "LI-B": None}])
        assert answer.shape == (2, 22)
        assert (answer == 0.25).all()
        with pytest.raises(UnservableModel, match="failed on studies: ValueError: no views"):
            consumer.answer([{"LI-A": None}])
        assert (consumer.answer([{"LI-A": b"3"}]) == 0.25).all()
        assert consumer.strange_packages()[0].startswith("numpy (current: ")
    consumer = Consumer(f"{model_uri}/nothing", tracking_uri)
    with consumer, pytest.raises(UnservableModel, match="could not be loaded"):
        consumer.answer([{"LI-A": b"1"}])
    assert consumer._process.returncode is not None
