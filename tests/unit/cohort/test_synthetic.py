from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from angiopipe.clinical import NAMES
from angiopipe.cohort.synthetic import EASY, REALISTIC, Settings, SiteWeights, SyntheticStudy, make_study
from angiopipe.cohort.synthetic.attenuation import ellipsoid_chords, transmission, tube_chords
from angiopipe.cohort.synthetic.patients import FREQUENCIES, draw_patient
from angiopipe.cohort.synthetic.projection import Camera
from angiopipe.cohort.synthetic.sacs import Ellipsoid, draw_locations
from angiopipe.cohort.synthetic.synthesize import synthesize, write_cohort
from angiopipe.cohort.synthetic.tree import Tubes, joined
from angiopipe.cohort.synthetic.variants import draw_variant
from angiopipe.study import LABELS, LOCATIONS, VIEW_NAMES, VIEWS

SIZE = 128
ONE_SAC = REALISTIC.model_copy(update={"prevalence": 1.0, "second_sac_share": 0.0, "larger_share": 0.0})


# Light and geometry.


def _camera(pixel_mm: float = 0.2, away: tuple[float, float, float] = (0.0, -1.0, 0.0)) -> Camera:
    """A view from so far away that magnification does not matter."""
    up = np.array([0.0, 0.0, 1.0])
    axes = np.stack([np.cross(up, away), up, away])
    return Camera(axes, np.zeros(3), 1e9, (151, 151), pixel_mm)


def _tube(direction: tuple[float, float, float], length: float, radius: float = 1.5) -> Tubes:
    along = np.linspace(-length / 2, length / 2, 201)
    points = np.outer(along, np.array(direction) / np.linalg.norm(direction))
    return Tubes(points, np.full(201, radius), np.full(201, length / 201))


def test_a_tube_seen_from_the_side_is_as_deep_as_its_chord() -> None:
    path = tube_chords(_tube((1.0, 0.0, 0.0), 25.0), _camera())
    offsets = (np.arange(151) - 75) * 0.2
    chords = 2 * np.sqrt(np.clip(1.5**2 - offsets**2, 0.0, None))
    assert path[75, 75] == pytest.approx(3.0, rel=0.03)
    np.testing.assert_allclose(path[:, 75], chords, atol=0.35)  # half a pixel at the steep rim
    assert path[:, 75].sum() * 0.2 == pytest.approx(np.pi * 1.5**2, rel=0.01)


def test_a_tube_seen_from_its_end_is_as_deep_as_it_is_long_and_so_darker() -> None:
    side = tube_chords(_tube((1.0, 0.0, 0.0), 12.0), _camera())
    end = tube_chords(_tube((0.0, 1.0, 0.0), 12.0), _camera())
    oblique = tube_chords(_tube((1.0, 1.0, 0.0), 20.0), _camera())
    assert end[75, 75] == pytest.approx(12.0, rel=0.01)
    assert oblique[75, 75] == pytest.approx(3.0 * np.sqrt(2), rel=0.03)
    assert transmission(end, 0.2).min() < transmission(side, 0.2).min()


def test_light_through_two_stacked_tubes_is_the_product_of_their_transmissions() -> None:
    first, second = _tube((1.0, 0.0, 0.0), 20.0), _tube((0.0, 0.3, 1.0), 20.0)
    both = transmission(tube_chords(joined([first, second]), _camera()), 0.25)
    alone = [transmission(tube_chords(tube, _camera()), 0.25) for tube in (first, second)]
    assert both[75, 75] < min(light[75, 75] for light in alone)
    np.testing.assert_allclose(both, alone[0] * alone[1], rtol=1e-5)


@pytest.mark.parametrize("away", [(0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.6, -0.8, 0.0)])
def test_an_ellipsoid_keeps_its_volume_from_every_direction(away: tuple[float, float, float]) -> None:
    semi_axes = np.array([4.0, 3.0, 2.0])
    path = ellipsoid_chords(Ellipsoid(np.array([1.0, 0.5, -2.0]), np.diag(semi_axes**-2)), _camera(away=away))
    assert path.sum() * 0.2**2 == pytest.approx(4 / 3 * np.pi * semi_axes.prod(), rel=0.01)


