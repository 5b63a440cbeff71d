"""The fingerprint that names a raw data set by its content."""

from __future__ import annotations

import hashlib

import pandas as pd

from angiopipe.study import INDEX, LABELS


def inventory_fingerprint(data: str, labels: pd.DataFrame) -> str:
    """Names a data set and its splits.

    Args:
      data: the data set's own fingerprint.
      labels: `Index` and `split`, one row a study.

    Returns:
      16 hexadecimal digits.
    """
    rows = labels.sort_values(INDEX)[[INDEX, "split"]].itertuples(index=False)
    content = "\n".join([data, *(f"{index}\t{split}" for index, split in rows)])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def data_fingerprint(labels: pd.DataFrame, views: pd.DataFrame) -> str:
    """Names a data set by Index, labels and image bytes; not by paths, order or times.

    Args:
      labels: `Index` and the 22 labels.
      views: `Index`, `view`, `sha256` and `frame`, one row an image; a study may have none.

    Returns:
      16 hexadecimal digits.
    """
    images: dict[str, list[str]] = {}
    ordered = views.sort_values([INDEX, "view"])
    for index, view, digest, frame in ordered[[INDEX, "view", "sha256", "frame"]].itertuples(index=False):
        images.setdefault(index, []).append(f"{view}={digest}" + ("" if pd.isna(frame) else f"#{int(frame)}"))
    content = hashlib.sha256()
    for row in labels.sort_values(INDEX)[[INDEX, *LABELS]].itertuples(index=False):
        index, *flags = row
        content.update(f"{index}\t{''.join(map(str, flags))}\t{','.join(images.get(index, ()))}\n".encode())
    return content.hexdigest()[:16]
