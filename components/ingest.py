from kfp import dsl

from components.face import base_component


@base_component()
def ingest(
    inventory: dsl.Input[dsl.Dataset],
    data_root: str,
    run_id: str,
    pseudonymise: bool,
    beam_args: list[str],
    studies: dsl.Output[dsl.Dataset],
    figures: dsl.Output[dsl.Metrics],
    fingerprint: str = "",
    code_version: str = "",
    given_run_id: str = "",
) -> str:
    """Writes the studies of an inventory as TFRecord shards, with nothing but pixels, Index and labels."""
    from angiopipe.dataflow.ingest import ingest as run
    from angiopipe.step import show_figures

    run_id = given_run_id or run_id
    made = run(
        inventory=inventory.path,
        out=studies.path,
        data_root=data_root,
        run_id=run_id,
        pseudonymise=pseudonymise,
        beam_args=beam_args,
    )
    show_figures(figures.log_metric, data_root, run_id, "ingest")
    return made.fingerprint
