from kfp import dsl

from components.face import base_component


@base_component()
def validate(
    images: str,
    labels: str,
    data_root: str,
    run_id: str,
    seed: int,
    validation_share: float,
    test_share: float,
    folds: int,
    fold: int,
    allow_missing: int,
    on_fault: str,
    quarantine_share: float,
    previous_statistics: str,
    drift_threshold: float,
    clinical: str,
    recipe: str,
    overrides: list[str],
    pseudonymise: bool,
    workers: int,
    tensorboard: str,
    cluster_settings: str,
    tracking_uri: str,
    model_name: str,
    inventory: dsl.Output[dsl.Dataset],
    faults: dsl.Output[dsl.Dataset],
    statistics: dsl.Output[dsl.HTML],
    figures: dsl.Output[dsl.Metrics],
    space: list[str] = [],  # noqa: B006 (Kubeflow reads it as the parameter's default)
    trials: int = 0,
    startup_trials: int = 0,
    database: str = "",
    given_run_id: str = "",
) -> str:
    """Checks labels and images, splits the studies, and lists them for the steps that follow; returns its fingerprint."""
    from angiopipe.cohort.validate import validate as run
    from angiopipe.step import show_figures

    run_id = given_run_id or run_id
    made = run(
        images=images,
        labels=labels,
        out=inventory.path,
        data_root=data_root,
        run_id=run_id,
        seed=seed,
        validation_share=validation_share,
        test_share=test_share,
        folds=folds,
        fold=fold,
        allow_missing=allow_missing,
        on_fault=on_fault,  # type: ignore[arg-type]
        quarantine_share=quarantine_share,
        previous_statistics=previous_statistics,
        drift_threshold=drift_threshold,
        clinical=clinical,
        recipe=recipe,
        overrides=overrides,
        pseudonymise=pseudonymise,
        workers=workers,
        tensorboard=tensorboard,
        cluster_settings=cluster_settings,
        tracking_uri=tracking_uri,
        model_name=model_name,
        space=space,
        trials=trials,
        startup_trials=startup_trials,
        database=database,
        faults=faults.path,
        statistics=statistics.path,
    )
    show_figures(figures.log_metric, data_root, run_id, "validate")
    return made.fingerprint
