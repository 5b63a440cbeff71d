"""What a search's trials came to."""

from __future__ import annotations

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from angiopipe.training.search_trials import counted, is_interrupted

_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


def best_trial(study: optuna.Study) -> FrozenTrial:
    """The complete trial of the highest validation AUROC; of those, the one of the lowest loss.

    Raises:
      ValueError: none is complete; tells why each was not.
    """
    complete = [trial for trial in counted(study) if trial.state is TrialState.COMPLETE]
    if not complete:
        reasons = [f"trial {t.number}: {t.user_attrs.get('reason', t.state.name)}" for t in counted(study)]
        raise ValueError(
            "\n  ".join(["expected a trial that came to its end, found none; change the space:", *reasons])
        )
    return max(complete, key=lambda t: (t.values[0], -t.user_attrs["validation_loss"], -t.number))


def table(study: optuna.Study) -> pd.DataFrame:
    """One row a trial: state, validation AUROC, best epoch, epochs, seconds, reason, its fields' values."""
    return pd.DataFrame([_row(trial) for trial in study.get_trials(deepcopy=False)])


def _row(trial: FrozenTrial) -> dict[str, object]:
    told = trial.user_attrs
    reported = trial.intermediate_values
    fields = dict(override.split("=", 1) for override in told.get("overrides", []))
    return {
        "trial": trial.number,
        "state": "interrupted" if is_interrupted(trial) else _STATES[trial.state],
        "validation_auroc": max(reported.values(), default=None),
        "best_epoch": told.get("best_epoch"),
        "epochs": max(reported, default=0),
        "seconds": told.get("training_seconds"),
        "reason": told.get("reason", ""),
        **fields,
    }
