"""From eight cerebral angiograms per patient to a registered aneurysm model."""

import os

# TensorFlow reads it when it is imported, and by itself turns oneDNN on for the newest processors only.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
