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
    model: dsl.Output[dsl.Model],
) -> None:
    """Trains a recipe's model on its examples and keeps the best weights."""
    from angiopipe.training.train import train as run

    run(
        examples=examples.path,
        out=model.path,
        data_root=data_root,
        run_id=run_id,
        recipe=recipe,
        overrides=overrides,
        seed=seed,
    )
