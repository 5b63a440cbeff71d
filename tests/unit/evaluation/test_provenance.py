"""What the report and the model card say of a model's making is so, for each recipe and each setting."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import keras
import numpy as np
import pytest

from angiopipe import models
from angiopipe.evaluation import card, provenance
from angiopipe.evaluation.card_sections import Section, sections
from angiopipe.evaluation.evaluated import Evaluated
from angiopipe.evaluation.flat_metrics import flat_metrics
from angiopipe.evaluation.report import render
from angiopipe.recipe import Octoview, Recipe, SpatialAttention, Vgg16
from angiopipe.records.manifest import Member, ModelManifest, ensemble_sha256
from tests.parsed_page import parsed
from tests.unit.evaluation.conftest import small_recipe

RECIPES = ("kium_vgg16", "coding_vessels", "octoview")
MEMBERS = tuple(
    Member(
        weights=f"member-{n}.weights.h5",
        weights_sha256=str(n) * 64,
        best_epoch=7 + n,
        fold_auroc=0.61 + n / 10,
    )
    for n in range(3)
)

Change = Callable[[ModelManifest], ModelManifest]


def single(model: ModelManifest) -> ModelManifest:
    return model.model_copy(update={"best_epoch": 5})


def ensemble(model: ModelManifest) -> ModelManifest:
    recipe = model.recipe.with_overrides([f"training.ensemble={len(MEMBERS)}"])
    fields = model.model_dump() | {"recipe": recipe, "best_epoch": 0, "members": MEMBERS}
    return ModelManifest.model_validate(fields | {"weights_sha256": ensemble_sha256(MEMBERS)})


def of(content: Evaluated, model: ModelManifest) -> Evaluated:
    return replace(content, model=model)


def with_overrides(content: Evaluated, *overrides: str) -> Evaluated:
    recipe = content.model.recipe.with_overrides(overrides)
    return of(content, content.model.model_copy(update={"recipe": recipe}))


def section(content: Evaluated, title: str) -> Section:
    return next(one for one in sections(content) if one.title == title)


def making(content: Evaluated) -> dict[str, str]:
    """The rows of the card's table on the model, which the report repeats."""
    page = parsed(render(content)).text
    rows = dict(section(content, "Model").tables[0].rows)
    for what, which in provenance.rows(content.model):
        assert rows[what] == which
        assert f"{what} {which}" in page
    return rows


def chosen_in_validation(text: str) -> set[str]:
    """What a text says was chosen there, as its one sentence lists it."""
    (listed,) = re.findall(r"In validation (.*?) were chosen", text)
    return {part.strip().removeprefix("the ") for part in re.split(r",| and ", listed)}


def texts(content: Evaluated) -> Sequence[str]:
    return (
        card.markdown(content).replace("\\", ""),
        parsed(card.page(content)).text,
        parsed(render(content)).text,
    )


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("made", [single, ensemble])
@pytest.mark.parametrize("unfitted", [0, 1])
def test_what_was_chosen_in_validation_is_told_and_no_more(
    evaluated, name: str, made: Change, unfitted: int
) -> None:
    content = evaluated(name)
    content = replace(
        of(content, made(content.model)), untouched=("The logits of Aneurysm are not.",) * unfitted
    )
    fitted = (1 if name == "kium_vgg16" else 2) - unfitted
    expected = {"thresholds"} | ({"epoch"} if made is single else set())
    expected |= {1: {"temperature"}, 2: {"temperatures"}}.get(fitted, set())
    for text in texts(content):
        assert chosen_in_validation(text) == expected
        assert "and the recipe's fields if a search found them" in text
        assert ("No member's weights or epoch were." in text) == (made is ensemble)


@pytest.mark.parametrize("name", RECIPES)
def test_the_one_epoch_of_a_single_model_was_chosen_in_validation(evaluated, name: str) -> None:
    content = of(evaluated(name), single(evaluated(name).model))
    rows = making(content)
    assert rows["Epoch kept"] == "5, by the AUROC in validation"
    assert rows["Ensembling"] == "none"
    assert len(section(content, "Model").tables) == 1
    assert "the epoch was chosen here" in parsed(render(content)).text


@pytest.mark.parametrize("name", RECIPES)
def test_an_ensemble_is_told_member_by_member(evaluated, name: str) -> None:
    content = of(evaluated(name), ensemble(evaluated(name).model))
    rows = making(content)
    assert "7, 8, 9" in rows["Epoch kept"]
    assert "fold" in rows["Epoch kept"]
    assert "validation" not in rows["Epoch kept"]
    assert "3 members" in rows["Ensembling"]
    assert rows["Seed of what was drawn"] == "0 for the folds, 0 to 2 for the members"
    assert rows["SHA-256 of the list of members"] == content.model.weights_sha256
    assert section(content, "Model").tables[1].rows == [
        (str(n), str(one.best_epoch), f"{one.fold_auroc:.3f}", one.weights_sha256)
        for n, one in enumerate(MEMBERS)
    ]
    page = parsed(render(content)).text
    for row in provenance.members(content.model):
        assert " ".join(row) in page
    assert "no weights and no epoch were chosen here" in page
    assert "epoch was chosen" not in page


