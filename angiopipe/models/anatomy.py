"""Which injection can show which location, and how left and right correspond.

Source: the usual territories. The circle of Willis is not closed by contrast: an injected carotid
fills its own anterior circulation and often the other side's through the anterior communicating
artery, and with a fetal posterior cerebral artery that one too. A vertebral artery fills the
basilar artery and all its branches, and at times the other vertebral artery backwards.
"""

from __future__ import annotations

import numpy as np

from angiopipe.study import LOCATIONS, OTHER_SIDE, VIEWS

OWN, CROSSED, RARE, NEVER = 0.9, 0.3, 0.1, 0.005
"""Chance that an injection shows a location: the rule, by cross-flow, by a variant, by no known way."""

_OWN_SIDE = {
    "I": {"ICA": OWN, "PCOM": OWN, "AntChor": OWN, "ACA": OWN, "ACOM": OWN, "MCA": OWN, "PCA": CROSSED},
    "V": {"VA": OWN, "PICA": OWN, "SCA": OWN, "BA": OWN, "PCA": OWN, "PCOM": RARE},
}
_OTHER_SIDE = {
    "I": {"ACA": CROSSED, "ACOM": CROSSED, "MCA": RARE},
    "V": {"VA": CROSSED, "PICA": CROSSED, "SCA": OWN, "PCA": OWN, "PCOM": RARE},
}


def visibility() -> np.ndarray:
    """Chance that each view shows an aneurysm at each location.

    Returns:
      (8, 21) float32, in the order of `study.VIEWS` and `study.LOCATIONS`.
    """
    chances = np.full((len(VIEWS), len(LOCATIONS)), NEVER, np.float32)
    for row, view in enumerate(VIEWS):
        for column, location in enumerate(LOCATIONS):
            side, _, vessel = location.rpartition("_")
            table = _OTHER_SIDE if side == OTHER_SIDE[view.side] else _OWN_SIDE
            chances[row, column] = table[view.vessel].get(vessel, NEVER)
    return chances
