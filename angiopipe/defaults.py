"""Defaults that the command line, the pipelines and the library share; importing it costs nothing."""

BEAM_ARGS = ("--runner=FnApiRunner",)
"""Beam's `DirectRunner` would try to download another runner first, so the runner is named."""

VALIDATION_SHARE = 0.15
TEST_SHARE = 0.2

MODEL_NAME = "aneurysm-detector"
CHAMPION = "champion"
EXPERIMENT = "angiopipe"

MLFLOW_PATIENCE = 300.0
"""Seconds that MLflow may be silent before the step that asks it fails."""

QUARANTINE_SHARE = 0.01
"""At most this share of the studies may be left out because of their faults, where that is allowed."""

DRIFT_THRESHOLD = 0.25
"""A view's population stability index from which a scheduled run stops; 0.25 is customary for a major shift."""

START_DEADLINE = 300.0
"""Seconds that the workers of a training run wait for one another to start."""

OPERATING_POINT = "youden"
"""Which of the operating points decides where one decision is asked for."""

SEARCH_TRIALS = 20
"""How many settings a hyper-parameter search tries."""

SEARCH_STARTUP_TRIALS = 5
"""So many of them are drawn at random and trained to their end, as a measure for the others."""
