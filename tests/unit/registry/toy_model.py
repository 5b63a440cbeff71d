"""A registered model without TensorFlow: it reads a study's answer out of its first view.

A view is JSON here: what is true of the study, and noise of the study's own for each label. How well the
model knows the truth is its `skill`. It is a model of another kind than ours, loaded from the registry
like any other, so the gate sees only what a consumer sees.
"""

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd


class ToyModel(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.settings = json.loads(Path(context.artifacts["settings"]).read_text())

    def predict(self, context, model_input, params=None):
        rows = []
        for views in model_input["LI-A"]:
            study = json.loads(bytes(views))
            if study["index"] == self.settings.get("fails_on"):
                raise ValueError(f"study {study['index']} is too much for me")
            skill = self.settings["skill"]
            noise = np.random.default_rng(study["seed"] + self.settings["seed"]).normal(
                0, 1, len(study["labels"])
            )
            rows.append(1 / (1 + np.exp(-(noise + skill * np.array(study["labels"])))))
        return pd.DataFrame(rows, columns=self.settings["labels"]) + self.settings.get("offset", 0.0)


mlflow.models.set_model(ToyModel())
