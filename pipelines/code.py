"""Which code a step runs, as far as Kubeflow's cache has to know: its own key covers none of ours."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import angiopipe


@functools.cache
def code_version() -> str:
    """`code-` and 16 hexadecimal digits of the SHA-256 of the library's files, names and bytes.

    The prefix keeps a YAML parser from taking digits with an `e` among them for a number.
    """
    root = Path(angiopipe.__file__).parent
    content = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            content.update(f"{path.relative_to(root).as_posix()}\t{digest}\n".encode())
    return f"code-{content.hexdigest()[:16]}"
