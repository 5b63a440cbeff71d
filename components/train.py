from kfp import dsl

from components.face import train_component


@train_component()
def train(
    examples: dsl.Input[dsl.Dataset],
    data_root: str,
    run_id: str,
    recipe: str,
    overrides: list[str],
    seed: int,
    workers: int,
    tensorboard: str,
    start_deadline: float,
    cluster_settings: str,
    model: dsl.Output[dsl.Model],
    figures: dsl.Output[dsl.Metrics],
    fingerprint: str = "",
    code_version: str = "",
    given_run_id: str = "",
) -> None:
    """Trains a recipe's model on its examples and keeps the best weights."""
    from angiopipe.step import show_figures
    from angiopipe.training.train import train as run

    run_id = given_run_id or run_id
    run(
        examples=examples.path,
        out=model.path,
        data_root=data_root,
        run_id=run_id,
        recipe=recipe,
        overrides=overrides,
        seed=seed,
        workers=workers,
        tensorboard=tensorboard,
        start_deadline=start_deadline,
        cluster_settings=cluster_settings,
    )
    show_figures(figures.log_metric, data_root, run_id, "train")
