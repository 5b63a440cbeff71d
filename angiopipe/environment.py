"""What a model was made with: the code's version, Python, packages, hardware. No host or user names."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

REVISION_VARIABLE = "ANGIOPIPE_REVISION"
"""Says the code's commit where no repository is around it, as in an image."""

IMAGE_VARIABLE = "ANGIOPIPE_IMAGE"
"""Says the container image's name, which a container cannot find out."""

_GIT_SECONDS = 10


@cache
def environment() -> dict[str, Any]:
    """This process's environment, ready for JSON."""
    return {
        "code": code(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "hardware": {
            "processor": _processor(),
            "cores": usable_cores(),
            "memory_gb": _memory_gb(),
            "gpus": _gpus(),
        },
        "packages": _packages(),
    }


def code() -> dict[str, str]:
    """The library's version, its commit and the image it runs in; empty where it cannot be known.

    A commit ends in `-modified` where files that it tracks were changed.
    """
    return {
        "version": importlib.metadata.version("angiopipe"),
        "commit": os.environ.get(REVISION_VARIABLE) or _commit(),
        "image": os.environ.get(IMAGE_VARIABLE, ""),
    }


def _commit() -> str:
    """The commit of the repository that tracks this file, if git knows one."""
    file = Path(__file__)
    if not _git("ls-files", "--", file.name):
        return ""  # An environment inside another project's repository would tell that one's commit.
    modified = _git("status", "--porcelain", "--untracked-files=no")
    return _git("rev-parse", "HEAD") + ("-modified" if modified else "")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory_gb() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)


def _gpus() -> list[str]:
    """Names of the GPUs that TensorFlow sees, if this process has loaded it."""
    tf = sys.modules.get("tensorflow")
    if tf is None:
        return []
    details = tf.config.experimental.get_device_details
    return [details(gpu).get("device_name", gpu.name) for gpu in tf.config.list_physical_devices("GPU")]


def _packages() -> dict[str, str]:
    found = {item.metadata["Name"].lower(): item.version for item in importlib.metadata.distributions()}
    return dict(sorted(found.items()))
