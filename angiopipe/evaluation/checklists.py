"""The items of two reporting checklists that a run can answer, and where.

Source: CLAIM, Tejani et al. 2024, Radiology: Artificial Intelligence 6(4):e240300 (44 items);
TRIPOD+AI, Collins et al. 2024, BMJ 385:e078378 (items 1 to 27c).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """An item that is answered.

    Attributes:
      number: in the checklist.
      topic: what it asks for, in our words.
      where: sections of this card; with "report:" before it, of the report; or a page in docs/.
    """

    number: str
    topic: str
    where: str


@dataclass(frozen=True)
class Checklist:
    """A checklist as far as a run answers it.

    Attributes:
      name: with its year.
      source: where it was published.
      items: those that are answered.
      authors: numbers of those that only the people behind a study can answer.
    """

    name: str
    source: str
    items: tuple[Item, ...]
    authors: tuple[str, ...]


CLAIM = Checklist(
    name="CLAIM (2024 update)",
    source="Tejani et al. 2024, Radiology: Artificial Intelligence 6(4):e240300, doi:10.1148/ryai.240300",
    items=(
        Item("9", "preprocessing of the data", "Recipe"),
        Item("11", "de-identification", "docs/data.md"),
        Item("12", "missing data", "Slices; docs/data.md"),
        Item("19", "assignment to partitions", "Data; docs/data.md"),
        Item("20", "level at which partitions are disjoint", "Data"),
        Item("22", "description of the model", "Model; Recipe"),
        Item("23", "software", "Model"),
        Item("24", "initialisation of parameters", "Model; Recipe"),
        Item("25", "training approach", "Recipe; docs/training.md"),
        Item("26", "selection of the final model", "Model"),
        Item("27", "ensembling", "Model"),
        Item("28", "metrics of performance", "Figures; Operating points; Locations"),
        Item("29", "uncertainty", "Figures; Operating points; Locations"),
        Item("30", "robustness and sensitivity", "Slices"),
        Item("31", "explainability", "report: Example studies"),
        Item("32", "evaluation on internal data", "Figures"),
        Item("33", "testing on external data", "Limits (none was done)"),
        Item("35", "numbers included", "Data"),
        Item("37", "performance with its uncertainty", "Figures; report: Curves"),
        Item("38", "diagnostic performance with its precision", "Operating points"),
        Item("39", "analysis of failures", "report: Example studies"),
        Item("40", "limitations", "Limits"),
        Item("41", "intended use", "Intended use"),
    ),
    authors=("1 to 8", "10", "13 to 18", "21", "34", "36", "42 to 44"),
)

TRIPOD_AI = Checklist(
    name="TRIPOD+AI (2024)",
    source="Collins et al. 2024, BMJ 385:e078378, doi:10.1136/bmj-2023-078378",
    items=(
        Item("3b", "target population, purpose and users", "Intended use"),
        Item("7", "preparation of the data", "Recipe; docs/data.md"),
        Item("8a", "outcome", "Data"),
        Item("9a", "choice of predictors", "Data"),
        Item("9b", "definition of predictors", "Data"),
        Item("11", "missing data", "Slices; docs/data.md"),
        Item("12a", "use and partition of the data", "Data"),
        Item("12b", "handling of predictors", "Recipe"),
        Item("12c", "type of model, building, internal validation", "Model; Recipe"),
        Item("12e", "measures and plots of performance", "Figures; report: Curves; report: Calibration"),
        Item("12g", "how predictions are calculated", "Calibration"),
        Item("13", "class imbalance", "Recipe; Calibration"),
        Item("14", "fairness", "Limits (no approach was taken)"),
        Item("15", "output of the model, thresholds", "Operating points"),
        Item("16", "differences of training and evaluation data", "Data"),
        Item("20a", "flow of participants, outcomes", "Data"),
        Item("21", "participants and outcomes in each analysis", "Data; Slices"),
        Item("22", "specification of the model", "Model; Recipe"),
        Item("23a", "performance with intervals, subgroups", "Figures; Slices"),
        Item("26", "limitations", "Limits"),
        Item("27a", "poor or unavailable input", "Slices; Limits"),
    ),
    authors=(
        "1", "2", "3a", "3c", "4", "5a to 6c", "8b", "8c", "9c", "10", "12d", "12f", "17 to 19", "20b", "20c", "23b",
        "24", "25", "27b", "27c",
    ),
)  # fmt: skip
