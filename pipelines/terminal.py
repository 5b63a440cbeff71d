"""A local run's output for people: the steps' own lines, without Kubeflow's executor protocol."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from typing import TextIO

from angiopipe.step_process import FAILED

_TIMESTAMPED = re.compile(r"\d\d:\d\d:\d\d\.\d{3} - ")
_INDENT = "    "
"""Of a step's own lines, as Kubeflow prints them."""
_END_OF_JSON = rf"{_INDENT}\}}$"
_CHATTER = re.compile(
    r"[\s-]*$|.*Streamed logs:|.*\[KFP Executor"
    # TensorFlow tells its CPU features before it knows its log level.
    r"|\s+I0000 00:00|\s+WARNING: All log messages before absl|\s+To enable the following instructions"
)


class StepsOutput(io.TextIOBase):
    """Passes whole lines on, except those that Kubeflow's executor writes about itself.

    Attributes:
      failure: what the steps that failed said of it, for the pipeline to tell at its end.
      last: the last line of a step that was passed on.
    """

    def __init__(self, terminal: TextIO):
        self.terminal = terminal
        self.line = ""
        self.failure: list[str] = []
        self.last = ""
        self.hidden_until = re.compile("")

    def write(self, text: str) -> int:
        self.line += text
        while "\n" in self.line:
            line, _, self.line = self.line.partition("\n")
            if self._is_for_people(line):
                self.terminal.write(line + "\n")
        return len(text)

    def flush(self) -> None:
        self.terminal.flush()

    def _is_for_people(self, line: str) -> bool:
        """False for the executor's lines, the JSON or list that follows some of them, and rulers."""
        own, mark, reason = line.partition(FAILED)
        if mark and not own.strip():
            self.failure.append(reason)
            return False
        if not self.hidden_until.match(line):
            return False
        # The JSON's last line is a brace at the indent of a step's output; the next line counts again.
        closes_json = self.hidden_until.pattern == _END_OF_JSON
        self.hidden_until = re.compile("")
        if closes_json:
            return False
        if line.rstrip().endswith("Got executor_input:"):
            self.hidden_until = re.compile(_END_OF_JSON)
        elif _TIMESTAMPED.match(line) and line.endswith(" outputs:"):
            self.hidden_until = re.compile(f"{_TIMESTAMPED.pattern}|-{{20}}")
            return False
        if _CHATTER.match(line):
            return False
        if line.startswith(_INDENT):
            self.last = line.strip()
        return True


@contextlib.contextmanager
def executor_lines_hidden() -> Iterator[StepsOutput]:
    """Hides the executor's protocol while the block prints to the terminal."""
    output = StepsOutput(sys.stdout)
    with contextlib.redirect_stdout(output):
        yield output
