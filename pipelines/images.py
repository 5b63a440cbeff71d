"""Container images by digest: a tag may mean other bytes tomorrow, a digest cannot."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import urllib3

from components.face import IMAGES
from pipelines.errors import PipelineError
from pipelines.kubeflow.answers import at, text
from pipelines.settings import Settings

_MANIFESTS = ", ".join(
    [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ]
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_DOCKER_HUB = "registry-1.docker.io"
_HUB_CREDENTIALS = "https://index.docker.io/v1/"
_TIMEOUT = urllib3.Timeout(connect=5, read=20)


class Reference(NamedTuple):
    """An image's name in its parts."""

    registry: str
    repository: str
    tag: str


def is_pinned(image: str) -> bool:
    return bool(_DIGEST.fullmatch(image.rpartition("@")[2]))


def pinned(settings: Settings, used: Iterable[str]) -> Settings:
    """The same settings with a digest for each image that is used.

    Args:
      settings: whose images may have tags or digests.
      used: the images that a package names.

    Raises:
      PipelineError: a tag's digest cannot be had; names every one.
    """
    images: dict[str, str] = {}
    faults: list[str] = []
    for name, own in IMAGES.items():
        image = settings.images.get(name, own)
        if image not in used:
            continue
        try:
            images[name] = image if is_pinned(image) else f"{image.partition('@')[0]}@{resolve(image)}"
        except PipelineError as error:
            faults.append(f"images.{name}: {error}")
    if faults:
        raise PipelineError(
            "; ".join(faults)
            + "; give `<image>@sha256:<digest>` in the settings, or run what the tag means at that "
            "time with --unpinned or `pin_images: false`"
        )
    return settings.model_copy(update={"images": settings.images | images})


def resolve(image: str) -> str:
    """The digest that a tag has in its registry now.

    Source: the OCI distribution specification, "Pulling manifests"; the token exchange is Docker's
    registry authentication.

    Raises:
      PipelineError: the registry cannot be reached, or does not have it.
    """
    reference = parse_reference(image)
    try:
        answer = _head(reference, {})
        if answer.status == 401:
            answer = _head(reference, _authorization(reference, answer.headers.get("WWW-Authenticate", "")))
    except (urllib3.exceptions.HTTPError, ValueError, KeyError) as error:
        raise PipelineError(
            f"{image}: expected its registry to tell the digest, found {type(error).__name__}: {error}"
        ) from None
    digest = answer.headers.get("Docker-Content-Digest", "")
    if answer.status != 200 or not _DIGEST.fullmatch(digest):
        raise PipelineError(
            f"{image}: expected its registry to tell the digest, found status {answer.status} from "
            f"{reference.registry}"
        )
    return digest


def parse_reference(image: str) -> Reference:
    """An image's registry, repository and tag, with Docker's defaults."""
    first, _, rest = image.partition("/")
    has_registry = bool(rest) and ("." in first or ":" in first or first == "localhost")
    registry, path = (first, rest) if has_registry else ("docker.io", image)
    repository, _, tag = path.partition(":")
    if registry == "docker.io" and "/" not in repository:
        repository = f"library/{repository}"
    return Reference(_DOCKER_HUB if registry == "docker.io" else registry, repository, tag or "latest")


def _head(reference: Reference, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
    host = reference.registry.partition(":")[0]
    scheme = "http" if host in ("localhost", "127.0.0.1") else "https"  # As Docker does.
    url = f"{scheme}://{reference.registry}/v2/{reference.repository}/manifests/{reference.tag}"
    return urllib3.request(
        "HEAD", url, headers={"Accept": _MANIFESTS, **headers}, timeout=_TIMEOUT, retries=False
    )


def _authorization(reference: Reference, challenge: str) -> dict[str, str]:
    """The header that answers a registry's challenge, with Docker's own credentials if there are some."""
    basic = _credentials(reference.registry)
    if not challenge.lower().startswith("bearer"):
        return basic
    asked = dict(_CHALLENGE.findall(challenge))
    scope = asked.get("scope", f"repository:{reference.repository}:pull")
    query = {"service": asked.get("service", ""), "scope": scope}
    answer = urllib3.request(
        "GET", f"{asked['realm']}?{urlencode(query)}", headers=basic, timeout=_TIMEOUT, retries=False
    )
    content = answer.json()
    return {"Authorization": f"Bearer {text(content, 'token') or text(content, 'access_token')}"}


def _credentials(registry: str) -> dict[str, str]:
    """What `docker login` left for a registry in its configuration file, unless it keeps it elsewhere."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        known = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    entry = at(known, "auths", _HUB_CREDENTIALS if registry == _DOCKER_HUB else registry, default={})
    if text(entry, "username"):
        both = f"{entry['username']}:{text(entry, 'password')}"
        return {"Authorization": f"Basic {base64.b64encode(both.encode()).decode()}"}
    return {"Authorization": f"Basic {text(entry, 'auth')}"} if text(entry, "auth") else {}
