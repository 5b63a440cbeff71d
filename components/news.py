from kfp import dsl

from components.face import train_component


@train_component()
def news(
    images: str,
    labels: str,
    clinical: str,
    data_root: str,
    run_id: str,
    recipe: str,
    overrides: list[str],
    tracking_uri: str,
    model_name: str,
    unchanged: str,
    found: dsl.Output[dsl.Artifact],
    figures: dsl.Output[dsl.Metrics],
    given_run_id: str = "",
) -> str:
    """Looks whether data or recipe have changed since a version was made from them.

    Returns `unchanged`, or what new data is to be compared with: the URI of the champion's statistics,
    empty where there are none. Kubeflow's local runner resolves no named output within an exit handler.
    """
    from angiopipe.registry.news import news as run
    from angiopipe.step import show_figures
    from angiopipe.storage import plain_uri

    run_id = given_run_id or run_id
    result = run(
        images=images,
        labels=labels,
        clinical=clinical,
        out=found.path,
        data_root=data_root,
        run_id=run_id,
        recipe=recipe,
        overrides=overrides,
        tracking_uri=tracking_uri,
        model_name=model_name,
    )
    show_figures(figures.log_metric, data_root, run_id, "news")
    # Kubeflow's local runner reads what it compares as a program.
    return plain_uri(result.previous_statistics) if result.is_new else unchanged
