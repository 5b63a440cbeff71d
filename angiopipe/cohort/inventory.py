"""The inventory: every study's eight images found, read once, checked and hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from tqdm import tqdm

from angiopipe import storage
from angiopipe.imaging.decode import decode
from angiopipe.records.manifest import Manifest
from angiopipe.study import INDEX, LABELS, VIEW_NAMES

READERS = 4
"""Threads that read and decode; OpenCV and hashing release Python's lock, storage waits."""

VIEW_COLUMNS = (INDEX, "view", "uri", "bytes", "sha256", "height", "width")


class InventoryManifest(Manifest):
    """An inventory: `location` holds `labels.parquet` and `views.parquet`.

    Attributes:
      data_fingerprint: of the content (Index, labels and image bytes), whatever its order or place.
      studies: how many; each has eight rows in `views.parquet`.
      positives: how many of them have an aneurysm.
    """

    kind: Literal["inventory"] = "inventory"
    location: str
    data_fingerprint: str
    studies: int
    positives: int

    @property
    def labels_uri(self) -> str:
        return storage.join(self.location, "labels.parquet")

    @property
    def views_uri(self) -> str:
        return storage.join(self.location, "views.parquet")


@dataclass(frozen=True)
class ImageFile:
    """One image that a study should have; `uri` is None where none was found."""

    index: str
    view: str
    uri: str | None


def find_images(images: str, indices: Iterable[str]) -> list[ImageFile]:
    """The eight image files of each study, named `<Index><view>` with a known extension.

    Args:
      images: URI of the folder.
      indices: the studies wanted.
    """
    by_stem = {}
    for uri in storage.list_files(images):
        stem, _, extension = uri.rsplit("/", 1)[-1].rpartition(".")
        if extension.lower() in ("jpg", "jpeg", "png", "tif", "tiff"):
            by_stem[stem] = uri
    return [ImageFile(index, view, by_stem.get(f"{index}{view}")) for index in indices for view in VIEW_NAMES]


def take_inventory(files: Sequence[ImageFile], lines: dict[str, int]) -> tuple[pd.DataFrame, list[str]]:
    """Reads, decodes and hashes every image, one at a time per reader.

    Args:
      files: what `find_images` gave.
      lines: each study's line in the labels CSV, for the faults.

    Returns:
      The rows (columns `VIEW_COLUMNS`) of the images that can be used, and the faults of the others.
    """
    with ThreadPoolExecutor(READERS) as readers:
        progress = tqdm(
            readers.map(_examine, files),
            total=len(files),
            unit=" images",
            desc="validate",
            leave=False,
            disable=None,
        )
        examined = list(progress)
    rows = [found for found in examined if isinstance(found, tuple)]
    unreadable = [
        f"study {file.index}, view {file.view} ({file.uri}, line {lines[file.index]}): {fault}"
        for file, fault in zip(files, examined, strict=True)
        if isinstance(fault, str) and file.uri
    ]
    return pd.DataFrame(rows, columns=list(VIEW_COLUMNS)), [*_missing_views(files, lines), *unreadable]


def data_fingerprint(labels: pd.DataFrame, views: pd.DataFrame) -> str:
    """Names a raw data set by its content: Index, labels and image bytes, not paths, order or times.

    Returns:
      16 hexadecimal digits.
    """
    digests = views.sort_values([INDEX, "view"]).groupby(INDEX)["sha256"].agg(",".join)
    content = hashlib.sha256()
    for row in labels.sort_values(INDEX).itertuples(index=False):
        record = row._asdict()
        flags = "".join(str(record[name]) for name in LABELS)
        content.update(f"{record[INDEX]}\t{flags}\t{digests[record[INDEX]]}\n".encode())
    return content.hexdigest()[:16]


def _examine(file: ImageFile) -> tuple[object, ...] | str:
    """The inventory row of an image, or what is wrong with it."""
    if file.uri is None:
        return "missing"
    content = storage.read_bytes(file.uri)
    try:
        height, width = decode(content).shape[:2]
    except ValueError as error:
        return str(error)
    return (file.index, file.view, file.uri, len(content), hashlib.sha256(content).hexdigest(), height, width)


def _missing_views(files: Sequence[ImageFile], lines: dict[str, int]) -> list[str]:
    missing: dict[str, list[str]] = {}
    for file in files:
        if file.uri is None:
            missing.setdefault(file.index, []).append(file.view)
    return [
        f"study {index}: expected {len(VIEW_NAMES)} views, found {len(VIEW_NAMES) - len(views)}: "
        f"{', '.join(views)} {'is' if len(views) == 1 else 'are'} missing (line {lines[index]})"
        for index, views in missing.items()
    ]
