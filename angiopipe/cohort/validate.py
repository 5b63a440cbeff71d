"""The validate step: stops a run before anything is paid for."""

from __future__ import annotations

import importlib
import io
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal

import pandas as pd

from angiopipe import defaults, storage
from angiopipe.cohort.clinical import known_variables, model_values, of_studies
from angiopipe.cohort.fingerprint import data_fingerprint, inventory_fingerprint
from angiopipe.cohort.foreseen import Plan, Refusals, refuse_splits, refuse_studies
from angiopipe.cohort.inventory import take_inventory
from angiopipe.cohort.leaks import refuse_leaks
from angiopipe.cohort.quarantine import without_faulty
from angiopipe.cohort.read_ahead import Ahead, read_ahead
from angiopipe.cohort.splits import SplitSettings, stable_splits
from angiopipe.cohort.statistics import Statistics, statistics_of
from angiopipe.faults import fault_table
from angiopipe.recipe import DEFAULT_RECIPE
from angiopipe.records.manifest import InventoryManifest
from angiopipe.step import record_figures, run_folder, step
from angiopipe.study import ANEURYSM, INDEX, VIEW_NAMES

log = logging.getLogger(__name__)

SHEET_STUDIES = 8
"""Studies on the statistics page's contact sheet."""


@step("validate")
def validate(
    images: str,
    labels: str,
    out: str,
    data_root: str,
    run_id: str = "local",
    seed: int = 0,
    validation_share: float = defaults.VALIDATION_SHARE,
    test_share: float = defaults.TEST_SHARE,
    folds: int = 0,
    fold: int = 0,
    allow_missing: int = 0,
    on_fault: Literal["stop", "quarantine"] = "stop",
    quarantine_share: float = defaults.QUARANTINE_SHARE,
    previous_statistics: str = "",
    drift_threshold: float = 0.0,
    clinical: str = "",
    faults: str = "",
    statistics: str = "",
    recipe: str = DEFAULT_RECIPE,
    overrides: Sequence[str] = (),
    pseudonymise: bool = False,
    workers: int = 1,
    tensorboard: str = "off",
    cluster_settings: str = "",
    tracking_uri: str = "",
    model_name: str | None = None,
    space: Sequence[str] = (),
    trials: int = 0,
    startup_trials: int = 0,
    database: str = "",
) -> InventoryManifest:
    """Checks labels and images, splits the studies, and lists them for the steps that follow.

    What a later step would refuse is refused here and, where it can be known, before an image is read:
    parameters that fit neither one another nor the cohort, splits that lack a class.

    Args:
      images: folder with `<Index><view>.jpg` (or .png, .tif), or a CSV `Index,view,path[,frame]`
        that names the images, DICOM among them; a path or URI.
      labels: CSV with `Index,Aneurysm,<21 locations>`, a path or URI.
      out: where the inventory's manifest is written.
      data_root: where the run keeps its data, a path or URI.
      run_id: names the run under the data root.
      seed: of the splits.
      validation_share: share of the studies for validation.
      test_share: share of the studies for the test.
      folds: cut the studies that are not for the test into this many folds; 0 cuts none.
      fold: which of the folds is for validation, counted from 0.
      allow_missing: how many views of a study may be absent.
      on_fault: "stop", or "quarantine" to go on without the faulty studies.
      quarantine_share: at most this share of the studies may be left out.
      previous_statistics: the statistics of an earlier run, to compare with.
      drift_threshold: stop where a view's population stability index exceeds it (0.25 is
        customary), a prevalence shifted or new kinds of images came; 0 never stops.
      clinical: CSV with `Index` and any of age, sex, hypertension, smoking, family_history,
        earlier_bleeding and population, a path or URI; empty has none. Experimental.
      faults: where the table of faults is written, besides the run's folder.
      statistics: where the statistics page is written, besides the run's folder.
      recipe: what the studies are for; it and what follows are as the later steps will take them.
      overrides: recipe fields to change, such as `training.epochs=3`.
      pseudonymise: for `ingest`.
      workers: for `train`.
      tensorboard: for `train`.
      cluster_settings: for `train`.
      tracking_uri: for `register`.
      model_name: for `register`; None where nothing will be registered.
      space: for `search`.
      trials: for `search`; 0, and 0 startup trials, where nothing will be searched.
      startup_trials: for `search`.
      database: for `search`.

    Raises:
      FaultyStudies: names every fault of every study, or all that would stop the run later.
      ValueError: the data has shifted beyond the threshold.
    """
    plan = Plan(
        labels=labels,
        data_root=data_root,
        seed=seed,
        recipe=recipe,
        overrides=overrides,
        pseudonymise=pseudonymise,
        workers=workers,
        tensorboard=tensorboard,
        cluster_settings=cluster_settings,
        tracking_uri=tracking_uri,
        model_name=model_name,
        space=space,
        trials=trials,
        startup_trials=startup_trials,
        database=database,
    )
    settings = partial(SplitSettings, seed, validation_share, test_share, folds, fold)
    ahead = read_ahead(plan, images, clinical, settings, previous_statistics, on_fault)
    location = storage.join(run_folder(data_root, run_id), "inventory")
    # A second to import, and needed last: they load while the first images are read.
    with ThreadPoolExecutor(1) as importing:
        importing.map(
            importlib.import_module, ("iterstrat.ml_stratifiers", "angiopipe.cohort.statistics_page")
        )
        views, found = take_inventory(ahead.files, allow_missing)
    found = [*ahead.faults, *found]
    _write_all(fault_table(found).to_csv(index=False), [storage.join(location, "faults.csv"), faults])
    table = without_faulty(
        ahead.labels, found, ahead.studies, labels, on_fault, quarantine_share, undone="nothing was ingested"
    )
    views = views[views[INDEX].isin(table[INDEX])]
    patients = of_studies(ahead.patients, table[INDEX])
    table = _split(plan, ahead, table, views, known_variables(patients))
    content = data_fingerprint(table, views, model_values(patients))
    manifest = InventoryManifest(
        location=location,
        fingerprint=inventory_fingerprint(content, table),
        data_fingerprint=content,
        studies=len(table),
        positives=int(table[ANEURYSM].sum()),
        images=len(views),
        quarantined=ahead.studies - len(table),
        clinical=known_variables(patients),
    )
    described = statistics_of(table, views, manifest.data_fingerprint)
    described.write(manifest.statistics_uri)
    _publish_page(described, views, [manifest.page_uri, statistics], ahead.earlier, drift_threshold)
    _write_parquet(table, manifest.labels_uri)
    if clinical:
        _write_parquet(patients, manifest.clinical_uri)
    _write_parquet(views.drop(columns="histogram"), manifest.views_uri)
    manifest.write(out)
    record_figures(
        studies_in=ahead.studies,
        studies_out=len(table),
        quarantined=ahead.studies - len(table),
        images=len(views),
    )
    _tell(manifest)
    return manifest


