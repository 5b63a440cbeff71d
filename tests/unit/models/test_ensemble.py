"""Several models as one."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from angiopipe import models
from angiopipe.models import ensemble
from tests.unit.models.test_models import TINY, _build, _studies, load_recipe


@pytest.mark.parametrize("name", ["kium_vgg16", "octoview"])
def test_an_ensemble_gives_the_mean_of_its_members_logits(name):
    shape = load_recipe(name, TINY[name]).preprocessing.shape
    members = []
    for seed in range(2):
        keras.utils.set_random_seed(seed)
        members.append(_build(name, *TINY[name]))
    studies = _studies(shape)
    studies["present"][0, 3] = 0
    each = np.stack([np.array(member(studies)) for member in members])
    together = ensemble.join(members, shape)
    np.testing.assert_allclose(together(studies), each.mean(axis=0), rtol=1e-5, atol=1e-6)
    assert np.abs(each - each[0]).max() > 1e-4
    assert [m.count_params() for m in ensemble.members(together)] == [members[0].count_params()] * 2


def test_its_evidence_is_the_mean_of_its_members_maps():
    shape = load_recipe("octoview", TINY["octoview"]).preprocessing.shape
    members = [_build("octoview", *TINY["octoview"]) for _ in range(2)]
    for seed, member in enumerate(members):
        rng = np.random.default_rng(seed)
        member.set_weights([weight + rng.normal(0, 0.1, weight.shape) for weight in member.get_weights()])
    studies = _studies(shape)
    each = np.stack([np.array(models.evidence(member)(studies)) for member in members])
    together = ensemble.join(members, shape)
    found = models.evidence(together)(studies)
    np.testing.assert_allclose(found, each.mean(axis=0), rtol=1e-5, atol=1e-5)
    logits, maps = models.with_evidence(together)(studies)
    np.testing.assert_array_equal(logits, together(studies))
    np.testing.assert_allclose(maps, found, rtol=1e-5, atol=1e-5)


def test_an_architecture_without_maps_has_none_in_an_ensemble_either():
    shape = load_recipe("kium_vgg16", TINY["kium_vgg16"]).preprocessing.shape
    members = [_build("kium_vgg16", *TINY["kium_vgg16"]) for _ in range(2)]
    together = ensemble.join(members, shape)
    assert models.evidence(together) is None
    assert models.with_evidence(together) is None
