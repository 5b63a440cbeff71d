"""Coding Vessels (2023): ResNet50 with spatial attention and an LSTM over eight RGB views.

    make run IMAGES=train_set/images LABELS=train_set/train.csv RECIPE=coding_vessels

32,070,167 parameters at 720 x 720; a published AUROC of 0.596. `model.weights=imagenet` starts
ResNet50 from ImageNet where the weights can be had.
"""

from angiopipe.recipe import CodingVesselsPreprocessing, Recipe, SpatialAttention, Training

RECIPE = Recipe(
    name="coding_vessels",
    preprocessing=CodingVesselsPreprocessing(),
    model=SpatialAttention(),
    training=Training(
        epochs=50, batch_size=4, optimizer="adam", learning_rate=1e-5, schedule="time_decay", decay=1e-6
    ),
)
