"""`schedule`, `unschedule` and `status`: one recurring run, as wanted, whatever was there."""

from __future__ import annotations

import pytest

from pipelines.__main__ import main
from tests.unit.pipelines.recorded_kubeflow import recorded_run

NIGHTLY = "0 0 3 * * *"


@pytest.fixture
def settings(write_settings) -> str:
    return write_settings(schedules={"training": NIGHTLY})


def schedule(settings: str, *arguments: str) -> None:
    main(["schedule", "training", "--settings", settings, *arguments])


def changing(kubeflow) -> list[str]:
    return [one.path for one in kubeflow.requests if one.method != "GET"]


def test_a_schedule_runs_one_at_a_time_and_catches_nothing_up(kubeflow, settings):
    schedule(settings)
    (made,) = kubeflow.schedules
    assert made["display_name"] == "angiopipe-training"
    assert made["trigger"] == {"cron_schedule": {"cron": NIGHTLY}}
    assert (made["max_concurrency"], made["no_catchup"], made["mode"]) == ("1", True, "ENABLE")
    assert made["runtime_config"]["parameters"]["labels"] == "s3://raw/labels.csv"


def test_scheduling_twice_changes_nothing(kubeflow, settings, capsys):
    schedule(settings)
    before, asked = list(kubeflow.schedules), len(changing(kubeflow))
    schedule(settings)
    assert kubeflow.schedules == before
    assert len(changing(kubeflow)) == asked
    assert "schedule angiopipe-training: unchanged" in capsys.readouterr().out


def test_another_time_replaces_it(kubeflow, settings, capsys):
    schedule(settings)
    schedule(settings, "--cron", "0 30 4 * * *", "--seed", "3")
    (left,) = kubeflow.schedules
    assert left["trigger"]["cron_schedule"]["cron"] == "0 30 4 * * *"
    printed = capsys.readouterr().out
    assert 'cron: "0 0 3 * * *" -> "0 30 4 * * *"' in printed
    assert "seed: 0 -> 3" in printed


def test_of_several_of_its_name_one_is_left_and_others_are_not_touched(kubeflow, settings):
    schedule(settings)
    (own,) = kubeflow.schedules
    kubeflow.schedules += [
        {**own, "recurring_run_id": "twin"},
        {**own, "recurring_run_id": "other", "display_name": "somebody's"},
    ]
    schedule(settings)
    assert {one["recurring_run_id"] for one in kubeflow.schedules} == {own["recurring_run_id"], "other"}


def test_one_that_was_switched_off_is_replaced(kubeflow, settings):
    schedule(settings)
    kubeflow.schedules[0]["mode"] = "DISABLE"
    schedule(settings)
    assert [one["mode"] for one in kubeflow.schedules] == ["ENABLE"]


def test_a_refusal_leaves_the_old_one(kubeflow, settings):
    schedule(settings)
    before = list(kubeflow.schedules)
    kubeflow.instead = [("POST", "/recurringruns", "recurring missing param")]
    with pytest.raises(SystemExit, match="expected to create schedule .*parameter a is not optional"):
        schedule(settings, "--cron", "0 0 5 * * *")
    assert kubeflow.schedules == before


def test_a_dry_run_tells_and_changes_nothing(kubeflow, settings, capsys):
    schedule(settings, "--dry-run")
    assert "would be created, at 0 0 3 * * *" in capsys.readouterr().out
    assert changing(kubeflow) == []
    schedule(settings)
    asked = len(changing(kubeflow))
    schedule(settings, "--dry-run", "--cron", "0 0 4 * * *")
    main(["unschedule", "training", "--settings", settings, "--dry-run"])
    printed = capsys.readouterr().out
    assert "would be replaced" in printed
    assert 'cron: "0 0 3 * * *" -> "0 0 4 * * *"' in printed
    assert "would be deleted" in printed
    assert len(changing(kubeflow)) == asked


@pytest.mark.parametrize("cron", ["0 3 * * *", "@hourly", "0 0 3 * * * *", "daily"])
def test_other_than_six_fields_are_refused_before_anything_is_sent(kubeflow, settings, cron):
    with pytest.raises(SystemExit, match="expected six cron fields, seconds first"):
        schedule(settings, "--cron", cron)
    assert not kubeflow.requests


def test_a_time_is_needed(kubeflow, write_settings):
    with pytest.raises(SystemExit, match="give --cron"):
        schedule(write_settings())


def test_unscheduling_is_done_once_and_then_there_is_none(kubeflow, settings, capsys):
    schedule(settings)
    for _ in range(2):
        main(["unschedule", "training", "--settings", settings])
    assert kubeflow.schedules == []
    printed = capsys.readouterr().out
    assert "schedule angiopipe-training: is deleted" in printed
    assert "schedule angiopipe-training: there is none" in printed


def test_status_shows_schedules_and_last_runs(kubeflow, settings, capsys):
    main(["status", "--settings", settings])
    assert "there is none yet" in capsys.readouterr().out
    schedule(settings)
    kubeflow.runs = [recorded_run("failed"), recorded_run("succeeded")]
    kubeflow.runs[0]["finished_at"] = "1970-01-01T00:00:00Z"
    main(["status", "--settings", settings])
    printed = " ".join(capsys.readouterr().out.split())
    assert f"angiopipe-training {NIGHTLY} enabled" in printed
    assert "2026-11-22T07:17:35Z running p_fail" in printed
    assert "2026-11-22T07:24:51Z succeeded after 30 s c1" in printed