def test_thin_twigs_between_pixel_centres_keep_their_contrast() -> None:
    twig = _tube((1.0, 0.0, 0.0), 20.0, radius=0.1)
    path = tube_chords(twig._replace(points=twig.points + np.array([0.0, 0.0, 0.5])), _camera(pixel_mm=1.0))
    assert path.sum() == pytest.approx(np.pi * 0.1**2 * 20.0, rel=0.01)


# One study.


def _same_pictures(first: SyntheticStudy, second: SyntheticStudy) -> bool:
    return all(np.array_equal(*pair) for pair in zip(first.views, second.views, strict=True))


def test_a_study_depends_on_settings_seed_and_number_alone() -> None:
    study = make_study(REALISTIC, SIZE, 3, 1001)
    assert [view.dtype for view in study.views] == [np.uint8] * 8
    assert _same_pictures(study, make_study(REALISTIC, SIZE, 3, 1001))
    assert not _same_pictures(study, make_study(REALISTIC, SIZE, 3, 1002))
    assert not _same_pictures(study, make_study(REALISTIC, SIZE, 4, 1001))
    assert not _same_pictures(study, make_study(EASY, SIZE, 3, 1001))


def test_labels_name_the_lesions_and_aneurysm_means_any() -> None:
    settings = REALISTIC.model_copy(update={"second_sac_share": 0.5})
    counts = set()
    for number in range(24):
        study = make_study(settings, 64, 0, number)
        named = {label for label, value in zip(LABELS, study.labels, strict=True) if value}
        locations = [lesion.location for lesion in study.lesions]
        assert len(set(locations)) == len(locations)
        assert named == set(locations) | ({"Aneurysm"} if locations else set())
        counts.add(len(locations))
    assert counts == {0, 1, 2}


def _injections(location: str) -> tuple[set[str], set[str]]:
    """The injections (side and vessel) that must show a sac, and those that may."""
    side, _, site = location.rpartition("_")
    own, other = f"{side}I", "RI" if side == "L" else "LI"
    if site in ("ICA", "PCOM", "AntChor", "ACOM", "MCA"):
        return {own}, {own}
    if site == "ACA":
        return {own}, {own, other}
    if site in ("VA", "PICA"):
        return {f"{side}V"}, {"LV", "RV"}
    if site == "PCA":
        return set(), {"LV", "RV", own}
    return {"LV", "RV"}, {"LV", "RV"}


@pytest.mark.parametrize("site", SiteWeights.model_fields)
def test_a_sac_shows_in_the_injections_that_fill_it_and_darkens_nothing_else(site: str) -> None:
    weights = SiteWeights(**{name: float(name == site) for name in SiteWeights.model_fields})
    settings = ONE_SAC.model_copy(update={"site_weights": weights})
    for number in range(3):
        study, without = (make_study(settings, SIZE, 5, number, sacs=sacs) for sacs in (True, False))
        assert not without.lesions
        assert not without.labels.any()
        (lesion,) = study.lesions
        assert lesion.location.rpartition("_")[2] == site
        must, may = _injections(lesion.location)
        shown = {view.name[:2] for view, footprint in zip(VIEWS, lesion.footprints, strict=True) if footprint}
        assert shown
        assert must <= shown <= may
        for picture, healthy, footprint in zip(study.views, without.views, lesion.footprints, strict=True):
            if footprint is None:
                assert np.array_equal(picture, healthy)
            else:
                darker = healthy[footprint.mask].astype(float) - picture[footprint.mask]
                assert darker.mean() > 5.0


