from kfp import dsl

from components.face import train_component


@train_component()
def evaluate(
    examples: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    data_root: str,
    run_id: str,
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    roc: dsl.Output[dsl.ClassificationMetrics],
    report: dsl.Output[dsl.HTML],
    card: dsl.Output[dsl.Markdown],
    given_run_id: str = "",
) -> None:
    """Scores the test studies; shows metrics, ROC, report and model card in Kubeflow."""
    from angiopipe.evaluation.evaluate import evaluate as run
    from angiopipe.step import show_figures

    run_id = given_run_id or run_id
    found = run(
        examples=examples.path,
        model=model.path,
        out=evaluation.path,
        report=report.path,
        card=card.path,
        data_root=data_root,
        run_id=run_id,
    )
    for name, value in found.metrics.items():
        metrics.log_metric(name, value)
    show_figures(metrics.log_metric, data_root, run_id, "evaluate")
    roc.log_roc_curve(*map(list, zip(*found.roc, strict=True)))
