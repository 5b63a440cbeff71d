"""The fingerprint that names a raw data set by its content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType

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


def data_fingerprint(
    labels: pd.DataFrame, views: pd.DataFrame, clinical: Mapping[str, tuple[int, ...]] = MappingProxyType({})
) -> str:
    """Names a data set by Index, labels, image bytes and clinical data; not by paths, order or times.

    Args:
      labels: `Index` and the 22 labels.
      views: `Index`, `view`, `sha256` and `frame`, one row an image; a study may have none.
      clinical: each study's values of `clinical.MODEL_VARIABLES`, by Index; empty without clinical data.

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
        line = f"{index}\t{''.join(map(str, flags))}\t{','.join(images.get(index, ()))}"
        known = f"\t{','.join(map(str, clinical[index]))}" if clinical else ""
        content.update(f"{line}{known}\n".encode())
    return content.hexdigest()[:16]
