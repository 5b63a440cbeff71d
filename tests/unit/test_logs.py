"""The log in a process of its own, as its handlers are made once."""

import json
import subprocess
import sys
from datetime import datetime

import pytest

STEP = """
import sys, threading
import logging
from angiopipe.faults import Fault, FaultyStudies
from angiopipe.step import step

@step("look")
def look(data_root, run_id="r7"):
    log = logging.getLogger("angiopipe.look")
    thread = threading.Thread(target=log.info, args=("looking at %d studies", 2))
    thread.start(); thread.join()
    raise FaultyStudies("1 fault in 2 studies:", [Fault("17", "LI-A", "17LI-A.jpg", 3, "a JPEG", "nothing", "send it")])

try:
    look(sys.argv[1])
except FaultyStudies as error:
    print(error)
"""


def _run(tmp_path, **environment):
    return subprocess.run(
        [sys.executable, "-c", STEP, str(tmp_path)], env={"PYTHONPATH": ".", **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("where", [{"ANGIOPIPE_LOG": "json"}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}])
def test_on_a_cluster_every_line_names_step_run_and_study(tmp_path, where):
    done = _run(tmp_path, **where)
    info, fault, summary = (json.loads(line) for line in done.stderr.splitlines())
    for line in (info, fault, summary):
        assert (line["step"], line["run_id"]) == ("look", "r7")
        assert datetime.fromisoformat(line["time"]).tzinfo
    assert (info["level"], info["message"]) == ("INFO", "looking at 2 studies")
    assert (fault["study"], fault["view"], fault["file"], fault["line"]) == ("17", "LI-A", "17LI-A.jpg", 3)
    assert fault["message"].startswith("study 17, view LI-A (17LI-A.jpg, line 3): expected a JPEG")
    assert summary["message"] == "FaultyStudies: 1 fault in 2 studies:"
    assert (summary["level"], "study" in summary) == ("ERROR", False)


@pytest.mark.parametrize("where", [{}, {"ANGIOPIPE_LOG": "text", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}])
def test_a_terminal_gets_lines_for_people_and_the_error_once(tmp_path, where):
    done = _run(tmp_path, **where)
    (line,) = done.stderr.splitlines()
    assert line.endswith(" looking at 2 studies")
    assert "study 17" in done.stdout


def test_another_format_is_refused(tmp_path):
    done = _run(tmp_path, ANGIOPIPE_LOG="xml")
    assert "ANGIOPIPE_LOG: expected json or text, got 'xml'" in done.stderr
