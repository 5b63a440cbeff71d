from kfp import dsl

from components.face import base_component


@base_component()
def outcome(
    status: dsl.PipelineTaskFinalStatus,
    data_root: str,
    run_id: str,
    webhook: str,
    account: dsl.Output[dsl.Artifact],
    given_run_id: str = "",
) -> None:
    """Tells a webhook how the run ended and, if it failed, which step and why; leaves it as a file."""
    from angiopipe.outcome import outcome as run

    run_id = given_run_id or run_id
    run(state=status.state, out=account.path, data_root=data_root, run_id=run_id, webhook=webhook)
