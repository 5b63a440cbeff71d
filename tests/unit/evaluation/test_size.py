"""Sizes read off constructed maps of evidence."""

from __future__ import annotations

import math

import numpy as np
import pytest

from angiopipe.evaluation.size import FLOOR, OFFSET_MM, SLOPE, disc_diameter, disc_mm, estimate_mm

POSITIONS = 90
SURE, NOTHING = 8.0, -8.0
ALL = np.ones(8, np.uint8)
SIDES = [360] * 8


def disc(diameter: float, row: float = 45.3, column: float = 40.7, height: float = SURE) -> np.ndarray:
    """(90, 90) log odds, high on a disc of so many positions across."""
    rows, columns = np.mgrid[:POSITIONS, :POSITIONS]
    inside = np.hypot(rows - row, columns - column) <= diameter / 2
    return np.where(inside, height, NOTHING).astype(np.float32)


def study(**views: np.ndarray) -> np.ndarray:
    """(8, 90, 90) maps without evidence but in the views given as v0 to v7."""
    maps = np.full((8, POSITIONS, POSITIONS), NOTHING, np.float32)
    for name, view in views.items():
        maps[int(name[1])] = view
    return maps


@pytest.mark.parametrize("diameter", [3.0, 5.5, 9.0, 16.0])
@pytest.mark.parametrize("spacing", [0.2, 0.43])
def test_a_disc_has_its_diameter_within_a_position(diameter, spacing):
    position_mm = 4 * spacing  # 360 pixels to 90 positions
    found = disc_mm(study(v3=disc(diameter)), ALL, SIDES, spacing)
    assert found == pytest.approx(diameter * position_mm, abs=position_mm)
    assert estimate_mm(study(v3=disc(diameter)), ALL, SIDES, spacing) == OFFSET_MM + SLOPE * found


def test_pixels_are_those_of_the_views_own_side():
    maps = study(v3=disc(9.0))
    sides = [100, 100, 100, 720, 100, 100, 100, 100]
    assert disc_mm(maps, ALL, sides, 0.215) == pytest.approx(disc_mm(maps, ALL, SIDES, 0.43))


def test_the_view_with_the_highest_evidence_is_measured_if_it_is_there():
    maps = study(v1=disc(12.0, height=3.0), v6=disc(6.0))
    assert disc_mm(maps, ALL, SIDES, 0.25) == pytest.approx(6.0, abs=0.5)
    without = np.array([1, 1, 1, 1, 1, 1, 0, 1], np.uint8)
    assert disc_mm(maps, without, SIDES, 0.25) == pytest.approx(12.0, abs=0.7)  # 0.95 of a sac at 3.0
    assert math.isnan(disc_mm(maps, np.zeros(8, np.uint8), SIDES, 0.25))


def test_other_regions_of_the_view_do_not_count():
    view = np.maximum(disc(6.0), disc(20.0, 20.0, 70.0, height=5.0))
    assert disc_diameter(view, (45, 41)) == pytest.approx(disc_diameter(disc(6.0), (45, 41)))


def test_doubtful_positions_count_as_much_as_they_show_a_sac():
    rim = np.maximum(disc(6.0), disc(8.0, height=0.0))
    sure, wide = disc_diameter(disc(6.0), (45, 41)), disc_diameter(disc(8.0), (45, 41))
    assert disc_diameter(rim, (45, 41)) ** 2 == pytest.approx((sure**2 + wide**2) / 2, rel=1e-2)


def test_too_little_evidence_gives_no_size():
    assert math.isnan(estimate_mm(study(v0=disc(6.0, height=FLOOR - 0.01)), ALL, SIDES, 0.43))
    assert not math.isnan(estimate_mm(study(v0=disc(6.0, height=FLOOR)), ALL, SIDES, 0.43))


@pytest.mark.parametrize(("row", "column"), [(2.5, 40.0), (86.6, 40.0), (40.0, 2.5), (40.0, 86.6)])
def test_a_sac_that_the_border_cuts_has_no_size(row, column):
    assert math.isnan(estimate_mm(study(v0=disc(6.0, row, column)), ALL, SIDES, 0.43))
    inwards = (min(max(row, 4.5), 85.0), min(max(column, 4.5), 85.0))
    assert not math.isnan(estimate_mm(study(v0=disc(6.0, *inwards)), ALL, SIDES, 0.43))


def test_without_a_spacing_there_is_no_size():
    assert math.isnan(estimate_mm(study(v0=disc(6.0)), ALL, SIDES, math.nan))
