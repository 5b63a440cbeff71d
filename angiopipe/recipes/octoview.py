"""Ours: one small encoder shared by the eight views, evidence per position, label and view.

    make run IMAGES=train_set/images LABELS=train_set/train.csv RECIPE=octoview
"""

from angiopipe.recipe import Octoview, OctoviewPreprocessing, Recipe, Training

RECIPE = Recipe(
    name="octoview",
    preprocessing=OctoviewPreprocessing(),
    model=Octoview(),
    training=Training(
        epochs=30,
        batch_size=8,
        optimizer="adamw",
        learning_rate=2e-3,
        weight_decay=1e-2,
        warmup=0.1,
        schedule="cosine",
    ),
)
