"""How the report and the model card put figures into words."""

from __future__ import annotations

from typing import Any

from angiopipe.evaluation.metrics import AurocInterval
from angiopipe.evaluation.operating_points import Proportion

NOT_ESTIMABLE = "not estimable"


def auroc(interval: AurocInterval | None) -> str:
    """Such as "0.812 (0.701-0.887)", with an en dash."""
    if interval is None:
        return NOT_ESTIMABLE
    return f"{interval.auroc:.3f} ({interval.low:.3f}\N{EN DASH}{interval.high:.3f})"


def share(proportion: Proportion | None) -> str:
    """Such as "90 % (80-95)", with an en dash."""
    if proportion is None:
        return NOT_ESTIMABLE
    value, low, high = (100 * part for part in (proportion.value, proportion.low, proportion.high))
    return f"{value:.0f}\N{NO-BREAK SPACE}% ({low:.0f}\N{EN DASH}{high:.0f})"


def figure(value: float | None) -> str:
    return NOT_ESTIMABLE if value is None else f"{value:.3f}"


def setting(value: Any) -> str:
    """A recipe's value."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def verdict(interval: AurocInterval) -> str:
    """What the interval says about the model against chance, in a sentence."""
    if interval.low > 0.5:
        return "The interval lies above 0.5: the model ranks these studies better than chance."
    if interval.high < 0.5:
        return "The interval lies below 0.5: the model ranks these studies worse than chance."
    return "The interval contains 0.5: these studies do not show that the model is better than chance."
