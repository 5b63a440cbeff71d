from kfp import dsl

from components.face import train_component


@train_component()
def score(
    images: str,
    study_list: str,
    data_root: str,
    run_id: str,
    tracking_uri: str,
    model_name: str,
    alias: str,
    operating_point: str,
    allow_missing: int,
    on_fault: str,
    quarantine_share: float,
    beam_args: list[str],
    clinical: str,
    predictions: dsl.Output[dsl.Dataset],
    output: dsl.Output[dsl.Dataset],
    figures: dsl.Output[dsl.Metrics],
    given_run_id: str = "",
) -> None:
    """Scores studies with a registered model and writes `output.csv`."""
    from angiopipe.registry.score import score as run
    from angiopipe.step import show_figures

    run_id = given_run_id or run_id
    run(
        images=images,
        study_list=study_list,
        out=predictions.path,
        data_root=data_root,
        run_id=run_id,
        tracking_uri=tracking_uri,
        model_name=model_name,
        alias=alias,
        operating_point=operating_point,
        allow_missing=allow_missing,
        on_fault=on_fault,  # type: ignore[arg-type]
        quarantine_share=quarantine_share,
        beam_args=beam_args,
        clinical=clinical,
        output=output.path,
    )
    show_figures(figures.log_metric, data_root, run_id, "score")