def test_a_footprint_has_the_size_it_claims() -> None:
    settings = ONE_SAC.model_copy(update={"sac_elongation": 0.0, "bleb_share": 0.0})
    for number in range(5):
        study = make_study(settings, 360, 7, number)
        (lesion,) = study.lesions
        for footprint, nominal in zip(lesion.footprints, study.mm_per_pixel, strict=True):
            if footprint is None:
                continue
            rows, columns = np.nonzero(footprint.mask)
            assert footprint.radius_pixels * footprint.mm_per_pixel == pytest.approx(lesion.radius_mm)
            assert footprint.mm_per_pixel == pytest.approx(nominal, rel=0.12)
            assert footprint.mask.sum() == pytest.approx(np.pi * footprint.radius_pixels**2, rel=0.2)
            assert (rows.mean(), columns.mean()) == pytest.approx(footprint.centre, abs=0.6)


def test_no_view_shows_more_than_a_domes_largest_diameter_and_some_view_most_of_it() -> None:
    settings = ONE_SAC.model_copy(update={"sac_elongation": 0.6, "bleb_share": 0.0})
    for number in range(5):
        (lesion,) = make_study(settings, 360, 7, number).lesions
        seen = []
        for footprint in filter(None, lesion.footprints):
            outline = np.argwhere(footprint.mask)
            farthest = np.linalg.norm(outline[:, None] - outline[None], axis=-1).max()
            seen.append((farthest + 1) * footprint.mm_per_pixel)
        assert 0.8 * lesion.largest_mm < max(seen) < 1.03 * lesion.largest_mm + 0.5
        assert lesion.largest_mm >= 2 * lesion.radius_mm


def test_one_patient_is_the_same_at_every_size() -> None:
    small, large = (make_study(ONE_SAC, size, 0, 11).lesions[0] for size in (128, 256))
    assert small.radius_mm == large.radius_mm
    for few, many in zip(small.footprints, large.footprints, strict=True):
        assert (few is None) == (many is None)
        if few and many:
            assert many.radius_pixels == pytest.approx(2 * few.radius_pixels, rel=0.02)


@pytest.mark.parametrize("arguments", [(32, 0, 0), (128, -1, 0), (128, 0, -1)])
def test_impossible_studies_are_refused(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="expected size >= 64, seed >= 0, number >= 0"):
        make_study(REALISTIC, *arguments)


