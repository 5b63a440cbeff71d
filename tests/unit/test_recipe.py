from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError, create_model

from angiopipe.recipe import (
    CodingVesselsPreprocessing,
    Fields,
    Gate,
    KiumPreprocessing,
    Octoview,
    OctoviewPreprocessing,
    Recipe,
    SpatialAttention,
    Training,
    Vgg16,
    load_recipe,
    recipe_names,
)
from angiopipe.registry.ledger import Entry

GROUPS = (
    KiumPreprocessing, CodingVesselsPreprocessing, OctoviewPreprocessing, Vgg16, SpatialAttention, Octoview,
    Training, Gate, Recipe, Entry,
)  # fmt: skip
"""All whose digest names something."""

DEFAULTS: dict[type[Fields], dict[str, Any]] = {Octoview: {"clinical": ()}}
"""Of the fields that a digest leaves out at their default. A default must not change here: `SCHEMA` is raised
past the field, which is then no longer among these."""

FIRST_RELEASE = {
    "coding_vessels": ("2c45e76d6305fbce", "1571491c047c9f3a"),
    "kium_vgg16": ("f0d4bd123785295f", "76921bcc820f4f68"),
    "octoview": ("eea4ce805db480a4", "ade1aa4eab0135f3"),
}
"""The digests of the recipes and of their preprocessings in release 0.1.0."""

VALUES = (
    "null", "true", "false", "0", "0.0", "1", "2", "3", "0.1", "0.25", "1.0", "1.5", "1e-7", "[]", "[1]", "[2,1]", "[1,2]",
    '["age"]', '["age","sex"]', '["sex","age"]', "sgd", "adam", "adamw", "constant", "cosine", "time_decay", "none",
    "inverse_frequency", "float32", "mixed_float16", "mixed_bfloat16", "synthetic", "imagenet", "a/file", "conv3_block1",
    "conv5_block3",
)  # fmt: skip
"""What is tried on every field; each takes some."""


def test_the_three_recipes_are_found():
    assert recipe_names() == ("coding_vessels", "kium_vgg16", "octoview")


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_knows_its_own_name(name):
    assert load_recipe(name).name == name


def test_an_override_changes_one_field_and_the_digest():
    plain, changed = (
        load_recipe("octoview"),
        load_recipe("octoview", ["training.epochs=3", "training.schedule=constant"]),
    )
    assert (changed.training.epochs, changed.training.schedule) == (3, "constant")
    assert changed.training.batch_size == plain.training.batch_size
    assert changed.digest() != plain.digest()
    assert changed.preprocessing.digest() == plain.preprocessing.digest()


def test_a_digest_depends_on_nothing_but_the_fields():
    plain = load_recipe("octoview")
    same = load_recipe("octoview", [f"training.epochs={plain.training.epochs}"])
    assert same.digest() == plain.digest()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epoch=3", "no such field; here there are: epochs, batch_size"),
        ("epochs=3", "no such field"),
        ("training.epochs", "expected field=value"),
        ("training.epochs=0", r"training.epochs: Input should be greater than 0, got 0"),
        ("training.optimizer=sdg", "training.optimizer"),
    ],
)
def test_a_wrong_override_is_told(override, message):
    with pytest.raises(ValueError, match=message):
        load_recipe("octoview", [override])


def test_an_unknown_recipe_is_told_with_the_known_ones():
    with pytest.raises(ValueError, match="'resnet': expected one of coding_vessels, kium_vgg16, octoview"):
        load_recipe("resnet")


def test_a_recipe_cannot_be_changed():
    with pytest.raises(ValidationError):
        load_recipe("octoview").training.epochs = 1  # type: ignore[misc]


def fields_of(recipe: Recipe) -> list[str]:
    """The dotted paths that overrides may name."""
    document = recipe.model_dump()
    return [
        f"{group}.{name}" for group, inner in document.items() if isinstance(inner, dict) for name in inner
    ]


def varied(recipe: Recipe, path: str) -> Iterator[Recipe]:
    for value in VALUES:
        try:
            yield recipe.with_overrides([f"{path}={value}"])
        except ValueError:
            continue


