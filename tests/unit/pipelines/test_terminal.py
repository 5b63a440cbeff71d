from angiopipe.step_process import FAILED
from pipelines.terminal import executor_lines_hidden

PRINTED = """\
18:42:19.893 - INFO - Executing task 'validate'
18:42:19.893 - INFO - Streamed logs:

    [KFP Executor 2026-11-22 18:42:19,952 INFO]: Looking for component `a`
    [KFP Executor 2026-11-22 18:42:19,953 INFO]: Got executor_input:
    {
        "inputs": {
            "artifacts": {}
        }
    }
    WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
    I0000 00:00:1795373350.045900    7875 port.cc:153] oneDNN custom operations are on.
    18:47:58 validate: 60 studies
    {"not": "the executor's"}
18:42:19.963 - INFO - Task 'validate' finished with status SUCCESS
18:42:19.964 - INFO - Task 'validate' outputs:
    inventory: Dataset( name='inventory',
                        metadata={} )
--------------------------------------------------------------------------------
18:42:19.965 - INFO - Executing task 'ingest'
"""


def test_what_the_steps_say_stays_and_the_executors_protocol_goes(capsys):
    with executor_lines_hidden():
        print(PRINTED, end="")
    assert capsys.readouterr().out.splitlines() == [
        "18:42:19.893 - INFO - Executing task 'validate'",
        "    18:47:58 validate: 60 studies",
        '    {"not": "the executor\'s"}',
        "18:42:19.963 - INFO - Task 'validate' finished with status SUCCESS",
        "18:42:19.965 - INFO - Executing task 'ingest'",
    ]


def test_why_a_step_failed_is_kept_for_the_end(capsys):
    with executor_lines_hidden() as output:
        print(PRINTED, end="")
        print(f"    {FAILED}ingest failed: 2 faults:\n    {FAILED}  study 1: no view")
        print("18:42:20.000 - ERROR - Task 'ingest' finished with status FAILURE")
    assert output.failure == ["ingest failed: 2 faults:", "  study 1: no view"]
    assert output.last == '{"not": "the executor\'s"}'
    assert FAILED not in capsys.readouterr().out
