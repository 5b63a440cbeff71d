"""Whether a version that was champion can still be served, without any patient's images."""

from __future__ import annotations

import numpy as np
from mlflow import MlflowClient

from angiopipe.registry.consumer import Consumer
from angiopipe.registry.examine import TOLERANCE
from angiopipe.registry.verdict import recorded


def recheck(client: MlflowClient, tracking_uri: str, model_name: str, version: int) -> None:
    """Loads a version as a consumer does and asks it the made-up study it was registered with.

    Its answer must be the one that its gate noted; a version from before the gate need only answer.

    Raises:
      UnservableModel: it cannot be loaded or does not answer.
      ValueError: it answers something else.
    """
    with Consumer(f"models:/{model_name}/{version}", tracking_uri) as consumer:
        answer = consumer.answer_example()[0]
    noted = _noted(client, model_name, version)
    if noted is None:
        return
    apart = np.abs(answer - noted)
    if (np.isnan(answer) != np.isnan(noted)).any() or np.nanmax(apart) > TOLERANCE:
        raise ValueError(
            f"{model_name}, version {version}: expected the answer to its example that its gate noted, found "
            f"one that differs by {np.nanmax(apart):.6f}: its files or its environment changed; "
            "promote another version"
        )


def _noted(client: MlflowClient, model_name: str, version: int) -> np.ndarray | None:
    verdict = recorded(client, model_name, version)
    example = verdict.serving_check.example if verdict else ()
    return np.array([np.nan if value is None else value for value in example]) if example else None
