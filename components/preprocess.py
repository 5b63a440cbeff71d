from kfp import dsl

from components.face import base_component


@base_component()
def preprocess(
    studies: dsl.Input[dsl.Dataset],
    data_root: str,
    run_id: str,
    recipe: str,
    overrides: list[str],
    beam_args: list[str],
    examples: dsl.Output[dsl.Dataset],
    figures: dsl.Output[dsl.Metrics],
    fingerprint: str = "",
    code_version: str = "",
    given_run_id: str = "",
) -> str:
    """Makes a recipe's examples from studies."""
    from angiopipe.dataflow.preprocess import preprocess as run
    from angiopipe.step import show_figures

    run_id = given_run_id or run_id
    made = run(
        studies=studies.path,
        out=examples.path,
        data_root=data_root,
        run_id=run_id,
        recipe=recipe,
        overrides=overrides,
        beam_args=beam_args,
    )
    show_figures(figures.log_metric, data_root, run_id, "preprocess")
    return made.fingerprint
