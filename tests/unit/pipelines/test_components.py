"""Every component says what it needs of a cluster, and whether its work may be taken over."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

import pytest

import components
from components.face import CACHED, TRAIN_IMAGE
from pipelines.settings import LAUNCH, STEPS, Settings

FACE = "face"
"""What components are made with; no component."""

ALL: dict[str, Any] = {
    module.name: getattr(importlib.import_module(f"components.{module.name}"), module.name)
    for module in pkgutil.iter_modules(components.__path__)
    if module.name != FACE
}


def test_every_component_states_its_need_and_nothing_else_does():
    assert set(STEPS) == {*ALL, LAUNCH}


@pytest.mark.parametrize(
    "name",
    [name for name, one in ALL.items() if one.component_spec.implementation.container.image == TRAIN_IMAGE],
)
def test_what_loads_tensorflow_or_mlflow_states_its_memory(name):
    assert "memory" in STEPS[name]


@pytest.mark.parametrize("field", ["cpu", "memory", "shared_memory"])
def test_a_trial_of_the_search_gets_what_a_training_gets(field):
    assert STEPS["search"][field] == STEPS["train"][field]
    assert Settings().step("search").timeout > Settings().step("train").timeout


def test_what_may_be_taken_over_is_what_says_what_its_work_depends_on():
    keyed = {
        name
        for name, one in ALL.items()
        if {"fingerprint", "code_version"} <= set(inspect.signature(one.python_func).parameters)
    }
    assert keyed == CACHED
