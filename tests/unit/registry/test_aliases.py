"""The ledger in a real MLflow on SQLite: moves, races of real processes, and what damage is seen."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from angiopipe.registry import aliases as module
from angiopipe.registry.aliases import CHALLENGER, CHAMPION, HEAD_TAG, Aliases, LostMove
from angiopipe.registry.ledger import DamagedLedger
from tests.unit.registry.racers import race


def test_a_move_is_an_entry_and_sets_the_alias(client, add_versions):
    add_versions(2)
    aliases = Aliases(client, "detector")
    aliases.move(CHAMPION, 1, "the first", "promote", aliases.read(CHAMPION))
    aliases.move(CHAMPION, 2, "a better one", "promote", aliases.read(CHAMPION))
    assert client.get_model_version_by_alias("detector", "champion").version == 2
    moved = [item.entry for item in aliases.read(CHAMPION).counted]
    assert [(entry.origin, entry.target, entry.why) for entry in moved] == [
        (None, 1, "the first"),
        (1, 2, "a better one"),
    ]
    assert moved[1].run == client.get_model_version("detector", "2").run_id
    assert moved[1].who == module.who(client.tracking_uri)


def test_an_alias_from_before_the_ledger_is_where_it_starts(client, add_versions):
    add_versions(2)
    client.set_registered_model_alias("detector", "champion", "1")
    aliases = Aliases(client, "detector")
    aliases.move(CHAMPION, 2, "w", "promote", aliases.read(CHAMPION))
    assert aliases.read(CHAMPION).stack == (1, 2)


def test_a_move_decided_on_an_old_ledger_loses_and_moves_nothing(client, add_versions):
    add_versions(3)
    aliases = Aliases(client, "detector")
    aliases.move(CHAMPION, 1, "w", "promote", aliases.read(CHAMPION))
    seen = aliases.read(CHAMPION)
    aliases.move(CHAMPION, 2, "w", "promote", seen)
    with pytest.raises(
        LostMove, match="champion was moved to version 2 by .* version 3 was not made champion"
    ):
        aliases.move(CHAMPION, 3, "w", "promote", seen)
    assert aliases.current(CHAMPION) == 2
    assert [item.entry.target for item in aliases.read(CHAMPION).lost] == [3]


@pytest.mark.slow
def test_of_processes_that_promote_at_once_one_wins_each_round(client, tracking_uri, add_versions):
    champions = race(tracking_uri, add_versions(4), rounds=5)
    aliases = Aliases(client, "detector")
    found = aliases.read(CHAMPION)
    assert [item.entry.target for item in found.counted] == champions
    assert len(found.lost) == 5 * 3
    assert found.missing == ()
    assert aliases.current(CHAMPION) == champions[-1]


@pytest.mark.slow
def test_of_threads_that_register_at_once_every_move_is_kept(client, add_versions):
    versions = add_versions(6)
    with ThreadPoolExecutor(len(versions)) as threads:
        list(
            threads.map(
                lambda version: Aliases(client, "detector").point(
                    CHALLENGER, version, "registered", "register"
                ),
                versions,
            )
        )
    last = Aliases(client, "detector").current(CHALLENGER)
    Aliases(client, "detector").point(CHALLENGER, last, "again", "register")
    found = Aliases(client, "detector").read(CHALLENGER)
    assert sorted(item.entry.target for item in found.counted) == versions
    assert Aliases(client, "detector").current(CHALLENGER) == found.version


def test_an_alias_that_was_not_set_before_a_crash_is_set_by_the_next_move(client, add_versions):
    add_versions(3)
    aliases = Aliases(client, "detector")
    aliases.move(CHAMPION, 1, "w", "promote", aliases.read(CHAMPION))
    aliases.move(CHAMPION, 2, "w", "promote", aliases.read(CHAMPION))
    client.set_registered_model_alias("detector", "champion", "1")  # as a crash after the entry leaves it
    assert aliases.publish(CHAMPION).version == 2
    assert aliases.current(CHAMPION) == 2


def test_a_deleted_entry_is_told(client, add_versions):
    add_versions(3)
    aliases = Aliases(client, "detector")
    for version in (1, 2, 3):
        aliases.move(CHAMPION, version, "w", "promote", aliases.read(CHAMPION))
    client.delete_model_version("detector-ledger", "2")
    with pytest.raises(DamagedLedger, match="ledger entry 3: the entry it follows"):
        aliases.read(CHAMPION)


def test_an_altered_entry_is_told(client, add_versions):
    add_versions(1)
    aliases = Aliases(client, "detector")
    aliases.move(CHAMPION, 1, "the truth", "promote", aliases.read(CHAMPION))
    client.set_model_version_tag("detector-ledger", "1", "why", "something else")
    with pytest.raises(DamagedLedger, match="it was altered"):
        aliases.read(CHAMPION)


@pytest.mark.parametrize("damage", ["cut", "delete", "rename"])
def test_a_ledger_that_was_cut_deleted_or_renamed_is_told(client, add_versions, damage):
    add_versions(2)
    aliases = Aliases(client, "detector")
    for version in (1, 2):
        aliases.move(CHAMPION, version, "w", "promote", aliases.read(CHAMPION))
    if damage == "cut":
        client.delete_model_version("detector-ledger", "2")
    elif damage == "delete":
        client.delete_registered_model("detector-ledger")
    else:
        client.rename_registered_model("detector-ledger", "elsewhere")
    with pytest.raises(DamagedLedger, match="the ledger was deleted, cut or renamed"):
        aliases.read(CHAMPION)


def test_deleting_the_champions_version_does_not_stop_the_next_promotion(client, add_versions, caplog):
    add_versions(2)
    aliases = Aliases(client, "detector")
    aliases.move(CHAMPION, 1, "w", "promote", aliases.read(CHAMPION))
    client.delete_model_version("detector", "1")
    assert aliases.publish(CHAMPION).version == 1
    aliases.move(CHAMPION, 2, "w", "promote", aliases.read(CHAMPION))
    assert aliases.current(CHAMPION) == 2


def test_the_ledger_says_what_it_is_to_those_who_find_it_in_mlflow(client, add_versions):
    add_versions(1)
    aliases = Aliases(client, "detector")
    aliases.move(CHAMPION, 1, "good", "promote", aliases.read(CHAMPION))
    assert "not models to serve" in client.get_registered_model("detector-ledger").description
    words = client.get_model_version("detector-ledger", "1").description
    assert words == f"champion: promote nothing -> version 1 by {module.who(client.tracking_uri)}: good"
    assert client.get_registered_model("detector").tags[f"{HEAD_TAG}.champion"]
