"""The inventory: every study's images found, read once, checked and hashed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, repeat

import cv2
import pandas as pd
from tqdm import tqdm

from angiopipe import storage
from angiopipe.cohort.examine import EXTENSIONS, ImageFacts, ImageFault, examine
from angiopipe.cohort.image_manifest import read_image_manifest
from angiopipe.environment import usable_cores
from angiopipe.faults import Fault
from angiopipe.study import INDEX, VIEW_NAMES

REMOTE_READERS = 16
"""Threads that read from an object store, where most of them wait. Local files need one a core:
OpenCV and hashing release Python's lock."""

PLACE_COLUMNS = (INDEX, "view", "uri", "frame", "line")

TASKS_IN_FLIGHT = 64
"""Tasks handed to the readers ahead of what was taken back; bounds what waits, whatever the cohort's size."""

ROWS_A_TABLE = 4096
"""Rows that are held as Python objects before they become a table, a third of their size."""

FILES_A_TASK = 16
"""Images a reader takes at once; handing over each by itself would cost the readers Python's lock."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One image that a study should have.

    Attributes:
      uri: where it is; None where none was found.
      frame: of a DICOM run, counted from 1; None takes the whole run.
      line: the study's line in the labels CSV.
    """

    index: str
    view: str
    uri: str | None
    frame: int | None
    line: int


def image_files(images: str, studies: pd.DataFrame) -> list[ImageFile]:
    """Eight images a study, from a folder or an image manifest.

    Args:
      images: URI of the folder, or of the manifest's CSV.
      studies: `Index` and `line` of the studies wanted.
    """
    if images.lower().endswith(".csv"):
        return listed_images(read_image_manifest(images), studies)
    return find_images(images, studies)


def find_images(images: str, labels: pd.DataFrame) -> list[ImageFile]:
    """The eight image files of each study, named `<Index><view>` with a known extension.

    Args:
      images: URI of the folder.
      labels: `Index` and `line` of the studies wanted.
    """
    extensions = {extension for known in EXTENSIONS.values() for extension in known}
    by_stem = {}
    for uri in storage.list_files(images):
        stem, _, extension = uri.rsplit("/", 1)[-1].rpartition(".")
        if extension.lower() in extensions:
            by_stem[stem] = uri
    return [
        ImageFile(index, view, by_stem.get(f"{index}{view}"), None, line)
        for index, line in zip(labels[INDEX], labels["line"], strict=True)
        for view in VIEW_NAMES
    ]


def listed_images(manifest: pd.DataFrame, labels: pd.DataFrame) -> list[ImageFile]:
    """The images that an image manifest names for the studies wanted.

    Args:
      manifest: `Index`, `view`, `uri` and `frame`, one row an image.
      labels: `Index` and `line` of the studies wanted.
    """
    named = {
        (row.Index, row.view): (row.uri, None if pd.isna(row.frame) else int(row.frame))
        for row in manifest.itertuples(index=False)
    }
    return [
        ImageFile(index, view, *named.get((index, view), (None, None)), line)
        for index, line in zip(labels[INDEX], labels["line"], strict=True)
        for view in VIEW_NAMES
    ]


def take_inventory(files: Sequence[ImageFile], allow_missing: int = 0) -> tuple[pd.DataFrame, list[Fault]]:
    """Reads, decodes and hashes every image, a bounded number at a time.

    Args:
      files: eight a study, from `find_images` or `listed_images`.
      allow_missing: how many views of a study may be absent.

    Returns:
      The rows of the images that can be used (Index, view, uri, frame, line and the fields of
      `ImageFacts`), and the faults of the others.
    """
    tables: list[pd.DataFrame] = []
    rows: list[dict[str, object]] = []
    faults = _missing_views(files, allow_missing)
    cv2.setNumThreads(1)  # The readers are the parallelism.
    for file, found in _examined([file for file in files if file.uri]):
        if isinstance(found, ImageFault):
            faults.append(_fault(file, found))
        else:
            rows.append({**_place(file), **vars(found)})
        if len(rows) == ROWS_A_TABLE:
            tables.append(_table(rows))
            rows = []
    if rows or not tables:  # An empty table's columns have no types, and would take them from the others.
        tables.append(_table(rows))
    views = pd.concat(tables, ignore_index=True)
    return views, [*faults, *_same_bytes(views)]


