"""Ours: one small encoder shared by the eight views, evidence per position, location and view.

    make run IMAGES=train_set/images LABELS=train_set/train.csv RECIPE=octoview

87,108 parameters, whatever the size. It starts from weights that come with the package, pretrained on
synthetic studies whose sacs' outlines are known (docs/experiments.md); `model.weights=null` starts at
random, which takes a rate ten times as high and five times the epochs. Left and right are mirror images of
each other by construction, so `training.mirror` would show it nothing new.
"""

from angiopipe.recipe import Octoview, OctoviewPreprocessing, Recipe, Training

RECIPE = Recipe(
    name="octoview",
    preprocessing=OctoviewPreprocessing(),
    model=Octoview(weights="synthetic"),
    training=Training(
        epochs=6,
        batch_size=8,
        optimizer="adamw",
        learning_rate=3e-4,
        weight_decay=1e-2,
        warmup=0.1,
        schedule="cosine",
        shift=0.03,
    ),
)
