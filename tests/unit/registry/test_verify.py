"""What does not belong together in a registry is found and told; files, loading and mending: the drill of tests/servers."""

from __future__ import annotations

import pytest

from angiopipe.registry.aliases import CHAMPION, Aliases
from angiopipe.registry.register import RegistrationManifest
from angiopipe.registry.verify import verify


@pytest.fixture
def faults(tracking_uri, tmp_path):
    """What it tells of "detector", a line each."""

    def faults():
        with pytest.raises(ValueError, match="expected what belongs together, found") as caught:
            verify("detector", str(tmp_path), tracking_uri)
        return [line.strip() for line in str(caught.value).splitlines()[1:]]

    return faults


def test_every_fault_is_told_at_once(client, add_versions, faults, tmp_path):
    add_versions(3)
    aliases = Aliases(client, "detector")
    for version in (1, 3):
        aliases.move(CHAMPION, version, "w", "promote", aliases.read(CHAMPION))
    client.set_registered_model_alias("detector", "champion", "1")
    client.set_model_version_tag("detector", "2", "run_folder", f"{tmp_path}/runs/known")
    for run, version, name in (
        ("known", 2, "detector"),
        ("forgotten", 4, "detector"),
        ("else", 9, "another"),
    ):
        RegistrationManifest(
            tracking_uri="",
            model_name=name,
            version=version,
            aliases=(),
            mlflow_run_id="",
            metrics={},
            report_uri="",
        ).write(f"{tmp_path}/runs/{run}/registration.json")
    (tmp_path / "runs" / "unfinished").mkdir()
    again = "its files are not in the store: start register again with the run id"
    assert faults() == [
        "champion: the ledger says version 3, MLflow's alias points to version 1: it was moved behind the ledger's "
        "back; `angiopipe history --repair` sets it right",
        f"version 1: {again} that made it, which stores them anew",
        f"version 2: {again} known, which stores them anew",
        f"version 3: {again} that made it, which stores them anew",
        "run forgotten: it registered version 4, which is not there or another run's: start register again with its "
        f"run id, which adds a version from {tmp_path}/runs/forgotten",
    ]


def test_a_champion_that_was_deleted_and_a_ledger_that_was_cut_are_told(client, add_versions, faults):
    add_versions(2)
    aliases = Aliases(client, "detector")
    for version in (1, 2):
        aliases.move(CHAMPION, version, "w", "promote", aliases.read(CHAMPION))
    client.delete_model_version("detector", "2")
    assert "champion: the ledger says version 2, which was deleted: promote another" in faults()
    client.delete_model_version("detector-ledger", "1")
    assert any("is not in the log" in fault and "restore the database" in fault for fault in faults())
