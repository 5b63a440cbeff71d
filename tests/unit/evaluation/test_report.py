"""The report stands alone, says what is so, and escapes what comes from outside."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from angiopipe.evaluation.evaluated import Evaluated
from angiopipe.evaluation.predictions import Predictions
from angiopipe.evaluation.report import render
from tests.parsed_page import parsed


def separated(part: Predictions) -> Predictions:
    logits = part.logits.copy()
    logits[:, 0] = 4.0 * part.truth - 2
    return replace(part, logits=logits)


def test_the_report_holds_the_figures(evaluated: Callable[..., Evaluated]) -> None:
    content = evaluated("octoview")
    page = parsed(render(content))
    auroc = content.found.test.auroc
    assert f"{auroc.auroc:.3f} AUROC, 95 % interval {auroc.low:.3f}\N{EN DASH}{auroc.high:.3f}" in page.text
    assert "60 test studies, 30 with an aneurysm" in page.text
    assert content.examples.fingerprint in page.text
    assert "BA 0.0 % (0) not estimable not estimable not estimable" in page.text
    assert "no basis for a diagnosis" in page.text
    for group in content.model.recipe.model_dump(mode="json").values():
        for name in group if isinstance(group, dict) else ():
            assert name in page.text


def test_the_report_needs_nothing_but_itself(evaluated: Callable[..., Evaluated]) -> None:
    page = render(evaluated("octoview"))
    tags = parsed(page).seen
    assert not {"script", "link", "iframe", "object"} & set(tags)
    assert tags.count("svg") >= 3
    links = re.findall(r"""(?:src|href)=["'](.*?)["']|url\((.*?)\)|@import""", page)
    assert {link[:5] for found in links for link in found if link and not link.startswith("#")} == {"data:"}
    assert "prefers-color-scheme: dark" in page


def test_the_same_findings_give_the_same_bytes(evaluated: Callable[..., Evaluated]) -> None:
    content = evaluated("octoview")
    assert render(content) == render(content)


def test_one_logit_says_that_no_location_is_predicted(evaluated: Callable[..., Evaluated]) -> None:
    page = parsed(render(evaluated("kium_vgg16")))
    assert page.text.lower().count("this recipe predicts no location") == 2
    assert "Likeliest locations" not in page.text
    assert "nan" not in page.text.lower().split()


def test_an_index_cannot_smuggle_in_html(evaluated: Callable[..., Evaluated]) -> None:
    attack = "\"><script>alert('x')</script>"
    content = evaluated("octoview", lambda part: replace(part, indices=tuple(attack for _ in part.indices)))
    page = parsed(render(content))
    assert "script" not in page.seen
    assert attack in page.text


def test_a_faultless_model_is_said_to_have_made_no_error(evaluated: Callable[..., Evaluated]) -> None:
    page = parsed(render(evaluated("octoview", separated)))
    assert "No aneurysm was missed." in page.text
    assert "There was no false alarm." in page.text
    assert "interval of the test AUROC is Newcombe's" in page.text


def test_a_model_no_better_than_chance_is_called_so(evaluated: Callable[..., Evaluated]) -> None:
    def shuffled(part: Predictions) -> Predictions:
        return replace(part, logits=np.roll(part.logits, 1, axis=0))

    assert "ranks these studies worse than chance" in render(evaluated("octoview", shuffled))


def test_other_examples_of_the_same_data_raise_a_warning(evaluated: Callable[..., Evaluated]) -> None:
    content = evaluated("octoview")
    other = content.model.model_copy(update={"examples_fingerprint": "f" * 16})
    assert "test studies may have been trained on" not in render(content)
    assert "test studies may have been trained on" in render(replace(content, model=other))