@pytest.mark.parametrize(
    "fault", [{"prevalence": 1.2}, {"aspect": (0.9, 0.7)}, {"sac_size": 3.0}, {"attenuation_per_mm": 0.2}]
)
def test_impossible_settings_are_refused(fault: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(fault)


# A cohort's statistics.


class Sample(NamedTuple):
    """What the statistical tests need of one study."""

    greys: np.ndarray
    aneurysm: int
    shapes: tuple[tuple[int, ...], ...]


def _sample(images: Path, number: int, aneurysm: int) -> Sample:
    views = [_picture(images / f"{number}{view}.jpg") for view in VIEW_NAMES]
    blurred = [cv2.GaussianBlur(255.0 - view.astype(np.float32), (0, 0), 1.5) for view in views]
    greys = np.array([(view.mean(), view.std(), view.max()) for view in blurred])
    return Sample(greys.ravel(), aneurysm, tuple(view.shape for view in views))


def _picture(path: Path) -> np.ndarray:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def _samples(folder: Path, settings: Settings, studies: int) -> list[Sample]:
    out = write_cohort(folder / "cohort", settings, studies, test_studies=0, size=SIZE, processes=2)
    labels = pd.read_csv(out / "train_set" / "train.csv")
    images = out / "train_set" / "images"
    return [_sample(images, *row) for row in labels[["Index", "Aneurysm"]].itertuples(index=False)]


@pytest.fixture(scope="module")
def realistic(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return _samples(tmp_path_factory.mktemp("realistic"), REALISTIC, 250)


def _darkness_auroc(samples: list[Sample]) -> float:
    """How well global darkness tells affected studies: 8 views x (mean, deviation, maximum)."""
    greys = np.stack([sample.greys for sample in samples])
    affected = np.array([sample.aneurysm for sample in samples])
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    scores = cross_val_predict(probe, greys, affected, cv=folds, method="predict_proba")[:, 1]
    return float(roc_auc_score(affected, scores))


def test_darkness_does_not_give_realistic_aneurysms_away(realistic: list[Sample]) -> None:
    assert _darkness_auroc(realistic) < 0.60


def test_darkness_gives_easy_aneurysms_away(tmp_path: Path) -> None:
    assert _darkness_auroc(_samples(tmp_path, EASY, 50)) > 0.80


def _expected(count: int, share: float, of: int) -> bool:
    """Whether a count is within four standard deviations of a binomial's mean."""
    return abs(count - share * of) <= 4 * np.sqrt(of * share * (1 - share)) + 1


def test_some_pictures_are_not_square_and_some_larger(realistic: list[Sample]) -> None:
    uneven = sum(any(rows != columns for rows, columns in sample.shapes) for sample in realistic)
    larger = sum(max(map(max, sample.shapes)) > SIZE for sample in realistic)
    assert min(uneven, larger) > 0
    assert _expected(uneven, REALISTIC.non_square_share, len(realistic))
    assert _expected(larger, REALISTIC.larger_share, len(realistic))
    assert {max(shape) for sample in realistic for shape in sample.shapes} == {SIZE, round(SIZE * 1024 / 720)}


def test_prevalence_and_locations_follow_the_settings() -> None:
    rng = np.random.default_rng(0)
    draws = [draw_locations(REALISTIC, draw_variant(REALISTIC, rng), rng) for _ in range(4000)]
    affected = [locations for locations in draws if locations]
    assert _expected(len(affected), REALISTIC.prevalence, len(draws))
    twice = sum(len(locations) == 2 for locations in affected)
    assert _expected(twice, REALISTIC.second_sac_share, len(affected))
    first = Counter(locations[0] for locations in affected)
    assert set(first) <= set(LOCATIONS)
    for site, share in REALISTIC.site_weights.shares().items():
        sides = [first[location] for location in LOCATIONS if location.rpartition("_")[2] == site]
        assert _expected(sum(sides), share, len(affected)), site
        assert site == "BA" or _expected(sides[0], 0.5, sum(sides)), site


# The files.


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cohorts") / "cohort"
    return synthesize(out, studies=6, size=96, seed=2, difficulty="easy", processes=1, test_studies=3)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_layout_and_headers(cohort: Path) -> None:
    assert {path.name for path in cohort.iterdir()} == {"train_set", "test_set", "truth", "cohort.json"}
    header = "Index,Aneurysm," + ",".join(LOCATIONS)
    assert (cohort / "train_set" / "train.csv").read_text().splitlines()[0] == header
    assert (cohort / "truth" / "test.csv").read_text().splitlines()[0] == header
    test_lines = (cohort / "test_set" / "test.csv").read_text().splitlines()
    truth = pd.read_csv(cohort / "truth" / "test.csv")
    assert test_lines == ["Index", *map(str, truth["Index"])]
    for name, table in (("train", pd.read_csv(cohort / "train_set" / "train.csv")), ("test", truth)):
        assert len(table) == {"train": 6, "test": 3}[name]
        assert (table["Aneurysm"] == table[list(LOCATIONS)].max(axis=1)).all()
        pictures = {path.name for path in (cohort / f"{name}_set" / "images").iterdir()}
        assert pictures == {f"{number}{view}.jpg" for number in table["Index"] for view in VIEW_NAMES}


def test_clinical_tables_have_the_studies_of_their_set_and_some_values_missing(cohort: Path) -> None:
    for name in ("train", "test"):
        table = pd.read_csv(cohort / f"{name}_set" / "clinical.csv")
        assert list(table) == ["Index", *NAMES]
        assert list(table["Index"]) == list(pd.read_csv(cohort / f"{name}_set" / f"{name}.csv")["Index"])
    assert 0 < pd.read_csv(cohort / "train_set" / "clinical.csv").isna().to_numpy().mean() < 0.5


def test_clinical_variables_are_related_to_the_aneurysm_as_published() -> None:
    healthy, ill = (
        pd.DataFrame([draw_patient(aneurysm, 0, number) for number in range(4000)])
        for aneurysm in (False, True)
    )
    for table in (healthy, ill):
        table["sex"] = table["sex"].map({"female": 1, "male": 0})
        np.testing.assert_allclose(table.isna().mean(), 0.1, atol=0.02)
    for name, (share, ratio) in FREQUENCIES.items():
        without, with_one = healthy[name].dropna().mean(), ill[name].dropna().mean()
        assert without == pytest.approx(share, abs=0.03)
        odds = with_one / (1 - with_one) / (without / (1 - without))
        assert odds == pytest.approx(ratio, rel=0.35 if share < 0.1 else 0.15)
    assert ill["age"].mean() - healthy["age"].mean() == pytest.approx(4, abs=1)
    assert draw_patient(True, 0, 5) == draw_patient(True, 0, 5) != draw_patient(True, 1, 5)


def test_pictures_and_lesions_are_those_of_the_study(cohort: Path) -> None:
    lesions = pd.read_csv(cohort / "truth" / "lesions.csv")
    labels = pd.concat([pd.read_csv(cohort / name) for name in ("train_set/train.csv", "truth/test.csv")])
    assert set(lesions["Index"]) == set(labels["Index"][labels["Aneurysm"] == 1])
    number = int(lesions["Index"].iloc[0])
    study = make_study(EASY, 96, 2, number)
    for name, view in zip(VIEW_NAMES, study.views, strict=True):
        picture = _picture(cohort / "train_set" / "images" / f"{number}{name}.jpg")
        assert picture.shape == view.shape
        assert np.abs(picture.astype(float) - view).mean() < 2.0
    rows = lesions[lesions["Index"] == number]
    shown = [
        (name, lesion.location, *footprint.centre)
        for lesion in study.lesions
        for name, footprint in zip(VIEW_NAMES, lesion.footprints, strict=True)
        if footprint
    ]
    assert list(zip(rows["view"], rows["location"], strict=True)) == [place[:2] for place in shown]
    np.testing.assert_allclose(rows[["row", "column"]], [place[2:] for place in shown], atol=0.01)


def test_the_number_of_processes_changes_no_byte(cohort: Path, tmp_path: Path) -> None:
    again = synthesize(tmp_path / "b", 6, 96, seed=2, difficulty="easy", processes=2, test_studies=3)
    assert _bytes(again) == _bytes(cohort)


def test_more_studies_leave_the_first_as_they_were(cohort: Path, tmp_path: Path) -> None:
    fewer = write_cohort(tmp_path / "fewer", EASY, studies=2, test_studies=1, size=96, seed=2)
    few, many = _bytes(fewer), _bytes(cohort)
    pictures = [name for name in few if name.endswith(".jpg")]
    assert len(pictures) == 24
    assert all(few[name] == many[name] for name in pictures)
    for table in ("train_set/train.csv", "truth/test.csv", "test_set/test.csv", "train_set/clinical.csv"):
        assert many[table].startswith(few[table])


def test_the_same_cohort_is_reused(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in cohort.rglob("*")}
    synthesize(cohort, studies=6, size=96, seed=2, difficulty="easy", processes=1, test_studies=3)
    assert "already holds this cohort" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in cohort.rglob("*")} == before


def test_another_cohort_in_the_way_is_refused_by_name(cohort: Path) -> None:
    with pytest.raises(FileExistsError, match="another synthetic cohort, which differs in seed, settings"):
        synthesize(cohort, studies=6, size=96, seed=3, difficulty="realistic", test_studies=3)


def test_other_content_in_the_way_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="found other content: choose another folder"):
        synthesize(tmp_path, studies=1, size=96)
    assert _bytes(tmp_path) == {"thesis.txt": b"precious"}


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("angiopipe.cohort.synthetic.synthesize.write_tables", full_disk)
    with pytest.raises(OSError, match="disk full"):
        synthesize(tmp_path / "cohort", studies=1, size=64, processes=1, test_studies=0)
    assert list(tmp_path.iterdir()) == []


def test_all_faulty_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="studies must be at least 1, got 0; size must be at least 64"):
        synthesize(tmp_path / "cohort", studies=0, size=10)
