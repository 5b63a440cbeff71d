"""How a step becomes a Kubeflow component: in one of our images, with nothing installed at run time."""

from functools import partial
from importlib.metadata import version

from kfp import dsl

VERSION = version("angiopipe")

# The local runner warns about images without "python" in their name.
BASE_IMAGE = f"angiopipe/python-base:{VERSION}"
TRAIN_IMAGE = f"angiopipe/python-train:{VERSION}"

base_component = partial(
    dsl.component, base_image=BASE_IMAGE, packages_to_install=[], install_kfp_package=False
)
train_component = partial(
    dsl.component, base_image=TRAIN_IMAGE, packages_to_install=[], install_kfp_package=False
)
