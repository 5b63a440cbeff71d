"""What a model card says, section by section, as plain text and tables."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass

from angiopipe.evaluation import provenance, wording
from angiopipe.evaluation.checklists import CLAIM, TRIPOD_AI, Checklist
from angiopipe.evaluation.evaluated import Evaluated, settings
from angiopipe.evaluation.locations import LOCATION_THRESHOLD
from angiopipe.evaluation.metrics import LEAST_STUDIES
from angiopipe.records.manifest import clinical_of
from angiopipe.study import LOCATIONS, VIEW_NAMES

_SOFTWARE = (
    "angiopipe",
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "numpy",
    "opencv-python-headless",
    "scikit-learn",
)


@dataclass(frozen=True)
class Table:
    """A table of a section; every cell is plain text."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """A section of the card.

    Attributes:
      title: its heading, which checklists name.
      paragraphs: plain text.
      tables: after the paragraphs.
    """

    title: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table] = ()


def sections(evaluated: Evaluated) -> tuple[Section, ...]:
    """The whole card in order."""
    return (
        _intended_use(evaluated),
        _model(evaluated),
        _data(evaluated),
        _figures(evaluated),
        _calibration(evaluated),
        _operating_points(evaluated),
        _locations(evaluated),
        _slices(evaluated),
        _limits(evaluated),
        _recipe(evaluated),
        *(_checklist(checklist) for checklist in (CLAIM, TRIPOD_AI)),
    )


def _intended_use(evaluated: Evaluated) -> Section:
    patient = " and what is known of the patient" if clinical_of(evaluated.model.recipe) else ""
    locations = f", and of one at each of {len(LOCATIONS)} locations" if evaluated.found.locations else ""
    return Section(
        "Intended use",
        (
            "Research on finding aneurysms in cerebral angiograms: from the eight views of one study "
            f"({', '.join(VIEW_NAMES)}){patient} it gives the probability that the patient has an aneurysm"
            f"{locations}. It is meant for researchers who can read the angiograms themselves.",
            "Not for diagnosis, triage or treatment: it is no medical device, and nobody has tested it in care. "
            "Not for other imaging (CT, MR) or other vessels.",
        ),
    )


def _model(evaluated: Evaluated) -> Section:
    model = evaluated.model
    rows = [
        ("Recipe", f"{model.recipe.name} ({model.recipe.digest()})"),
        *provenance.rows(model),
        ("SHA-256 of the list of members" if model.members else "Weights, SHA-256", model.weights_sha256),
        ("Software of the evaluation", ", ".join(_versions())),
    ]
    tables = [Table(("What", "Which"), rows)]
    if model.members:
        tables.append(Table(provenance.MEMBER_COLUMNS, provenance.members(model)))
    return Section("Model", tables=tables)


def _data(evaluated: Evaluated) -> Section:
    examples = evaluated.examples
    rows = [
        (
            split,
            str(studies),
            "not counted here" if positives is None else f"{positives} ({positives / studies:.1%})",
        )
        for split, studies, positives in evaluated.splits
    ]
    return Section(
        "Data",
        (
            f"Data set {examples.data_fingerprint} (named by Index, labels and image bytes), examples "
            f"{examples.fingerprint}, views of {examples.shape[1]} x {examples.shape[2]} pixels. "
            f"Test studies {evaluated.evaluation.test_fingerprint}: models with this same name here were tested on "
            "the same studies.",
            "Splits are by study, stratified over the labels: no study is in two. All splits come from one data "
            "set. Outcome: Aneurysm is 1 exactly when one of 21 locations has an aneurysm. Predictors: the "
            f"eight views, and which of them are there; {_told(evaluated)}.",
        ),
        (Table(("Split", "Studies", "With an aneurysm"), rows),),
    )


def _told(evaluated: Evaluated) -> str:
    """What the model knows of the patient besides the views."""
    named = ", ".join(clinical_of(evaluated.model.recipe)).replace("_", " ")
    return f"besides, experimental, of the patient: {named}" if named else "nothing else about the patient"


def _figures(evaluated: Evaluated) -> Section:
    found = evaluated.found
    columns = ("Figure", "Test", "Validation")
    rows = [
        ("AUROC (95 % interval)", *(wording.auroc(split.auroc) for split in (found.test, found.validation)))
    ]
    for name, field in (("Average precision", "average_precision"), ("Prevalence", "prevalence")):
        rows.append((name, *(f"{getattr(split, field):.3f}" for split in (found.test, found.validation))))
    if found.location_accuracy is not None:
        rows.append(("Accuracy over locations", f"{found.location_accuracy:.4f}", ""))
        rows.append(("Accuracy of always saying none", f"{found.location_accuracy_none:.4f}", ""))
        rows.append(("Mean AUROC of estimable locations", wording.figure(found.location_auroc_mean), ""))
    said = (
        "Intervals of AUROCs are DeLong's on the logit scale, of shares Wilson's; all cover 95 %. "
        f"{evaluated.flattered}"
    )
    return Section(
        "Figures", (wording.verdict(found.test.auroc), said, *evaluated.notices), (Table(columns, rows),)
    )


def _calibration(evaluated: Evaluated) -> Section:
    found = evaluated.found
    fields = (("Expected calibration error", "ece"), ("Brier score", "brier"), ("Log loss", "log_loss"))
    rows = [
        (name, *(f"{getattr(part, field):.3f}" for part in (found.test.reliability, found.test.uncalibrated)))
        for name, field in fields
    ]
    divisors = f"{found.calibration.aneurysm:.3f} (Aneurysm)"
    if found.locations:
        divisors += f" or {found.calibration.locations:.3f} (locations)"
    said = (
        f"A probability is the sigmoid of a logit divided by a temperature, {divisors}, fitted on the validation "
        "studies where these allow it. With this few studies "
        f"exactly right probabilities would show an expected calibration error of "
        f"{found.test.reliability.ece_by_chance:.3f}; always answering the prevalence scores a Brier of "
        f"{found.test.brier_of_prevalence:.3f}."
    )
    table = Table(("Test", "Calibrated", "Uncalibrated"), rows)
    return Section("Calibration", (said, *evaluated.untouched), (table,))


def _operating_points(evaluated: Evaluated) -> Section:
    columns = ("Rule", "Threshold", "Sensitivity", "Specificity", "PPV", "NPV", "Missed", "False alarms")
    rows = [
        (
            f"{point.rule}{' (decides)' if point == evaluated.found.deciding else ''}",
            f"{point.threshold:.3f}",
            wording.share(point.test.sensitivity),
            wording.share(point.test.specificity),
            wording.share(point.test.positive_predictive_value),
            wording.share(point.test.negative_predictive_value),
            str(point.test.false_negatives),
            str(point.test.false_positives),
        )
        for point in evaluated.found.operating_points
    ]
    said = "A study is called positive from the threshold on; chosen in validation, counted in test."
    return Section("Operating points", (said,), (Table(columns, rows),))


def _locations(evaluated: Evaluated) -> Section:
    found = evaluated.found
    if not found.locations:
        return Section("Locations", ("This recipe predicts no location.",))
    rows = [
        (
            location.name,
            f"{location.prevalence.successes} ({location.prevalence.value:.1%})",
            wording.auroc(location.auroc),
            wording.figure(location.average_precision),
            wording.share(location.sensitivity),
        )
        for location in found.locations
    ]
    said = (
        f"Fewer than {LEAST_STUDIES} test studies of either class are not estimable and have no part in a mean "
        f"({len(found.estimable)} of {len(LOCATIONS)} are estimable). Sensitivity is at {LOCATION_THRESHOLD}."
    )
    columns = ("Location", "With it", "AUROC (95 % interval)", "Average precision", "Sensitivity")
    return Section("Locations", (said,), (Table(columns, rows),))


def _slices(evaluated: Evaluated) -> Section:
    columns = ("Slice", "Studies", "With an aneurysm", "AUROC (95 % interval)", "Sensitivity", "Specificity")
    rows = [
        (
            f"{part.group}: {part.name}",
            str(part.studies),
            str(part.positives),
            wording.auroc(part.auroc),
            wording.share(part.sensitivity),
            wording.share(part.specificity),
        )
        for part in evaluated.found.slices
    ]
    said = (
        "At the operating point that decides. Side: studies with an aneurysm there against all without one. "
        "Projection: as if only those views existed. Image size: the shorter side of a study's smallest view."
    )
    return Section("Slices", (said,), (Table(columns, rows),))


def _limits(evaluated: Evaluated) -> Section:
    test = evaluated.found.test
    known = evaluated.examples.clinical or clinical_of(evaluated.model.recipe)
    lacking = "No figure here is split by" if known else "The data holds no"
    absent = provenance.ABSENT_VIEWS[evaluated.model.recipe.model.architecture]
    return Section(
        "Limits",
        (
            f"{lacking} age, sex, size of the aneurysm, equipment or hospital. So nothing is known of how "
            "the model does for any group of patients, for small aneurysms, or elsewhere, and no such claim may "
            "be made from this card.",
            f"One data set, split once: no external data was tested. {test.studies} test studies, {test.positives} "
            "with an aneurysm, leave the intervals as wide as they are; they cover the sampling of studies, not "
            "of training runs. Predictive values hold for this share of aneurysms alone.",
            "A temperature corrects how sure the model is, not a share of aneurysms that differs from "
            f"validation. {absent}; an undecodable one is refused. Whoever chooses "
            "between models by these test figures needs other studies to test the choice.",
        ),
    )


def _recipe(evaluated: Evaluated) -> Section:
    rows = [
        (f"{group}.{name}", wording.setting(value))
        for group, fields in settings(evaluated.model.recipe).items()
        for name, value in fields.items()
    ]
    return Section("Recipe", tables=(Table(("Field", "Value"), rows),))


def _checklist(checklist: Checklist) -> Section:
    rows = [(item.number, item.topic, item.where) for item in checklist.items]
    said = (
        f"{checklist.source}. Only the people behind a study can answer {', '.join(checklist.authors)}.",
        "Where: a section of this card; of the report; or a page of the repository.",
    )
    return Section(checklist.name, said, (Table(("Item", "Asks for", "Where"), rows),))


def _versions() -> list[str]:
    found = []
    for name in _SOFTWARE:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
