"""The model card: filled by the run, the same in Markdown and HTML, true to its checklists."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from angiopipe.evaluation import card
from angiopipe.evaluation.card_sections import sections
from angiopipe.evaluation.checklists import CLAIM, TRIPOD_AI, Checklist
from angiopipe.evaluation.evaluated import Evaluated
from tests.parsed_page import parsed

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["octoview", "kium_vgg16"])
def test_markdown_and_page_hold_the_run(evaluated: Callable[..., Evaluated], name: str) -> None:
    content = evaluated(name)
    text, page = card.markdown(content), parsed(card.page(content)).text
    auroc = content.found.test.auroc
    told = [
        f"{auroc.auroc:.3f} ({auroc.low:.3f}\N{EN DASH}{auroc.high:.3f})",
        content.examples.data_fingerprint,
        content.evaluation.test_fingerprint,
        content.model.weights_sha256,
        *(
            f"{positives} ({positives / studies:.1%})"
            for _, studies, positives in content.splits
            if positives
        ),
        "no age, sex, size of the aneurysm",
        "training.epochs",
        f"{content.found.calibration.aneurysm:.3f}",
        f"{content.found.deciding.threshold:.3f}",
    ]
    for words in told:
        assert words in page
        assert words in text.replace("\\", "")
    assert ("This recipe predicts no location." in page) == (name == "kium_vgg16")
    assert "nan" not in page.lower().split()


def test_the_card_names_the_clinical_variables_that_entered(evaluated: Callable[..., Evaluated]) -> None:
    content = evaluated("octoview")
    assert "them are there; nothing else about the patient." in card.markdown(content)
    recipe = content.model.recipe.with_overrides(['model.clinical=["age","family_history"]'])
    told = card.markdown(replace(content, model=content.model.model_copy(update={"recipe": recipe})))
    assert "besides, experimental, of the patient: age, family history." in told
    assert "No figure here is split by age" in told


def test_every_table_of_the_markdown_is_whole(evaluated: Callable[..., Evaluated]) -> None:
    content = evaluated("octoview")
    tables = [table for section in sections(content) for table in section.tables]
    lines = [line for line in card.markdown(content).splitlines() if line.startswith("|")]
    assert len(lines) == sum(2 + len(table.rows) for table in tables)
    cells = [len(re.findall(r"(?<!\\)\|", line)) - 1 for line in lines]
    widths = [len(table.columns) for table in tables for _ in range(2 + len(table.rows))]
    assert cells == widths


def test_a_recipe_cannot_smuggle_in_markup(evaluated: Callable[..., Evaluated]) -> None:
    content = evaluated("octoview")
    attack = "<script>alert(1)</script> | [x](javascript:1)\n# y"
    recipe = content.model.recipe.model_copy(update={"name": attack})
    content = replace(content, model=content.model.model_copy(update={"recipe": recipe}))
    text = card.markdown(content)
    assert "<script>" not in text.replace("\\<", "")
    assert "\n# y" not in text
    assert "script" not in parsed(card.page(content)).seen


@pytest.mark.parametrize("checklist", [CLAIM, TRIPOD_AI], ids=["CLAIM", "TRIPOD+AI"])
def test_where_a_checklist_points_there_is_something(
    evaluated: Callable[..., Evaluated], checklist: Checklist
) -> None:
    titles = {section.title for section in sections(evaluated("octoview"))}
    report = (ROOT / "angiopipe" / "evaluation" / "templates" / "report.html").read_text()
    for item in checklist.items:
        for place in re.sub(r" \(.*\)", "", item.where).split("; "):
            if place.startswith("docs/"):
                assert (ROOT / place).is_file(), place
            elif place.startswith("report: "):
                assert f"<h2>{place.removeprefix('report: ')}</h2>" in report
            else:
                assert place in titles


@pytest.mark.parametrize(("checklist", "last"), [(CLAIM, 44), (TRIPOD_AI, 27)], ids=["CLAIM", "TRIPOD+AI"])
def test_every_item_is_answered_or_left_to_the_authors(checklist: Checklist, last: int) -> None:
    answered = [int(re.sub("[a-z]", "", item.number)) for item in checklist.items]
    assert answered == sorted(answered)
    left: set[int] = set()
    for numbers in checklist.authors:
        first, _, end = re.sub("[a-z]", "", numbers.replace(" to ", ":")).partition(":")
        left |= set(range(int(first), int(end or first) + 1))
    assert set(answered) | left == set(range(1, last + 1))
    if checklist is CLAIM:
        assert not set(answered) & left
