from kfp import dsl

from components.face import train_component


@train_component()
def audit(
    studies: dsl.Input[dsl.Dataset],
    labels: str,
    data_root: str,
    run_id: str,
    on_fault: str,
    pseudonymise: bool,
    report: dsl.Output[dsl.Artifact],
    figures: dsl.Output[dsl.Metrics],
    given_run_id: str = "",
) -> None:
    """Reads back every shard of studies with TensorFlow's own reader, and stops the run if one is damaged."""
    from angiopipe.records.audit import audit as run
    from angiopipe.step import show_figures

    run_id = given_run_id or run_id
    run(
        studies=studies.path,
        out=report.path,
        data_root=data_root,
        run_id=run_id,
        labels=labels,
        on_fault=on_fault,
        pseudonymise=pseudonymise,
    )
    show_figures(figures.log_metric, data_root, run_id, "audit")
