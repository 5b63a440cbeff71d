"""Package metadata; the extras are the dependency sets of the container images."""

from pathlib import Path

from setuptools import find_packages, setup

BASE = [
    "apache-beam>=2.77,<3",
    "fsspec",
    "google-crc32c",
    "iterative-stratification",
    "jinja2",
    "numpy",
    "opencv-python-headless>=5",
    "pandas>=3",
    "protobuf",
    "pyarrow",
    "pydantic>=2",
    "scikit-learn>=1.9",
    "tqdm",
    "tyro",
]
KFP = ["kfp>=2.17,<3", "kfp-kubernetes>=2.17,<3"]
# tensorflow-cpu is the same library without 300 MB of CUDA kernels; it exists for Linux on x86-64 only.
TENSORFLOW = [
    "tensorflow-cpu>=2.21,<2.22; sys_platform == 'linux' and platform_machine == 'x86_64'",
    "tensorflow>=2.21,<2.22; sys_platform != 'linux' or platform_machine != 'x86_64'",
]
TRAIN = ["keras>=3.15,<4", "mlflow>=3.17,<4"]
# tensorflow-io's last release loads beside TensorFlow 2.17 only, so it has an environment of its own.
TFIO = ["tensorflow==2.17.1", "tensorflow-io==0.37.1"]
DEV = [
    "hypothesis",
    "import-linter",
    "mypy",
    "pillow",
    "pre-commit",
    "pytest",
    "pytest-xdist",
    "ruff",
    "setuptools",
    "types-PyYAML",
    "types-tqdm",
    "uv",
]

setup(
    name="angiopipe",
    version="0.1.0",
    description="From cerebral angiograms to a registered aneurysm model, as a Kubeflow pipeline",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.13",
    packages=find_packages(include=["angiopipe", "angiopipe.*"]),
    package_data={"angiopipe": ["**/*.html", "**/*.css", "py.typed"]},
    install_requires=BASE,
    extras_require={
        "kfp": KFP,
        "train": TENSORFLOW + TRAIN,
        "train-gpu": ["tensorflow[and-cuda]>=2.21,<2.22", *TRAIN],
        "tfio": TFIO,
        "dev": DEV,
    },
    entry_points={"console_scripts": ["angiopipe=angiopipe.__main__:main"]},
)
