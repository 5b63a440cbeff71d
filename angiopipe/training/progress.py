"""How far a training run is: a bar on a terminal, a line an epoch in a log."""

from __future__ import annotations

import logging
import time
from typing import Self

from tqdm import tqdm

log = logging.getLogger(__name__)


class Progress:
    """Steps done, the last figures and the time left; silent but on the chief."""

    def __init__(self, steps: int, done: int, batch_size: int, shown: bool):
        """Begins with `done` of `steps` steps."""
        self.shown, self.batch_size, self.auroc = shown, batch_size, ""
        self.bar = tqdm(
            total=steps, initial=done, unit="step", dynamic_ncols=True, disable=None if shown else True
        )
        self.started, self.begun_with = time.monotonic(), done
        self.done, self.steps = done, steps

    def begin(self, epoch: str) -> None:
        self.bar.set_description(epoch)

    def update(self, steps: int, loss: float) -> None:
        """Counts steps; tells their loss, the last AUROC and the studies per second so far."""
        self.done += steps
        rate = self.batch_size * (self.done - self.begun_with) / (time.monotonic() - self.started)
        self.bar.set_postfix_str(f"loss {loss:.3f}{self.auroc}, {rate:.1f} studies/s", refresh=False)
        self.bar.update(steps)

    def end(self, loss: float, auroc: float, rate: float) -> None:
        """Ends an epoch."""
        self.auroc = f", validation AUROC {auroc:.3f}"
        if self.shown and self.bar.disable:
            each = (time.monotonic() - self.started) / max(1, self.done - self.begun_with)
            log.info(
                "%s: loss %.3f%s, %.1f studies/s, %s left",
                *(self.bar.desc.removesuffix(": "), loss, self.auroc, rate),
                tqdm.format_interval(each * (self.steps - self.done)),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()
