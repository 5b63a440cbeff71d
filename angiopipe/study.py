"""The vocabulary: studies, views and locations, under one name each.

A study is one patient's examination: eight views and one label vector, identified by `Index`.
A view is one injection (a vessel on a side) seen in one projection. The names, and the order of
the locations, are those of the 2023 K-IUM data set.
"""

from __future__ import annotations

from typing import NamedTuple


class View(NamedTuple):
    """One of the eight angiograms of a study.

    Attributes:
      side: "L" or "R", the patient's side into which contrast was injected.
      vessel: "I" (internal carotid artery) or "V" (vertebral artery).
      projection: "A" (antero-posterior) or "B" (lateral).
    """

    side: str
    vessel: str
    projection: str

    @property
    def name(self) -> str:
        return f"{self.side}{self.vessel}-{self.projection}"

    @property
    def mirrored(self) -> View:
        """The same injection and projection on the patient's other side."""
        return self._replace(side=OTHER_SIDE[self.side])


OTHER_SIDE = {"L": "R", "R": "L"}

VIEWS: tuple[View, ...] = tuple(
    View(side, vessel, projection) for side in "LR" for vessel in "IV" for projection in "AB"
)
VIEW_NAMES: tuple[str, ...] = tuple(view.name for view in VIEWS)

INDEX = "Index"
ANEURYSM = "Aneurysm"
LOCATIONS: tuple[str, ...] = (
    "L_ICA", "R_ICA", "L_PCOM", "R_PCOM", "L_AntChor", "R_AntChor", "L_ACA", "R_ACA",
    "L_ACOM", "R_ACOM", "L_MCA", "R_MCA", "L_VA", "R_VA", "L_PICA", "R_PICA",
    "L_SCA", "R_SCA", "BA", "L_PCA", "R_PCA",
)  # fmt: skip
LABELS: tuple[str, ...] = (ANEURYSM, *LOCATIONS)
"""The 22 entries of a label vector; entry 0 is 1 exactly when some location is."""

SPLITS: tuple[str, ...] = ("train", "validation", "test")


def mirrored_label(label: str) -> str:
    """The label that `label` becomes when left and right are exchanged; `BA` stays itself."""
    side, _, vessel = label.partition("_")
    return f"{OTHER_SIDE[side]}_{vessel}" if vessel else label


MIRRORED_VIEWS: tuple[int, ...] = tuple(VIEWS.index(view.mirrored) for view in VIEWS)
"""For each view, the position of its counterpart on the other side."""

MIRRORED_LABELS: tuple[int, ...] = tuple(LABELS.index(mirrored_label(label)) for label in LABELS)
"""For each label, the position of its counterpart on the other side."""
