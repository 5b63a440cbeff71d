"""All of a cohort but its images: read, and refused where this step or a later one would refuse it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from angiopipe import storage
from angiopipe.cohort.clinical import known_variables, of_studies, read_clinical
from angiopipe.cohort.foreseen import PLENTY, Plan, Refusals, refuse_plan, refuse_splits, refuse_studies
from angiopipe.cohort.image_files import ImageFile, image_files
from angiopipe.cohort.labels import read_labels
from angiopipe.cohort.quarantine import faulty_studies
from angiopipe.cohort.splits import SplitSettings, remembered_splits, splits_of
from angiopipe.cohort.statistics import Statistics
from angiopipe.faults import Fault
from angiopipe.recipe import Recipe
from angiopipe.study import INDEX

ON_FAULT = ("stop", "quarantine")


@dataclass(frozen=True)
class Ahead:
    """What is known before any image is read.

    Attributes:
      recipe: what the studies are for.
      settings: how they are split.
      earlier: the statistics to compare with, if any.
      labels: `Index`, the 22 labels and `line` of the studies whose line has no fault.
      patients: what is known of them besides.
      files: their images, eight a study.
      faults: of the other lines, and of what is known besides.
      studies: how many there are, those with a fault included.
    """

    recipe: Recipe
    settings: SplitSettings
    earlier: Statistics | None
    labels: pd.DataFrame
    patients: pd.DataFrame
    files: list[ImageFile]
    faults: list[Fault]
    studies: int


def read_ahead(
    plan: Plan,
    images: str,
    clinical: str,
    settings: Callable[[], SplitSettings],
    previous: str,
    on_fault: str,
) -> Ahead:
    """Reads all but the images.

    Raises:
      FaultyStudies: names all that would stop the run, in this step or a later one.
    """
    refusals = Refusals("no image was read")
    ask, patients, files, studies = refusals.ask, None, None, 0
    recipe = refuse_plan(plan, refusals)
    ask(_refuse_other_than_known, on_fault)
    split, earlier = ask(settings), ask(_statistics, previous) if previous else None
    labels, faults = ask(read_labels, plan.labels) or (None, [])
    if labels is not None:
        studies = len(labels) + len(faulty_studies(faults))
        named = {*labels[INDEX], *(fault.study for fault in faults)}
        patients, more = ask(read_clinical, clinical, named) or (None, [])
        faults, files = [*faults, *more], ask(image_files, images, labels)
    # A line that is mended may hold what is lacking.
    if labels is not None and not faults:
        _refuse_ahead(plan, recipe, split, labels, patients, refusals)
    refusals.end(faults)
    if recipe is None or split is None or labels is None or patients is None or files is None:
        raise AssertionError("unreachable: what is not there was refused")
    return Ahead(recipe, split, earlier, labels, patients, files, faults, studies)


def _refuse_ahead(
    plan: Plan,
    recipe: Recipe | None,
    settings: SplitSettings | None,
    labels: pd.DataFrame,
    patients: pd.DataFrame | None,
    refusals: Refusals,
) -> None:
    known = None if patients is None else known_variables(of_studies(patients, labels[INDEX]))
    rarer = refuse_studies(plan, recipe, labels, known, refusals)
    remembered = refusals.ask(remembered_splits, settings, plan.ledger) if settings else None
    if settings and remembered is not None and 0 < rarer < PLENTY:
        splits = splits_of(labels, settings, remembered)
        refuse_splits(plan, recipe, labels.merge(splits, on=INDEX), refusals)


def _refuse_other_than_known(on_fault: str) -> None:
    if on_fault not in ON_FAULT:
        raise ValueError(f"on_fault: expected one of {', '.join(ON_FAULT)}, got {on_fault!r}")


def _statistics(uri: str) -> Statistics:
    if not storage.exists(uri):
        raise ValueError(f"{uri}: expected the statistics of an earlier run, found nothing there")
    return Statistics.read(uri)
