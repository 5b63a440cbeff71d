"""No study and no image in two splits: what would make every figure too good."""

from __future__ import annotations

import pandas as pd

from angiopipe.faults import FaultyStudies
from angiopipe.study import INDEX


def refuse_leaks(labels: pd.DataFrame, views: pd.DataFrame) -> None:
    """Stops where one study or one image is in two splits; this cannot be switched off.

    Args:
      labels: `Index` and `split`.
      views: `Index`, `view`, `sha256` and `frame`.

    Raises:
      FaultyStudies: names every leak.
    """
    twice = labels[labels.duplicated(INDEX, keep=False)]
    leaks = [
        f"study {index}: in {' and '.join(sorted(group['split'].unique()))}"
        for index, group in twice.groupby(INDEX)
    ]
    doubtful = views.duplicated("sha256", keep=False) | views[INDEX].isin(twice[INDEX])
    placed = views.loc[doubtful, [INDEX, "view", "sha256"]].merge(
        labels[[INDEX, "split"]].drop_duplicates(), on=INDEX
    )
    for digest, group in placed[placed.duplicated("sha256", keep=False)].groupby("sha256"):
        if group["split"].nunique() > 1:
            where = ", ".join(
                f"study {row.Index} view {row.view} ({row.split})" for row in group.itertuples(index=False)
            )
            leaks.append(f"image {str(digest)[:12]}...: the same bytes in {where}")
    if leaks:
        raise FaultyStudies("studies leak between splits; keep each study and image once:", leaks)
