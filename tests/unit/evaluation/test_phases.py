"""PHASES against its published table."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from angiopipe.evaluation.phases import POPULATIONS, Phases, five_year_risk, likeliest, phases, site
from angiopipe.study import LOCATIONS

LOWEST: dict[str, Any] = {
    "population": "north_american_or_other_european", "hypertension": False, "age": 69.9,
    "size_mm": 6.9, "earlier_sah": False, "location": "L_ICA",
}  # fmt: skip


def score(**known: Any) -> Phases:
    found = phases(**{**LOWEST, **known})
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("field", "value", "points"),
    [
        ("population", "japanese", 3), ("population", "finnish", 5), ("hypertension", True, 1),
        ("age", 70, 1), ("size_mm", 7.0, 3), ("size_mm", 9.9, 3), ("size_mm", 10.0, 6),
        ("size_mm", 19.9, 6), ("size_mm", 20.0, 10), ("earlier_sah", True, 1),
        ("location", "R_MCA", 2), ("location", "L_ACA", 4), ("location", "R_PCOM", 4), ("location", "BA", 4),
    ],
)  # fmt: skip
def test_each_row_of_the_published_table(field: str, value: Any, points: int) -> None:
    assert score().points == 0
    assert score(**{field: value}).points == points


def test_published_risks_in_percent() -> None:
    published = [0.4, 0.4, 0.4, 0.7, 0.9, 1.3, 1.7, 2.4, 3.2, 4.3, 5.3, 7.2, *[17.8] * 11]
    assert [100 * five_year_risk(points) for points in range(23)] == pytest.approx(published)


def test_pooled_rows_say_so() -> None:
    assert score(location="L_MCA").pooled
    assert not score(population="japanese").pooled
    assert score(population="finnish", size_mm=12, hypertension=True).pooled


def test_every_site_is_mapped() -> None:
    carotid = {"L_ICA", "R_ICA", "L_AntChor", "R_AntChor"}
    expected = {name: "ICA" if name in carotid else "ACA_PCOM_POSTERIOR" for name in LOCATIONS}
    expected |= {"L_MCA": "MCA", "R_MCA": "MCA"}
    assert {name: site(name) for name in LOCATIONS} == expected


def test_more_never_lowers_points_or_risk() -> None:
    for population, sah, place in itertools.product(POPULATIONS, (False, True), LOCATIONS):
        grown = [
            score(population=population, earlier_sah=sah, location=place, size_mm=s) for s in (1, 7, 10, 20)
        ]
        assert [s.points for s in grown] == sorted(s.points for s in grown)
        assert [s.five_year_risk for s in grown] == sorted(s.five_year_risk for s in grown)
        assert all(0 <= s.points <= 22 and s.location == place for s in grown)


@pytest.mark.parametrize("field", LOWEST)
def test_unknown_input_gives_no_score(field: str) -> None:
    assert phases(**{**LOWEST, field: None}) is None


@pytest.mark.parametrize("field", ["age", "size_mm"])
def test_nan_is_unknown(field: str) -> None:
    assert phases(**{**LOWEST, field: math.nan}) is None


def test_all_impossible_values_are_named() -> None:
    with pytest.raises(ValueError, match=r"population.*age.*size_mm.*location"):
        phases("martian", False, -1, 0, False, "L_TOE")


def test_the_likeliest_candidate() -> None:
    assert likeliest({"BA": 0.2, "L_MCA": 0.7}) == "L_MCA"
    assert likeliest({"BA": 0.5, "L_MCA": 0.5}) == "L_MCA"
    assert likeliest({}) is None
    assert likeliest({"BA": math.nan, "L_MCA": 0.7}) is None
