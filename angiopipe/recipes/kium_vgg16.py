"""The baseline of the 2023 K-IUM aneurysm competition: VGG16 over eight stacked grey views.

    make run IMAGES=train_set/images LABELS=train_set/train.csv RECIPE=kium_vgg16

138,361,425 parameters at 224 x 224. It was published with categorical cross-entropy on its single
output, a loss that is constantly zero and teaches nothing (the softmax of one value is 1); it is
trained with binary cross-entropy here. It scores `Aneurysm` only and predicts no location.
"""

from angiopipe.recipe import KiumPreprocessing, Recipe, Training, Vgg16

RECIPE = Recipe(
    name="kium_vgg16",
    preprocessing=KiumPreprocessing(),
    model=Vgg16(),
    training=Training(epochs=100, batch_size=16, optimizer="sgd", learning_rate=0.01, clipnorm=1.0),
)
