"""The validate step: stops a run before anything is paid for."""

from __future__ import annotations

import io
import logging

import pandas as pd

from angiopipe import storage
from angiopipe.cohort.inventory import InventoryManifest, data_fingerprint, find_images, take_inventory
from angiopipe.cohort.labels import read_labels
from angiopipe.step import FaultyStudies, run_folder, step
from angiopipe.study import ANEURYSM, INDEX

log = logging.getLogger(__name__)


@step("validate")
def validate(images: str, labels: str, out: str, data_root: str, run_id: str = "local") -> InventoryManifest:
    """Checks labels and images, and lists them for the steps that follow.

    Args:
      images: folder with `<Index><view>.jpg` (or .png, .tif), a path or URI.
      labels: CSV with `Index,Aneurysm,<21 locations>`, a path or URI.
      out: where the inventory's manifest is written.
      data_root: where the run keeps its data, a path or URI.
      run_id: names the run under the data root.

    Raises:
      FaultyStudies: names every fault of every study.
    """
    table = read_labels(labels)
    lines = dict(zip(table[INDEX], table["line"], strict=True))
    views, faults = take_inventory(find_images(images, table[INDEX]), lines)
    if faults:
        raise FaultyStudies(
            f"{images}: {len(faults)} faults in the images of {len(table)} studies; "
            f"supply the images or remove the studies from {labels}, and run again:",
            faults,
        )
    location = storage.join(run_folder(data_root, run_id), "inventory")
    manifest = InventoryManifest(
        location=location,
        data_fingerprint=data_fingerprint(table, views),
        studies=len(table),
        positives=int(table[ANEURYSM].sum()),
    )
    _write_parquet(table, manifest.labels_uri)
    _write_parquet(views, manifest.views_uri)
    manifest.write(out)
    log.info(
        "validate: %d studies, %d with an aneurysm, %d images, all readable; data %s",
        manifest.studies, manifest.positives, len(views), manifest.data_fingerprint,
    )  # fmt: skip
    return manifest


def _write_parquet(table: pd.DataFrame, uri: str) -> None:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    storage.write_bytes(uri, buffer.getvalue())
