from kfp import dsl

from components.face import train_component


@train_component()
def register(
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    data_root: str,
    run_id: str,
    tracking_uri: str,
    model_name: str,
    registration: dsl.Output[dsl.Artifact],
    figures: dsl.Output[dsl.Metrics],
    given_run_id: str = "",
) -> None:
    """Registers the model in MLflow as challenger."""
    from angiopipe.registry.register import register as run
    from angiopipe.step import show_figures

    run_id = given_run_id or run_id
    run(
        model=model.path,
        evaluation=evaluation.path,
        out=registration.path,
        data_root=data_root,
        run_id=run_id,
        tracking_uri=tracking_uri,
        model_name=model_name,
    )
    show_figures(figures.log_metric, data_root, run_id, "register")
