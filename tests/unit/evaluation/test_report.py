"""The report stands alone, says what is so, and escapes what comes from outside."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from angiopipe.evaluation.assessment import assess
from angiopipe.evaluation.example_studies import choose, illustrate
from angiopipe.evaluation.predictions import Predictions
from angiopipe.evaluation.report import Evaluated, render
from angiopipe.records.manifest import ExamplesManifest, ModelManifest
from angiopipe.records.schema import ExampleRecord

VOID = {"meta", "img", "br", "line", "circle", "rect", "polyline"}


class Balanced(HTMLParser):
    """Fails on a tag that is closed out of order; collects tags and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def parsed(page: str) -> Balanced:
    parser = Balanced()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


@pytest.fixture
def evaluated(
    predicted: Callable[..., Predictions],
    examples_of: Callable[[str], ExamplesManifest],
    trained: Callable[[str], ModelManifest],
) -> Callable[..., Evaluated]:
    def make(name: str, change: Callable[[Predictions], Predictions] = lambda part: part) -> Evaluated:
        locations = name == "octoview"
        validation, test = (change(predicted(s, n, locations)) for s, n in (("validation", 40), ("test", 60)))
        found = assess(validation, test)
        views = np.zeros((8, 32, 32, 1), np.uint8)
        record = ExampleRecord("", test.labels[0], np.ones(8, np.uint8), views, ("",) * 8, ((32, 32),) * 8)
        groups = choose(test, found.operating_points[0].threshold)
        studies = [(group, [illustrate(test, row, record) for row in group.rows]) for group in groups]
        return Evaluated(examples_of(name), trained(name), validation, test, found, studies)

    return make


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
    assert "BA 0 not estimable 0 of" in page.text
    assert "no basis for a diagnosis" in page.text
    for group in content.model.recipe.model_dump().values():
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
