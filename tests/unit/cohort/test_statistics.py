import numpy as np
import pytest

from angiopipe.cohort.statistics import Statistics, statistics_of
from angiopipe.study import INDEX, LABELS, SPLITS, VIEW_NAMES
from tests.unit.cohort.made_up import made_up_labels, made_up_statistics, made_up_views


def test_studies_and_positives_are_those_of_the_table():
    labels = made_up_labels(60)
    found = statistics_of(labels, made_up_views(labels), "data")
    for split in SPLITS:
        table = labels[labels["split"] == split]
        assert found.splits[split].studies == len(table)
        assert found.splits[split].positives == {name: int(table[name].sum()) for name in LABELS}
    assert found.studies == 60
    assert found.positives() == labels["Aneurysm"].sum()


def test_positives_beyond_the_range_of_a_byte_are_counted():
    labels = made_up_labels(900, prevalence=0.9).assign(split="train")
    views = made_up_views(labels.head(1))
    assert statistics_of(labels, views, "data").splits["train"].positives["Aneurysm"] == 900


def test_a_views_figures_are_those_of_its_images():
    labels = made_up_labels(5)
    views = made_up_views(labels)
    chosen = views["view"] == "RV-A"
    views.loc[chosen, "bytes"] = range(1, 6)
    found = statistics_of(labels, views, "data").views["RV-A"]
    histograms = np.stack(views.loc[chosen, "histogram"].to_list())
    assert found.images == 5
    assert found.bytes == 15
    assert found.histogram == pytest.approx(histograms.mean(axis=0) / 400, abs=1e-6)
    levels = np.repeat(np.arange(32) * 8 + 3.5, histograms[0])
    assert found.mean_grey[int(levels.mean() // 4)] >= 1
    assert found.contrast[int(levels.std() // 2)] >= 1
    assert sum(found.mean_grey) == sum(found.contrast) == 5


def test_a_large_image_weighs_no_more_than_a_small_one():
    labels = made_up_labels(2)
    views = made_up_views(labels)
    dark, bright = np.zeros(32, np.int64), np.zeros(32, np.int64)
    dark[0], bright[31] = 8192**2, 64**2
    views["histogram"] = [dark if index == labels[INDEX][0] else bright for index in views[INDEX]]
    found = statistics_of(labels, views, "data").views["LI-A"]
    assert (found.histogram[0], found.histogram[31]) == (0.5, 0.5)
    assert (found.mean_grey[0], found.mean_grey[62]) == (1, 1)


def test_rare_sizes_are_summed():
    labels = made_up_labels(40)
    views = made_up_views(labels)
    of_its_own = views[INDEX].isin(labels[INDEX].head(30))
    views.loc[of_its_own, "height"] = views[INDEX].map({i: 100 + n for n, i in enumerate(labels[INDEX])})
    sizes = statistics_of(labels, views, "data").sizes
    assert next(iter(sizes.counts.items())) == ("720 x 720", 80)
    assert len(sizes.counts) == 24
    assert (sizes.others, sizes.distinct, sizes.seen_once) == (7 * 8, 31, 30 * 8)
    assert sizes.images == 320


def test_absent_views_are_counted_as_none():
    labels = made_up_labels(3)
    views = made_up_views(labels)
    found = statistics_of(labels, views[views["view"] != "LV-B"], "data")
    assert found.views["LV-B"].images == 0
    assert found.images == 21
    assert list(found.views) == list(VIEW_NAMES)


def test_the_file_is_small_and_reads_back(tmp_path):
    found = made_up_statistics(100)
    path = tmp_path / "statistics.json"
    found.write(str(path))
    assert Statistics.read(str(path)) == found
    assert path.stat().st_size < 100_000


def test_the_order_of_rows_does_not_matter():
    labels = made_up_labels(20)
    views = made_up_views(labels)
    shuffled = statistics_of(labels.sample(frac=1, random_state=1), views.sample(frac=1, random_state=2), "d")
    assert shuffled == statistics_of(labels, views, "d")


def test_an_unknown_split_and_a_histogram_of_other_length_are_refused():
    labels = made_up_labels(4)
    views = made_up_views(labels)
    with pytest.raises(ValueError, match="expected the splits train, validation, test, found tset"):
        statistics_of(labels.assign(split="tset"), views, "data")
    views.at[3, "histogram"] = np.ones(16, np.int64)
    with pytest.raises(
        ValueError, match=r"view LV-B: expected histograms of 32 entries, found 16 in study 0-0"
    ):
        statistics_of(labels, views, "data")
