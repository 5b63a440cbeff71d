import pytest
from pydantic import ValidationError

from angiopipe.recipe import load_recipe, recipe_names


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
