"""The restore drill of docs/deploy.md: database, bucket and ledger lost one by one and brought back together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import psycopg2
import pytest
from mlflow import MlflowClient

from angiopipe.registry.aliases import CHAMPION, Aliases
from angiopipe.registry.champion import history, rollback
from angiopipe.registry.consumer import UnservableModel
from angiopipe.registry.ledger import DamagedLedger
from angiopipe.registry.promote import promote
from angiopipe.registry.register import RegistrationManifest, register
from angiopipe.registry.tracking import LostRun, RunKey, open_run
from angiopipe.registry.verify import verify
from tests import finished_run
from tests.servers.deployed import Place
from tests.servers.mlflow_server import MlflowServer
from tests.unit.infra.built import ALONE

pytestmark = [pytest.mark.servers, pytest.mark.parametrize("place", ["kind", ALONE], indirect=True)]

MODEL = "aneurysm-detector"
LogIn = Callable[..., None]


class Team:
    """Two runs, the servers, and what the people of docs/deploy.md do with them."""

    def __init__(self, server: MlflowServer, place: Place, log_in: LogIn, root: Path):
        self.server, self.place, self.log_in, self.root = server, place, log_in, root
        self.runs: dict[str, dict[str, Any]] = {}

    def register(self, run_id: str) -> RegistrationManifest:
        """The run's step; the run is there after its first."""
        self.log_in("pipeline")
        if run_id not in self.runs:
            self.runs[run_id] = finished_run.write_run(self.root, run_id, seed=len(self.runs))
        return register(**self.runs[run_id], tracking_uri=self.server.uri)

    def promote(self, version: int) -> None:
        """Without a gate, whose figures a made-up run has not."""
        self.log_in("anna")
        aliases = Aliases(MlflowClient(self.server.uri), MODEL)
        aliases.move(CHAMPION, version, "looked at it", "promote", aliases.read(CHAMPION))

    def verify(self) -> None:
        self.log_in("ben")
        verify(data_root=str(self.root), tracking_uri=self.server.uri)

    def faults(self) -> list[str]:
        with pytest.raises(ValueError, match="expected what belongs together") as caught:
            self.verify()
        print(caught.value)
        return [line.strip() for line in str(caught.value).splitlines()[1:]]

    def back_up(self) -> None:
        self.place.run("mlflow-backup", "dump")
        self.place.run("mlflow-backup", "upload")

    def restore(self) -> None:
        """The server is away until it is done."""
        self.place.run("mlflow-restore", "download")
        self.place.run("mlflow-restore", "restore")
        self.place.run("mlflow", "users")
        self.server.start()

    def lose_the_files(self) -> None:
        store, folder = fsspec.core.url_to_fs(self.place.store["MLFLOW_ARTIFACTS"], skip_instance_cache=True)
        store.rm(folder, recursive=True)

    def lose_the_database(self) -> None:
        self.server.kill()
        if self.place.overlay == ALONE:
            (self.place.mounts["/data"] / "mlflow.db").unlink()
            return
        with psycopg2.connect(f"host={self.place.postgres} user=mlflow dbname=mlflow") as connection:
            connection.cursor().execute("drop owned by mlflow cascade")
        connection.close()


@pytest.fixture
def team(server: MlflowServer, place: Place, log_in: LogIn, tmp_path: Path) -> Team:
    return Team(server, place, log_in, tmp_path)


def test_the_drill(team: Team, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    client = MlflowClient(team.server.uri)
    team.register("old")
    team.promote(1)
    team.back_up()
    team.verify()
    assert "1 versions; files, ledger, aliases and runs agree" in capsys.readouterr().out

    # The database, with a version and a move since the backup, and a run in flight.
    team.register("new")
    team.promote(2)
    team.log_in("pipeline")
    key = RunKey(str(team.root), "flying", "f" * 64)
    with pytest.raises(LostRun) as lost, open_run(team.server.uri, 60, key) as tracking:
        team.lose_the_database()
        team.restore()
        tracking.ask("logging a figure", lambda: client.log_metric(tracking.run_id, "auroc", 0.5))
    assert "its database was restored to an earlier point" in str(lost.value)
    assert "start the step again with the same run id (flying)" in str(lost.value)
    with open_run(team.server.uri, 60, key) as tracking:
        client.log_metric(tracking.run_id, "auroc", 0.5)

    told = str(team.root / "runs" / "new" / "registration.json")
    with pytest.raises(
        ValueError, match=r"version 2.*start register again with the run id new, then promote"
    ):
        promote(str(team.root), "new", team.server.uri, registration=told)
    [fault] = team.faults()
    assert fault.startswith("run new: it registered version 2, which is not there")
    assert team.register("new").version == 2
    team.promote(2)

    # The files: whoever would load them is told, and the runs still have them.
    team.lose_the_files()
    assert team.faults() == [
        f"version {number}: its files are not in the store: start register again with the run id {run}, which stores "
        "them anew"
        for number, run in ((1, "old"), (2, "new"))
    ]
    team.log_in("anna")
    with pytest.raises(UnservableModel):
        rollback("it is gone", tracking_uri=team.server.uri)
    assert [team.register(run).version for run in ("old", "new")] == [1, 2]
    team.verify()

    # The ledger: an alias that was moved by hand, then an entry that an administrator deleted.
    team.back_up()
    team.log_in("admin")
    client.set_registered_model_alias(MODEL, CHAMPION, "1")
    [fault] = team.faults()
    assert "the ledger says version 2, MLflow's alias points to version 1" in fault
    team.log_in("anna")
    history(tracking_uri=team.server.uri, repair=True)
    team.log_in("admin")
    client.delete_model_version(f"{MODEL}-ledger", "2")
    with pytest.raises(DamagedLedger, match="is not in the log"):
        history(tracking_uri=team.server.uri)
    team.lose_the_database()
    team.restore()
    team.verify()
    assert MlflowClient(team.server.uri).get_model_version_by_alias(MODEL, CHAMPION).version == "2"
