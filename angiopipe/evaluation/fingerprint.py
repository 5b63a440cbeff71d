"""The fingerprint that names a test set, whatever recipe prepared it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from angiopipe.study import VIEW_NAMES


def studies_fingerprint(
    indices: Sequence[str],
    labels: np.ndarray,
    sha256: Sequence[Sequence[str]],
    clinical: Sequence[np.ndarray] = (),
) -> str:
    """Names studies by Index, labels and what is known of them; not by order, shards or recipe.

    The views are those that ingest wrote: without metadata, before any preprocessing. Two models
    whose evaluations have the same fingerprint answered the same questions about the same pixels.

    Args:
      indices: study ids.
      labels: (n, 22) uint8.
      sha256: of each study's eight views, empty where one is absent.
      clinical: each study's, from `clinical.encode`; empty without clinical data.

    Returns:
      16 hexadecimal digits.

    Raises:
      ValueError: a study is there twice.
    """
    repeated = sorted(index for index, count in Counter(indices).items() if count > 1)
    if repeated:
        raise ValueError(f"expected each study once, found study {', '.join(repeated)} more than once")
    lines = []
    patients = [f"\t{values.tolist()}" for values in clinical] or [""] * len(indices)
    for index, flags, digests, known in zip(indices, labels, sha256, patients, strict=True):
        views = ",".join(f"{name}={digest}" for name, digest in zip(VIEW_NAMES, digests, strict=True))
        lines.append(f"{index}\t{''.join(map(str, flags))}\t{views}{known}\n")
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()[:16]
