"""The news step: whether a data set and recipe have been a version before, so that a schedule may rest."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

from angiopipe import defaults, sqlite, storage
from angiopipe.recipe import DEFAULT_RECIPE, load_recipe
from angiopipe.records.manifest import Manifest
from angiopipe.rules import check_model_name, tracking_uri_of
from angiopipe.step import record_figures, run_folder, step

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from angiopipe.cohort.image_files import ImageFile

log = logging.getLogger(__name__)

READERS = 8
"""Threads that read and hash; most of their time is the disk's or the object store's."""

FILES_AT_ONCE = 512

SOURCE_TAG = "source_fingerprint"


class NewsManifest(Manifest):
    """Whether there is anything to train on.

    Attributes:
      model_name: the registered model.
      source_fingerprint: of all that the labels and images hold, faulty studies included.
      recipe_digest: of the recipe with its overrides.
      is_new: no version was made from both.
      reason: the same in words.
      version: one that was; None where the data or the recipe is new.
      previous_statistics: URI of the statistics of the champion's data; empty if they cannot be had.
    """

    kind: Literal["news"] = "news"
    model_name: str
    source_fingerprint: str
    recipe_digest: str
    is_new: bool
    reason: str
    version: int | None
    previous_statistics: str


@step("news")
def news(
    images: str,
    labels: str,
    out: str,
    data_root: str,
    run_id: str = "local",
    recipe: str = DEFAULT_RECIPE,
    overrides: Sequence[str] = (),
    tracking_uri: str = "",
    model_name: str = defaults.MODEL_NAME,
    clinical: str = "",
) -> NewsManifest:
    """Looks whether the data or the recipe has changed since a version was made.

    Every image is read and hashed, none is decoded. Versions count whether they became champion or
    not: what lost at the gate would lose again.

    Args:
      images: folder with `<Index><view>.jpg` (or .png, .tif), or a CSV `Index,view,path[,frame]`
        that names the images; a path or URI.
      labels: CSV with `Index,Aneurysm,<21 locations>`, a path or URI.
      out: where the manifest is written.
      data_root: where runs keep their data, a path or URI.
      run_id: names the run under the data root.
      recipe: the recipe's name.
      overrides: recipe fields to change, such as `training.epochs=3`.
      tracking_uri: MLflow's server or database; empty is MLFLOW_TRACKING_URI, else an SQLite database
        under the data root.
      model_name: the registered model.
      clinical: the clinical CSV, as in `validate`; a path or URI, empty has none.

    Raises:
      FaultyStudies: the labels or the clinical CSV cannot be read.
      ValueError: there is no such recipe, no model can be called so, or MLflow does not answer.
    """
    check_model_name(model_name)
    digest = load_recipe(recipe, overrides).digest()
    source = source_fingerprint(images, labels, clinical)
    versions, champion = _versions(tracking_uri, data_root, model_name)
    same = [
        int(version.version)
        for version in versions
        if _source_of(version) == source and version.tags.get("recipe_digest") == digest
    ]
    found = NewsManifest(
        model_name=model_name,
        source_fingerprint=source,
        recipe_digest=digest,
        is_new=not same,
        reason=_reason(same, versions, source),
        version=max(same, default=None),
        previous_statistics=_statistics(champion),
    )
    found.write(storage.join(run_folder(data_root, run_id), "news.json"))
    found.write(out)
    log.info("news: %s", found.reason)
    return found


def source_fingerprint(images: str, labels: str, clinical: str = "") -> str:
    """Names what lies behind these URIs by its content: not by paths, order or times.

    Args:
      images: folder or image manifest, as in `validate`.
      labels: the labels CSV.
      clinical: the clinical CSV; empty has none.

    Returns:
      16 hexadecimal digits. Where no study is faulty they are the data set's own fingerprint.

    Raises:
      FaultyStudies: the labels or the clinical CSV cannot be read.
    """
    import pandas as pd

    from angiopipe.cohort.clinical import model_values, of_studies, read_clinical
    from angiopipe.cohort.fingerprint import data_fingerprint
    from angiopipe.cohort.image_files import image_files
    from angiopipe.cohort.labels import read_labels
    from angiopipe.cohort.quarantine import faulty_studies
    from angiopipe.study import INDEX

    table, faults = read_labels(labels)
    files = [file for file in image_files(images, table) if file.uri]
    record_figures(studies_in=len(table) + len(faulty_studies(faults)), images=len(files))
    rows = [
        (file.index, file.view, digest, file.frame)
        for file, digest in zip(files, _digests(files), strict=True)
    ]
    views = pd.DataFrame(rows, columns=[INDEX, "view", "sha256", "frame"])
    patients, more = read_clinical(clinical, {*table[INDEX], *(fault.study for fault in faults)})
    faults += more
    content = data_fingerprint(table, views, model_values(of_studies(patients, table[INDEX])))
    if not faults:
        return content
    # A fault that was mended is news, though the sound studies are what they were.
    told = sorted(f"{fault.study}\t{fault.expected}\t{fault.found}" for fault in faults)
    return hashlib.sha256("\n".join([content, *told]).encode()).hexdigest()[:16]


def source_tags(folder: str) -> dict[str, str]:
    """What a version of this run is to be tagged with, if the run looked for news."""
    uri = storage.join(folder, "news.json")
    return {SOURCE_TAG: NewsManifest.read(uri).source_fingerprint} if storage.exists(uri) else {}


def _digests(files: Sequence[ImageFile]) -> list[str]:
    digests: list[str] = []
    with ThreadPoolExecutor(READERS) as readers:
        for start in range(0, len(files), FILES_AT_ONCE):
            digests += readers.map(_digest, files[start : start + FILES_AT_ONCE])
    return digests


def _digest(file: ImageFile) -> str:
    return hashlib.sha256(storage.read_bytes(file.uri or "")).hexdigest()


def _versions(
    tracking_uri: str, data_root: str, model_name: str
) -> tuple[list[ModelVersion], ModelVersion | None]:
    """All versions, and the champion; nothing where nothing was registered yet."""
    from angiopipe.registry.connect import in_words, registry

    uri = tracking_uri_of(tracking_uri, data_root)
    database = sqlite.path_of(uri)
    if database and not database.exists():
        return [], None
    client, _ = registry(tracking_uri, data_root)
    with in_words(uri, f"versions of {model_name}"):
        versions = list(client.search_model_versions(f"name = '{model_name}'"))
        aliases = client.get_registered_model(model_name).aliases if versions else {}
    champion = aliases.get(defaults.CHAMPION)
    return versions, next((version for version in versions if version.version == champion), None)


def _source_of(version: ModelVersion) -> str | None:
    """A run that did not look for news noted its faultless data alone."""
    return version.tags.get(SOURCE_TAG) or version.tags.get("data_fingerprint")


def _reason(same: Sequence[int], versions: Sequence[ModelVersion], source: str) -> str:
    if same:
        return f"data {source} and recipe are those of version {max(same)}"
    if not versions:
        return f"no version yet; data {source}"
    if any(_source_of(version) == source for version in versions):
        return f"data {source} has been trained on, but not with this recipe"
    return f"data {source} is new"


def _statistics(champion: ModelVersion | None) -> str:
    """Of the champion's data, left in the folder of the run that made it."""
    folder = champion.tags.get("run_folder", "") if champion else ""
    uri = storage.join(folder, "inventory", "statistics.json") if folder else ""
    return uri if uri and storage.exists(uri) else ""
