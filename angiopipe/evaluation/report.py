"""The report: one HTML page that needs nothing but itself."""

from __future__ import annotations

from itertools import groupby

from jinja2 import Environment

from angiopipe.evaluation import figures, provenance, wording
from angiopipe.evaluation.evaluated import Evaluated, settings
from angiopipe.evaluation.locations import LOCATION_THRESHOLD
from angiopipe.evaluation.metrics import LEAST_STUDIES
from angiopipe.html import page


def render(evaluated: Evaluated) -> str:
    """The page, with every value from outside escaped."""
    found = evaluated.found
    template = _environment().get_template("report.html")
    return template.render(
        evaluated=evaluated,
        found=found,
        model=evaluated.model,
        examples=evaluated.examples,
        verdict=wording.verdict(found.test.auroc),
        settings=settings(evaluated.model.recipe),
        making=provenance.rows(evaluated.model),
        members=provenance.members(evaluated.model),
        member_columns=provenance.MEMBER_COLUMNS,
        roc=figures.roc_plot(found),
        precision_recall=figures.precision_recall_plot(found),
        reliability=figures.reliability_plot(found),
        histogram=figures.histogram(found, evaluated.test),
        slices=[(group, list(parts)) for group, parts in groupby(found.slices, lambda part: part.group)],
        evidence=any(view.overlay for _, some in evaluated.studies for study in some for view in study.views),
        least_studies=LEAST_STUDIES,
        location_threshold=LOCATION_THRESHOLD,
    )


def _environment() -> Environment:
    environment = page.environment("angiopipe.evaluation")
    environment.filters |= {"share": wording.share, "setting": wording.setting}
    return environment
