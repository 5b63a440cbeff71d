from kfp import dsl

from components.face import train_component


@train_component()
def search(
    examples: dsl.Input[dsl.Dataset],
    data_root: str,
    run_id: str,
    recipe: str,
    overrides: list[str],
    space: list[str],
    trials: int,
    startup_trials: int,
    seed: int,
    database: str,
    found: dsl.Output[dsl.Artifact],
    figures: dsl.Output[dsl.Metrics],
    given_run_id: str = "",
) -> list[str]:
    """Searches the recipe's best values on the validation studies; gives them as overrides."""
    from angiopipe.step import show_figures
    from angiopipe.training.search import search as run

    run_id = given_run_id or run_id
    best = run(
        examples=examples.path,
        out=found.path,
        data_root=data_root,
        run_id=run_id,
        recipe=recipe,
        overrides=overrides,
        space=space,
        trials=trials,
        startup_trials=startup_trials,
        seed=seed,
        database=database,
    )
    show_figures(figures.log_metric, data_root, run_id, "search")
    return list(best.overrides)
