"""The validate step: stops a run before anything is paid for."""

from __future__ import annotations

import importlib
import io
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pandas as pd

from angiopipe import defaults, storage
from angiopipe.cohort import inventory
from angiopipe.cohort.clinical import known_variables, model_values, of_studies, read_clinical
from angiopipe.cohort.fingerprint import data_fingerprint, inventory_fingerprint
from angiopipe.cohort.labels import read_labels
from angiopipe.cohort.leaks import refuse_leaks
from angiopipe.cohort.quarantine import without_faulty
from angiopipe.cohort.splits import SplitSettings, stable_splits
from angiopipe.cohort.statistics import Statistics, statistics_of
from angiopipe.faults import fault_table
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
) -> InventoryManifest:
    """Checks labels and images, splits the studies, and lists them for the steps that follow.

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

    Raises:
      FaultyStudies: names every fault of every study.
      ValueError: the data has shifted beyond the threshold.
    """
    settings = SplitSettings(seed, validation_share, test_share, folds, fold)
    location = storage.join(run_folder(data_root, run_id), "inventory")
    table, found = read_labels(labels)
    total = len(table) + len({fault.study for fault in found})
    patients, more = read_clinical(clinical, {*table[INDEX], *(fault.study for fault in found)})
    found += more
    files = inventory.image_files(images, table)
    # A second to import, and needed last: they load while the first images are read.
    with ThreadPoolExecutor(1) as importing:
        importing.map(
            importlib.import_module, ("iterstrat.ml_stratifiers", "angiopipe.cohort.statistics_page")
        )
        views, more = inventory.take_inventory(files, allow_missing)
    found += more
    _write_all(fault_table(found).to_csv(index=False), [storage.join(location, "faults.csv"), faults])
    table = without_faulty(
        table, found, total, labels, on_fault, quarantine_share, undone="nothing was ingested"
    )
    views = views[views[INDEX].isin(table[INDEX])]
    table = table.merge(
        stable_splits(table, settings, storage.join(storage.absolute(data_root), "splits")), on=INDEX
    )
    refuse_leaks(table, views)
    patients = of_studies(patients, table[INDEX])
    content = data_fingerprint(table, views, model_values(patients))
    manifest = InventoryManifest(
        location=location,
        fingerprint=inventory_fingerprint(content, table),
        data_fingerprint=content,
        studies=len(table),
        positives=int(table[ANEURYSM].sum()),
        images=len(views),
        quarantined=total - len(table),
        clinical=known_variables(patients),
    )
    described = statistics_of(table, views, manifest.data_fingerprint)
    described.write(manifest.statistics_uri)
    _publish_page(described, views, [manifest.page_uri, statistics], previous_statistics, drift_threshold)
    _write_parquet(table, manifest.labels_uri)
    if clinical:
        _write_parquet(patients, manifest.clinical_uri)
    _write_parquet(views.drop(columns="histogram"), manifest.views_uri)
    manifest.write(out)
    record_figures(
        studies_in=total, studies_out=len(table), quarantined=total - len(table), images=len(views)
    )
    _tell(manifest)
    return manifest


def _publish_page(
    described: Statistics, views: pd.DataFrame, uris: Sequence[str], previous: str, threshold: float
) -> None:
    """Writes the statistics page, and then stops the run if the data has shifted too far."""
    from angiopipe.cohort import statistics_page

    sheet = statistics_page.contact_sheet(views, SHEET_STUDIES, seed=0)
    if not previous:
        _write_all(statistics_page.render(described, sheet), uris)
        return
    if not storage.exists(previous):
        raise ValueError(f"{previous}: expected the statistics of an earlier run, found nothing there")
    # SciPy's tests take half a second to import, which a first run need not wait for.
    from angiopipe.cohort.drift import drift, refuse_drift

    earlier = Statistics.read(previous)
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
