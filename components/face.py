"""How a step becomes a Kubeflow component: in one of our images, with nothing installed at run time."""

from functools import partial
from importlib.metadata import version

from kfp import dsl

VERSION = version("angiopipe")

# The local runner warns about images without "python" in their name.
BASE_IMAGE = f"angiopipe/python-base:{VERSION}"
TRAIN_IMAGE = f"angiopipe/python-train:{VERSION}"

IMAGES = {"base": BASE_IMAGE, "train": TRAIN_IMAGE}
"""Each image by the name that the settings give another one under."""

CACHED = frozenset({"ingest", "preprocess", "train"})
"""The components whose work Kubeflow may take over from an earlier run.

All others look at the world outside their inputs (files behind a path, a registry, a search's database,
a clock) or give a verdict that has to be this run's own. What is cached takes `fingerprint`, of the data it works on, and
`code_version` as parameters for Kubeflow's key alone, which covers neither the bytes behind a path nor
the library. The recipe is in the key by name and overrides; with the code these decide its every field.
"""

base_component = partial(
    dsl.component, base_image=BASE_IMAGE, packages_to_install=[], install_kfp_package=False
)
train_component = partial(
    dsl.component, base_image=TRAIN_IMAGE, packages_to_install=[], install_kfp_package=False
)