def _table(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    columns = [*PLACE_COLUMNS, *ImageFacts.__dataclass_fields__]
    return pd.DataFrame(rows, columns=columns).astype({"frame": "Int64"})


def _examined(files: Sequence[ImageFile]) -> Iterator[tuple[ImageFile, ImageFacts | ImageFault]]:
    local = storage.is_local(files[0].uri or "") if files else True
    tasks = (files[at : at + FILES_A_TASK] for at in range(0, len(files), FILES_A_TASK))
    with (
        ThreadPoolExecutor(usable_cores() if local else REMOTE_READERS) as readers,
        tqdm(total=len(files), unit=" images", desc="validate", leave=False, disable=None) as bar,
    ):
        # A window that slides: no reader waits for the slowest of a batch.
        waiting: deque[tuple[Sequence[ImageFile], Future[list[ImageFacts | ImageFault]]]] = deque()
        for task in chain(tasks, repeat((), TASKS_IN_FLIGHT)):
            waiting.append((task, readers.submit(_examine_all, task)))
            if len(waiting) > TASKS_IN_FLIGHT:
                part, examined = waiting.popleft()
                yield from zip(part, examined.result(), strict=True)
                bar.update(len(part))


def _examine_all(files: Sequence[ImageFile]) -> list[ImageFacts | ImageFault]:
    return [_examine(file) for file in files]


def _examine(file: ImageFile) -> ImageFacts | ImageFault:
    uri = file.uri or ""
    try:
        return examine(storage.read_bytes(uri), uri.rsplit("/", 1)[-1], file.frame)
    except ImageFault as fault:
        return fault
    except OSError as error:
        return ImageFault("a file that can be read", type(error).__name__, "check its path and permissions")


def _place(file: ImageFile) -> dict[str, object]:
    values = (file.index, file.view, file.uri, file.frame, file.line)
    return dict(zip(PLACE_COLUMNS, values, strict=True))


def _fault(file: ImageFile, fault: ImageFault) -> Fault:
    return Fault(file.index, file.view, file.uri or "", file.line, fault.expected, fault.found, fault.remedy)


def _missing_views(files: Sequence[ImageFile], allow_missing: int) -> list[Fault]:
    missing: dict[tuple[str, int], list[str]] = {}
    for file in files:
        if file.uri is None:
            missing.setdefault((file.index, file.line), []).append(file.view)
    expected = f"at least {len(VIEW_NAMES) - allow_missing}" if allow_missing else str(len(VIEW_NAMES))
    return [
        Fault(
            index, "", "", line, f"{expected} views",
            f"{len(VIEW_NAMES) - len(views)}: {', '.join(views)} {'is' if len(views) == 1 else 'are'} missing",
            "supply them or remove the study",
        )
        for (index, line), views in missing.items()
        if len(views) > min(allow_missing, len(VIEW_NAMES) - 1)
    ]  # fmt: skip


def _same_bytes(views: pd.DataFrame) -> Iterator[Fault]:
    """Images that are there twice, within a study or in two: one of the two is the wrong one."""
    keys = ["sha256", "frame"]
    twice = views[views.duplicated(keys, keep=False)]
    for _, group in twice.groupby(keys, dropna=False):
        names = [f"study {row.Index} view {row.view}" for row in group.itertuples(index=False)]
        for position, row in enumerate(group.itertuples(index=False)):
            others = ", ".join(names[:position] + names[position + 1 :])
            yield Fault(
                row.Index, row.view, row.uri, int(row.line), "an image of its own", f"the bytes of {others}",
                "export the right image",
            )  # fmt: skip
