"""Which entries of a log count: a pure function, tried on every order that matters."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angiopipe.registry.ledger import BEGINNING, DamagedLedger, Entry, Numbered, read


def entry(after: str, target: int, origin: int | None = None, **changes) -> Entry:
    fields = {
        "id": f"{after}-{target}",
        "alias": "champion",
        "move": "promote",
        "who": "anna@ward",
        "why": "w",
        "run": "r",
    }
    return Entry(**{**fields, "after": after, "target": target, "origin": origin, **changes})


def numbered(*entries: Entry) -> list[Numbered]:
    return [Numbered(number, 1000.0 + number, item, item.digest()) for number, item in enumerate(entries, 1)]


def test_moves_one_after_the_other_all_count():
    first = entry(BEGINNING, 1)
    second = entry(first.digest(), 2, 1)
    back = entry(second.digest(), 1, 2, move="rollback")
    found = read(numbered(first, second, back), "champion")
    assert [item.number for item in found.counted] == [1, 2, 3]
    assert (found.version, found.stack, found.lost) == (1, (1,), ())


def test_of_two_that_follow_the_same_entry_the_first_wins_and_the_other_moves_nothing():
    first = entry(BEGINNING, 1)
    rivals = [entry(first.digest(), 2, 1), entry(first.digest(), 3, 1)]
    for order in itertools.permutations(rivals):
        found = read(numbered(first, *order), "champion")
        assert found.version == order[0].target
        assert found.counts(order[0])
        assert not found.counts(order[1])
        assert [item.entry for item in found.lost] == [order[1]]


def test_going_back_and_forth_does_not_revive_an_entry_that_lost():
    """Version 1 is champion again, but not as it was when the late entry was decided."""
    first = entry(BEGINNING, 1)
    second = entry(first.digest(), 2, 1)
    back = entry(second.digest(), 1, 2, move="rollback")
    late = entry(first.digest(), 3, 1)
    assert read(numbered(first, second, back, late), "champion").version == 1


def test_an_entry_sent_twice_counts_once():
    first = entry(BEGINNING, 1)
    second = entry(first.digest(), 2, 1)
    found = read(numbered(first, second, second), "champion")
    assert [item.number for item in found.counted] == [1, 2]
    assert found.counts(second)


def test_rollbacks_lead_back_one_champion_after_the_other():
    log, head = [], BEGINNING
    for target, origin, move in [
        (2, 1, "promote"),
        (3, 2, "promote"),
        (2, 3, "rollback"),
        (1, 2, "rollback"),
    ]:
        log.append(entry(head, target, origin, move=move, id=str(len(log))))
        head = log[-1].digest()
    stacks = [read(numbered(*log[:length]), "champion").stack for length in range(5)]
    assert stacks == [(), (1, 2), (1, 2, 3), (1, 2), (1,)]


def test_aliases_do_not_disturb_each_other():
    first, other = entry(BEGINNING, 1), entry(BEGINNING, 7, alias="challenger")
    log = numbered(other, first)
    assert read(log, "champion").version == 1
    assert read(log, "challenger").version == 7


def test_an_altered_entry_is_told():
    first = entry(BEGINNING, 1)
    log = numbered(first, entry(first.digest(), 2, 1))
    log[0] = Numbered(1, 0.0, first.model_copy(update={"why": "another reason"}), log[0].digest)
    with pytest.raises(DamagedLedger, match="ledger entry 1: expected the content whose digest"):
        read(log, "champion")


def test_an_altered_entry_with_a_new_digest_breaks_those_that_follow():
    first = entry(BEGINNING, 1)
    second = entry(first.digest(), 2, 1)
    forged = first.model_copy(update={"target": 9})
    with pytest.raises(DamagedLedger, match="ledger entry 2: the entry it follows"):
        read(numbered(forged, second), "champion")


def test_a_deleted_entry_is_told():
    first = entry(BEGINNING, 1)
    second = entry(first.digest(), 2, 1)
    log = numbered(first, second, entry(second.digest(), 3, 2))
    with pytest.raises(DamagedLedger, match="it was deleted or altered"):
        read([log[0], log[2]], "champion")


def test_a_deleted_entry_that_had_lost_changes_nothing_but_is_seen():
    first = entry(BEGINNING, 1)
    log = numbered(first, entry(BEGINNING, 5, id="late"), entry(first.digest(), 2, 1))
    found = read([log[0], log[2]], "champion")
    assert (found.version, found.missing) == (2, (2,))


@given(st.lists(st.integers(0, 3), max_size=12))
def test_whoever_writes_on_what_they_saw_at_most_one_wins_each_turn(lags: list[int]):
    """Writers who saw the log some entries ago: a move counts exactly when none counted since."""
    log: list[Numbered] = []
    for number, lag in enumerate(lags, 1):
        before = read(log, "champion")
        seen = read(log[: max(0, len(log) - lag)], "champion")
        item = entry(seen.head, number, seen.version, id=str(number))
        log.append(Numbered(number, 0.0, item, item.digest()))
        after = read(log, "champion")
        wins = seen.head == before.head
        assert after.counts(item) == wins
        assert after.version == (number if wins else before.version)
        assert list(after.counted[: len(before.counted)]) == list(before.counted)