@pytest.mark.parametrize(
    ("name", "overrides", "told"),
    [
        ("kium_vgg16", [], "random"),
        ("octoview", [], "random"),
        ("octoview", ["model.weights=synthetic"], "those of the package, pretrained on synthetic studies"),
        ("octoview", ["model.weights=a/file.h5"], "from a/file.h5"),
        (
            "octoview",
            ["model.weights=a/file.h5", "model.frozen=2"],
            "from a/file.h5; the first 2 convolutions keep",
        ),
        ("coding_vessels", [], "random"),
        ("coding_vessels", ["model.weights=imagenet"], "ResNet50's from ImageNet, the rest random"),
        ("coding_vessels", ["model.weights=a/file.h5"], "ResNet50's from a/file.h5, the rest random"),
    ],
)
def test_the_start_is_told(evaluated, name: str, overrides: list[str], told: str) -> None:
    assert making(with_overrides(evaluated(name), *overrides))["Initial weights"].startswith(told)


@pytest.mark.parametrize(
    ("overrides", "told", "untold"),
    [
        ([], ["at most 6 epochs"], ["minutes", "without a better", "member"]),
        (
            ["training.minutes=10"],
            ["6 epochs", "10 minutes", "cut the last epoch short"],
            ["without a better"],
        ),
        (["training.early_stopping=4"], ["6 epochs", "4 epochs without a better AUROC"], ["minutes"]),
        (["training.ensemble=3"], ["6 epochs", "each member"], ["minutes"]),
    ],
)
def test_what_ended_the_training_is_told(
    evaluated, overrides: list[str], told: list[str], untold: list[str]
) -> None:
    length = making(with_overrides(evaluated("octoview"), *overrides))["Length of training"]
    assert all(words in length for words in told)
    assert not any(words in length for words in untold)


def test_averaged_weights_are_no_ensemble(evaluated) -> None:
    rows = making(with_overrides(evaluated("octoview"), "training.ema=0.99"))
    assert rows["Averaging of weights over steps"] == "exponential moving average, decay 0.99"
    assert rows["Ensembling"] == "none"
    assert making(evaluated("octoview"))["Averaging of weights over steps"] == "none"


@pytest.mark.parametrize("name", RECIPES)
def test_locations_are_spoken_of_where_they_are_predicted(evaluated, name: str) -> None:
    content, predicts = evaluated(name), name != "kium_vgg16"
    assert ("location" in " ".join(section(content, "Calibration").paragraphs)) == predicts
    assert ("locations" in section(content, "Intended use").paragraphs[0]) == predicts
    assert ("temperature_locations" in flat_metrics(content.found)) == predicts


def test_a_temperature_that_was_not_fitted_is_told_where_it_stands(evaluated) -> None:
    content = replace(evaluated("octoview"), untouched=("The logits of Aneurysm are not calibrated: few.",))
    assert content.untouched[0] in section(content, "Calibration").paragraphs
    assert "where these allow it" in section(content, "Calibration").paragraphs[0]


def test_groups_of_people_are_denied_only_where_the_data_knows_none(evaluated) -> None:
    content = evaluated("octoview")
    assert "The data holds no age" in section(content, "Limits").paragraphs[0]
    known = replace(content, examples=content.examples.model_copy(update={"clinical": ("age", "sex")}))
    assert "The data holds no" not in card.markdown(known)
    assert "No figure here is split by age" in section(known, "Limits").paragraphs[0]
    assert "what is known of the patient" not in section(known, "Intended use").paragraphs[0]
    told = with_overrides(known, 'model.clinical=["age"]')
    assert "what is known of the patient" in section(told, "Intended use").paragraphs[0]


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_said_of_an_absent_view_is_what_the_model_does(evaluated, name: str) -> None:
    recipe = small_recipe(name)
    assert (
        provenance.ABSENT_VIEWS[recipe.model.architecture] in section(evaluated(name), "Limits").paragraphs[2]
    )
    absent, black, other = answers(recipe)
    np.testing.assert_array_equal(absent, other)  # whatever its bytes say
    like_black = np.array_equal(absent, black)
    assert like_black == ("black picture" in provenance.ABSENT_VIEWS[recipe.model.architecture])


def answers(recipe: Recipe) -> tuple[np.ndarray, ...]:
    """Logits where the sixth view is absent; black; absent with other bytes."""
    keras.utils.set_random_seed(0)
    network = models.build(recipe.model, recipe.preprocessing.shape)
    rng = np.random.default_rng(0)
    network.set_weights([weight + rng.normal(0, 0.05, weight.shape) for weight in network.get_weights()])
    views = rng.integers(0, 256, (1, *recipe.preprocessing.shape), np.uint8)
    views[:, 5], present = 0, np.ones((1, 8), np.uint8)
    lacking = present.copy()
    lacking[:, 5] = 0
    filled = views.copy()
    filled[:, 5] = 200
    cases = ((views, lacking), (views, present), (filled, lacking))
    return tuple(np.asarray(network({"views": v, "present": p})) for v, p in cases)


def test_every_architecture_has_words_for_an_absent_view() -> None:
    architectures = {one.model_fields["architecture"].default for one in (Vgg16, SpatialAttention, Octoview)}
    assert set(provenance.ABSENT_VIEWS) == architectures
    assert {small_recipe(name).model.architecture for name in RECIPES} == architectures
