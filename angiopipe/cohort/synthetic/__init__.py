"""Synthetic cohorts: eight angiograms per made-up patient, with the truth about every sac.

`make_study` makes one study in memory, `synthesize.synthesize` a whole cohort on disk; `Settings` holds
all that may be tuned.
"""

from angiopipe.cohort.synthetic.generate import Footprint, Lesion, SyntheticStudy, make_study
from angiopipe.cohort.synthetic.settings import (
    DIFFICULTIES,
    EASY,
    REALISTIC,
    Difficulty,
    Settings,
    SiteWeights,
)

__all__ = [
    "DIFFICULTIES",
    "EASY",
    "REALISTIC",
    "Difficulty",
    "Footprint",
    "Lesion",
    "Settings",
    "SiteWeights",
    "SyntheticStudy",
    "make_study",
]