def _split(
    plan: Plan, ahead: Ahead, studies: pd.DataFrame, views: pd.DataFrame, known: Sequence[str]
) -> pd.DataFrame:
    """The studies with their splits, which are remembered if nothing will be refused."""

    def accept(splits: pd.Series) -> None:
        placed, refusals = studies.merge(splits, on=INDEX), Refusals("nothing was ingested")
        refuse_studies(plan, ahead.recipe, studies, known, refusals)
        refuse_splits(plan, ahead.recipe, placed, refusals)
        refusals.end()
        refuse_leaks(placed, views)

    return studies.merge(stable_splits(studies, ahead.settings, plan.ledger, accept), on=INDEX)


def _publish_page(
    described: Statistics,
    views: pd.DataFrame,
    uris: Sequence[str],
    earlier: Statistics | None,
    threshold: float,
) -> None:
    """Writes the statistics page, and then stops the run if the data has shifted too far."""
    from angiopipe.cohort import statistics_page

    sheet = statistics_page.contact_sheet(views, SHEET_STUDIES, seed=0)
    if not earlier:
        _write_all(statistics_page.render(described, sheet), uris)
        return
    # SciPy's tests take half a second to import, which a first run need not wait for.
    from angiopipe.cohort.drift import drift, refuse_drift

    shifts = drift(earlier, described)
    _write_all(statistics_page.render(described, sheet, shifts, earlier), uris)
    refuse_drift(shifts, threshold or None)


def _write_all(content: str, uris: Sequence[str]) -> None:
    for uri in filter(None, uris):
        storage.write_text(uri, content)


def _write_parquet(table: pd.DataFrame, uri: str) -> None:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    storage.write_bytes(uri, buffer.getvalue())


def _tell(manifest: InventoryManifest) -> None:
    absent = len(VIEW_NAMES) * manifest.studies - manifest.images
    log.info(
        "validate: %d studies, %d with an aneurysm, %d images%s%s; data %s",
        manifest.studies,
        manifest.positives,
        manifest.images,
        f", {absent} views absent" if absent else "",
        f", {manifest.quarantined} studies quarantined (see {manifest.faults_uri})"
        if manifest.quarantined
        else "",
        manifest.data_fingerprint,
    )
