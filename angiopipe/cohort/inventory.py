"""The inventory: every study's images read once, checked and hashed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, repeat

import cv2
import pandas as pd
from tqdm import tqdm

from angiopipe import storage
from angiopipe.cohort.examine import ImageFacts, ImageFault, examine
from angiopipe.cohort.image_files import ImageFile
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


def take_inventory(files: Sequence[ImageFile], allow_missing: int = 0) -> tuple[pd.DataFrame, list[Fault]]:
    """Reads, decodes and hashes every image, a bounded number at a time.

    Args:
      files: eight a study, from `image_files`.
      allow_missing: how many views of a study may be absent.

    Returns:
      The rows of the images that can be used (Index, view, uri, frame, line and the fields of
      `ImageFacts`), and the faults of the others.
    """
    tables: list[pd.DataFrame] = []
    rows: list[dict[str, object]] = []
    faults = [*_missing_views(files, allow_missing), *_rivals(files)]
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
        found = storage.in_words(error)
        return ImageFault("a file that can be read", found, "check its path and permissions")


def _place(file: ImageFile) -> dict[str, object]:
    values = (file.index, file.view, file.uri, file.frame, file.line)
    return dict(zip(PLACE_COLUMNS, values, strict=True))


def _fault(file: ImageFile, fault: ImageFault) -> Fault:
    return Fault(file.index, file.view, file.uri or "", file.line, fault.expected, fault.found, fault.remedy)


def _missing_views(files: Sequence[ImageFile], allow_missing: int) -> list[Fault]:
    missing: dict[tuple[str, int], list[str]] = {}
    for file in files:
        if file.uri is None and not file.rivals:
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


def _rivals(files: Sequence[ImageFile]) -> Iterator[Fault]:
    """Views that several files could be: one of them is the wrong one."""
    for file in files:
        if file.rivals:
            first, *others = file.rivals
            found, remedy = f"{' and '.join(others)} too", "keep the right one"
            yield Fault(file.index, file.view, first, file.line, "the view once", found, remedy)


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
