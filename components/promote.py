from kfp import dsl

from components.face import train_component


@train_component()
def promote(
    registration: dsl.Input[dsl.Artifact],
    evaluation: dsl.Input[dsl.Artifact],
    studies: dsl.Input[dsl.Dataset],
    inventory: dsl.Input[dsl.Dataset],
    data_root: str,
    run_id: str,
    tracking_uri: str,
    promotion: dsl.Output[dsl.Artifact],
    figures: dsl.Output[dsl.Metrics],
    given_run_id: str = "",
) -> None:
    """Compares the challenger with the champion and makes it champion if it passes."""
    from angiopipe.registry.promote import promote as run
    from angiopipe.step import show_figures

    run_id = given_run_id or run_id
    run(
        registration=registration.path,
        evaluation=evaluation.path,
        studies=studies.path,
        inventory=inventory.path,
        out=promotion.path,
        data_root=data_root,
        run_id=run_id,
        tracking_uri=tracking_uri,
    )
    show_figures(figures.log_metric, data_root, run_id, "promote")
