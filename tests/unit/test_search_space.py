"""A search's space: what it takes, what it refuses, what it draws."""

from __future__ import annotations

import optuna
import pytest

from angiopipe.recipe import load_recipe, recipe_names
from angiopipe.search_space import Choices, Range, parse_space

OCTOVIEW = load_recipe("octoview")


def test_ranges_take_the_type_of_their_field():
    space = parse_space(
        [
            "training.learning_rate=log(1e-4, 1e-2)",
            "training.batch_size=uniform(2,8)",
            "training.clipnorm=log(1,2)",
        ],
        OCTOVIEW,
    )
    assert space == (
        Range("training.learning_rate", 1e-4, 1e-2, True),
        Range("training.batch_size", 2, 8, False),
        Range("training.clipnorm", 1.0, 2.0, True),
    )
    assert [type(one.low) for one in space] == [float, int, float]


def test_choices_may_be_anything_that_the_field_takes():
    texts = [
        "model.widths=[[8,16],[16,32]]",
        'training.optimizer=["sgd","adamw"]',
        "training.clipnorm=[null,1]",
    ]
    assert parse_space(texts, OCTOVIEW) == (
        Choices("model.widths", ("[8, 16]", "[16, 32]")),
        Choices("training.optimizer", ('"sgd"', '"adamw"')),
        Choices("training.clipnorm", ("null", "1")),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training.learning_rate", r"expected field=log\(low,high\)"),
        ("training.learning_rate=log(1e-4)", r"expected field=log\(low,high\)"),
        ("training.learning_rate=1e-3", r"expected field=log\(low,high\)"),
        ("training.batch_size=[]", r"expected field=log\(low,high\)"),
        ("training.learning_rat=log(1e-4,1e-2)", "no such field; here there are: epochs, batch_size"),
        ("training.learning_rate=log(1e-2,1e-4)", "expected 0 < low < high"),
        ("training.weight_decay=log(0,1e-4)", "expected 0 < low < high"),
        ("training.learning_rate=log(0,1e-4)", "greater than 0"),
        ("training.batch_size=uniform(0.5,4)", "training.batch_size: .*integer"),
        ("training.batch_size=[4,-1]", "training.batch_size: .*greater than 0, got -1"),
        ("training.optimizer=[sgd]", r"expected field=log\(low,high\)"),
        ('training.optimizer=["sdg"]', "training.optimizer: .*'sgd'"),
        ("training.mirror=uniform(0,1)", "expected a field of numbers, found one of bool"),
        ("model.lstm=[32]", "no such field"),
        ("preprocessing.size=[128,256]", "needs other examples; preprocess once for each"),
        ("training.ensemble=[0,3]", "trials are single models"),
    ],
)
def test_what_does_not_fit_the_recipe_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_space([text], OCTOVIEW)


def test_all_faults_come_at_once():
    with pytest.raises(ValueError, match="3 faults") as caught:
        parse_space(["a=1", "model.dropout=uniform(0,2)", "training.ema=[0]", "training.ema=[0]"], OCTOVIEW)
    for part in ("'a=1'", "model.dropout=2", "expected training.ema once"):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", recipe_names())
def test_every_architecture_has_a_space_of_its_own(name):
    assert len(parse_space([], load_recipe(name))) >= 3


def test_what_is_drawn_fits_the_recipe_and_the_range():
    space = parse_space(
        [
            "training.learning_rate=log(1e-4,1e-2)",
            "training.batch_size=uniform(2,4)",
            "model.widths=[[8,16],[4]]",
        ],
        OCTOVIEW,
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(30):
        trial = study.ask()
        overrides = [field.suggest(trial) for field in space]
        recipe = OCTOVIEW.with_overrides(overrides)
        assert 1e-4 <= recipe.training.learning_rate <= 1e-2
        assert len(overrides[0].partition("=")[2]) <= len("0.0001234")
        seen.add((recipe.training.batch_size, recipe.model.widths))
    assert seen == {(size, widths) for size in (2, 3, 4) for widths in ((8, 16), (4,))}
