import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from angiopipe.cohort.two_samples import (
    holm,
    kolmogorov_smirnov,
    more_often,
    odds_ratio,
    population_stability,
)

BINS = (64, (0, 256))


def binned(rng: np.random.Generator, images: int, mean: float = 128) -> np.ndarray:
    return np.histogram(rng.normal(mean, 20, images).clip(0, 255), *BINS)[0]


def test_the_index_is_that_of_its_formula():
    found = population_stability(np.array([400, 600]), np.array([700, 300]))
    expected = 0.3 * np.log(0.7 / 0.4) - 0.3 * np.log(0.3 / 0.6) - 2 / 1000
    assert found == pytest.approx(expected, abs=2e-3)


def test_what_is_subtracted_is_what_chance_contributes():
    rng = np.random.default_rng(3)
    before, now = rng.multinomial(2000, [0.1] * 10, 2000), rng.multinomial(1000, [0.1] * 10, 2000)
    shares = before / 2000, now / 1000
    plain = ((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum(axis=1).mean()
    assert plain == pytest.approx(9 * (1 / 2000 + 1 / 1000), rel=0.06)


@pytest.mark.parametrize(("before", "now"), [(24, 24), (24, 300), (1000, 40), (1000, 1000)])
def test_like_samples_seldom_differ(before, now):
    rng = np.random.default_rng(7)
    pairs = [(binned(rng, before), binned(rng, now)) for _ in range(400)]
    assert np.median([population_stability(*pair) for pair in pairs]) < 0.05
    p_values = np.array([kolmogorov_smirnov(*pair) for pair in pairs])
    assert (p_values <= 0.05).mean() <= 0.08
    assert (p_values <= 0.01).mean() <= 0.025


@pytest.mark.parametrize(("before", "now"), [(24, 24), (24, 300), (1000, 40), (1000, 1000)])
def test_samples_apart_do_differ(before, now):
    rng = np.random.default_rng(8)
    pair = binned(rng, before, 140), binned(rng, now, 110)
    assert population_stability(*pair) > 0.25
    assert kolmogorov_smirnov(*pair) < 0.001


def test_the_p_value_is_that_of_the_samples():
    rng = np.random.default_rng(9)
    before, now = rng.integers(0, 64, 90), rng.integers(5, 60, 70)
    counts = [np.bincount(part, minlength=64) for part in (before, now)]
    assert kolmogorov_smirnov(*counts) == pytest.approx(stats.ks_2samp(before, now, method="asymp").pvalue)


@pytest.mark.parametrize("place", [3, 60])
@pytest.mark.parametrize("images", [20, 100_000])
def test_all_images_in_another_bin_are_far_apart_whatever_their_number(place, images):
    before, now = np.zeros(64, int), np.zeros(64, int)
    before[30], now[place] = 1000, images
    assert population_stability(before, now) > 2
    assert kolmogorov_smirnov(before, now) < 1e-9


def test_one_odd_image_among_many_is_no_evidence():
    before, now = np.zeros(64, int), np.zeros(64, int)
    before[30], now[30], now[0] = 10_000, 99, 1
    assert population_stability(before, now) == 0
    assert kolmogorov_smirnov(before, now) > 0.9


@given(
    st.lists(st.integers(0, 30), min_size=8, max_size=8), st.lists(st.integers(0, 30), min_size=8, max_size=8)
)
def test_any_counts_give_finite_figures_either_way_round(before, now):
    index, p_value = population_stability(before, now), kolmogorov_smirnov(before, now)
    assert 0 <= index < 20
    assert 0 <= p_value <= 1
    assert population_stability(now, before) == pytest.approx(index)
    assert kolmogorov_smirnov(now, before) == pytest.approx(p_value)


def test_fewer_than_ten_images_say_nothing():
    assert population_stability([9, 0], [500, 500]) == 0
    assert population_stability([10, 0], [500, 500]) > 0


def test_an_odds_ratio_exists_where_nobody_is_positive():
    ratio, p_value = odds_ratio(np.array([0, 0]), np.array([100, 50]))
    assert ratio == pytest.approx(201 / 101, rel=1e-9)
    assert p_value == 1


def test_fishers_test_is_that_of_the_tea_taster():
    # Fisher (1935, The Design of Experiments): three of four cups right.
    assert more_often(np.array([1, 3]), np.array([3, 1])) == pytest.approx(17 / 70)
    assert odds_ratio(np.array([1, 3]), np.array([3, 1]))[1] == pytest.approx(34 / 70)


def test_holm_multiplies_by_what_is_left():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
