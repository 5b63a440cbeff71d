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
