"""Which MLflow, which experiment, which run: by parameter, by MLflow's own variables, or ours."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from mlflow import MlflowClient
from mlflow.entities import Run, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE, MLFLOW_USER

from angiopipe import defaults, sqlite, storage
from angiopipe.environment import code
from angiopipe.registry.login import MlflowRefused, user_of
from angiopipe.registry.patience import MlflowAway, Patience, shown
from angiopipe.step import run_folder

RUN_FOLDER_TAG = "run_folder"
WEIGHTS_TAG = "weights_sha256"


class LostRun(ValueError):
    """The run that a step was filling is not in MLflow any more."""


@dataclass(frozen=True)
class RunKey:
    """What makes a rerun: the same run under the same data root, with the same model.

    Attributes:
      data_root, run_id: name the run's folder.
      weights_sha256: of the model to be logged.
    """

    data_root: str
    run_id: str
    weights_sha256: str

    @property
    def folder(self) -> str:
        return run_folder(self.data_root, self.run_id)

    @property
    def tags(self) -> dict[str, str]:
        """They find the run, its model and its version again."""
        return {RUN_FOLDER_TAG: self.folder, WEIGHTS_TAG: self.weights_sha256}


@dataclass(frozen=True)
class Tracking:
    """An MLflow run under way.

    Attributes:
      client: of the server or database.
      ask: through it everything is asked.
      key: of the run.
      run: as it was when it was opened.
      is_ours: whether it is ours to end; an injected one ends with whoever started it.
    """

    client: MlflowClient
    ask: Patience
    key: RunKey
    run: Run
    is_ours: bool

    @property
    def run_id(self) -> str:
        return str(self.run.info.run_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the run if it is ours; one that MLflow could not be told more about stays as it is.

        Raises:
          LostRun: MLflow does not know it any more.
        """
        if isinstance(error, MlflowAway):
            return
        # Of a run that is not there a server with passwords says that nobody may change it.
        if isinstance(error, (ValueError, MlflowRefused)) and self._is_lost():
            raise LostRun(
                f"MLflow at {shown(self.ask.uri)}: expected the run {self.run_id}, which this step had begun, found none: "
                "its database was restored to an earlier point, or the run was deleted; start the step again with the "
                f"same run id ({self.key.run_id}), and it registers the model anew from {self.key.folder}"
            ) from error
        if not self.is_ours:
            return
        if error is None:
            self.ask("ending the run", lambda: self._end(RunStatus.FINISHED))
            return
        with suppress(Exception):  # The error under way says more than one about its record.
            self._end(RunStatus.FAILED)

    def _is_lost(self) -> bool:
        """Found out by a search: asked for it by its id, a server with passwords answers as if it were another's."""
        info = self.run.info
        try:
            return not self.client.search_runs([info.experiment_id], f"attributes.run_id = '{info.run_id}'")
        except Exception as error:
            return getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST"

    def _end(self, status: int) -> None:
        self.client.set_terminated(self.run_id, RunStatus.to_string(status))


def open_run(
    uri: str, patience: float, key: RunKey, experiment: str = "", started_ago: float = 0.0
) -> Tracking:
    """The run to log to: the one MLFLOW_RUN_ID names, else the one begun before, else a new one.

    Args:
      uri: of the MLflow server or database.
      patience: seconds that it may be silent.
      key: of the run.
      experiment: by name; empty is MLFLOW_EXPERIMENT_ID, MLFLOW_EXPERIMENT_NAME or the default.
      started_ago: seconds since the run's first step began.

    Raises:
      MlflowAway: MLflow stays silent.
      MlflowRefused: it does not let us in.
      ValueError: MLFLOW_RUN_ID or MLFLOW_EXPERIMENT_ID names nothing there.
    """
    ask = Patience(
        uri,
        patience,
        "what it has taken is kept: when MLflow is back, start the step again with the same run id "
        f"({key.run_id}), and it goes on with the same MLflow run",
    )
    client, injected = ask("opening its database", lambda: _client(uri)), os.environ.get("MLFLOW_RUN_ID", "")
    if injected:
        run = ask(f"looking for the run MLFLOW_RUN_ID={injected}", lambda: client.get_run(injected))
        return Tracking(client, ask, key, run, is_ours=False)
    experiment_id = _experiment_id(client, ask, experiment, key.data_root)
    started = int(1000 * (time.time() - started_ago))

    def find_or_create() -> Run:
        found = _begun_before(client, experiment_id, key)
        if found is None:
            return client.create_run(experiment_id, started, {**key.tags, **_source_tags(uri)}, key.run_id)
        client.update_run(found.info.run_id, RunStatus.to_string(RunStatus.RUNNING))
        return found

    return Tracking(client, ask, key, ask("starting a run", find_or_create), is_ours=True)


def _client(uri: str) -> MlflowClient:
    """A client; an SQLite database is made first if there is none."""
    database = sqlite.path_of(uri)
    if database:
        sqlite.make_whole(database, lambda made: MlflowClient(sqlite.uri_of(made)).search_experiments())
        database.open("r+b").close()  # What cannot be opened MLflow would try again for two minutes.
    return MlflowClient(uri)


def _begun_before(client: MlflowClient, experiment_id: str, key: RunKey) -> Run | None:
    """The run of an earlier attempt at this step, if there is one."""
    # The folder may hold a quotation mark, which MLflow's filters cannot express.
    same_weights = client.search_runs(
        [experiment_id], f"tags.{WEIGHTS_TAG} = '{key.weights_sha256}'", order_by=["attributes.start_time"]
    )
    return next((run for run in same_weights if run.data.tags.get(RUN_FOLDER_TAG) == key.folder), None)


def _experiment_id(client: MlflowClient, ask: Patience, name: str, data_root: str) -> str:
    """The experiment's id; it is made if need be, on SQLite with its artefacts under the data root."""
    given = os.environ.get("MLFLOW_EXPERIMENT_ID", "")
    if given and not name:
        looking = f"looking for the experiment MLFLOW_EXPERIMENT_ID={given}"
        return str(ask(looking, lambda: client.get_experiment(given)).experiment_id)
    wanted = name or os.environ.get("MLFLOW_EXPERIMENT_NAME", "") or defaults.EXPERIMENT
    beside_database = ask.uri.startswith("sqlite") and storage.is_local(data_root)
    location = storage.plain_uri(storage.join(data_root, "mlartifacts")) if beside_database else None

    def find_or_create() -> str:
        found = client.get_experiment_by_name(wanted)
        if found:
            return str(found.experiment_id)
        try:
            return str(client.create_experiment(wanted, location))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return str(client.get_experiment_by_name(wanted).experiment_id)  # Another process was faster.

    return ask(f"opening the experiment {wanted}", find_or_create)


def _source_tags(uri: str) -> dict[str, str]:
    """What MLflow's pages show as a run's source."""
    tags = {
        MLFLOW_USER: user_of(uri),
        MLFLOW_SOURCE_NAME: "angiopipe",
        MLFLOW_SOURCE_TYPE: "JOB",
        MLFLOW_GIT_COMMIT: code()["commit"].removesuffix("-modified"),
    }
    return {name: value for name, value in tags.items() if value}