@st.composite
def recipes(draw) -> Recipe:
    """Any recipe: one of ours with some fields changed."""
    recipe = load_recipe(draw(st.sampled_from(recipe_names())))
    for path in draw(st.lists(st.sampled_from(fields_of(recipe)), max_size=4, unique=True)):
        recipe = draw(st.sampled_from(list(varied(recipe, path)) or [recipe]))
    return recipe


def test_recipes_are_named_as_in_the_first_release():
    assert FIRST_RELEASE == {
        name: (recipe.digest(), recipe.preprocessing.digest())
        for name, recipe in ((name, load_recipe(name)) for name in recipe_names())
    }


@pytest.mark.parametrize("name", recipe_names())
def test_every_field_of_a_recipe_changes_its_digest(name):
    recipe = load_recipe(name)
    seen: dict[str, Recipe] = {}
    for path in fields_of(recipe):
        others = [other for other in varied(recipe, path) if other != recipe]
        constant = path in ("preprocessing.kind", "model.architecture")
        assert bool(others) != constant, path
        for other in (recipe, *others):
            assert seen.setdefault(other.digest(), other) == other


@given(one=recipes(), other=recipes())
@settings(max_examples=200, deadline=None)
def test_recipes_share_a_digest_only_if_they_say_the_same(one, other):
    assert (one.digest() == other.digest()) == (one == other)
    assert (one.preprocessing.digest() == other.preprocessing.digest()) == (
        one.preprocessing == other.preprocessing
    )
    assert one.digest() == Recipe.model_validate_json(one.model_dump_json()).digest()


@given(recipe=recipes(), group=st.sampled_from(["preprocessing", "model", "training", "gate"]))
@settings(max_examples=60, deadline=None)
def test_a_new_field_with_a_default_renames_nothing_until_it_is_set(recipe, group):
    old = getattr(recipe, group)
    later = create_model(
        f"Later{type(old).__name__}", __base__=type(old), novelty=(tuple[float, ...], (0.5,))
    )
    unset, given_ = later(**old.model_dump()), later(**old.model_dump(), novelty=(0.25,))
    assert unset.digest() == old.digest() != given_.digest()
    assert recipe.model_copy(update={group: unset}).digest() == recipe.digest()
    assert recipe.model_copy(update={group: given_}).digest() != recipe.digest()


def test_a_new_group_of_fields_renames_nothing_until_it_is_set():
    later = create_model("LaterRecipe", __base__=Recipe, more=(Gate, Gate()))
    for name in recipe_names():
        document = load_recipe(name).model_dump()
        assert later(**document).digest() == load_recipe(name).digest()
        assert later(**document, more={"margin": 0.2}).digest() != load_recipe(name).digest()


@pytest.mark.parametrize("group", [group for group in GROUPS if group not in (Recipe, Entry)])
def test_a_default_that_changes_renames_what_has_the_new_value_and_nothing_else(group):
    required = (
        {"epochs": 1, "batch_size": 1, "optimizer": "sgd", "learning_rate": 1} if group is Training else {}
    )
    old = group(**required)
    for name, field in list(group.model_fields.items())[: group.SCHEMA]:
        if field.is_required() or name in ("kind", "architecture"):
            continue
        value = getattr(varying(group, name, required), name)
        later = create_model("Later", __base__=group, **{name: (field.annotation, value)})
        assert later(**required).digest() == group(**required, **{name: value}).digest() != old.digest()
        assert later(**old.model_dump()).digest() == old.digest()


def varying(group: type[Fields], name: str, required: dict[str, Any]) -> Fields:
    """The group with another value of a field than its default."""
    for value in VALUES:
        try:
            found = group(**required, **{name: json.loads(value) if value[0] in "[0123456789nft" else value})
        except ValueError:
            continue
        if found != group(**required):
            return found
    raise AssertionError(f"VALUES: none for {group.__name__}.{name}")


@pytest.mark.parametrize("group", GROUPS)
def test_what_a_digest_leaves_out_keeps_its_default(group):
    later = list(group.model_fields.items())[group.SCHEMA :]
    assert {name: one.default for name, one in later if not one.is_required()} == DEFAULTS.get(group, {})
