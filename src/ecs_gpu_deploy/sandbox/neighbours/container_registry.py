"""A real registry behind the sandbox's ECR: its address is handed out, what is pushed there shows in ECR.

The registry speaks the "Docker Registry HTTP API V2"; moto keeps what ECR adds to it.
"""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

ACCEPTED = ", ".join(
    (
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)
PASSWORD_HOURS = 12


def public_authorization(*, now: float) -> str:
    """Write the answer of the public registry's GetAuthorizationToken (Amazon ECR Public API Reference)."""
    token = base64.b64encode(b"AWS:sandbox-public-registry-password").decode()
    data = {"authorizationToken": token, "expiresAt": now + PASSWORD_HOURS * 3600}
    return json.dumps({"authorizationData": data})


class ContainerRegistry:
    """The world's `registry` member: `endpoint` (with http:// or https://), `username`, `password`.

    `address` is where the sandbox itself reads it, where that is another one than clients are told.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.endpoint = settings["endpoint"].rstrip("/")
        self._address = settings.get("address", self.endpoint).rstrip("/")
        self.login = {"username": settings.get("username", "AWS"), "password": settings["password"]}

    @property
    def host(self) -> str:
        """The registry as Docker names it: host and port."""
        return self.endpoint.partition("://")[2]

    @property
    def _basic(self) -> str:
        return base64.b64encode(f"{self.login['username']}:{self.login['password']}".encode()).decode()

    def authorization(self, *, now: float) -> str:
        """Write the answer of GetAuthorizationToken."""
        data = {
            "authorizationToken": self._basic,
            "expiresAt": now + PASSWORD_HOURS * 3600,
            "proxyEndpoint": self.endpoint,
        }
        return json.dumps({"authorizationData": [data]})

    def show_in(self, ecr: Any) -> None:
        """Have moto's repositories show the tags that were pushed to the registry."""
        for name, repository in ecr.repositories.items():
            for tag in self._tags(name):
                manifest, media_type, digest = self._manifest(name, tag)
                held = next((i for i in repository.images if i.get_image_digest() == digest), None)
                if held is None or tag not in held.image_tags:
                    _free_tag(repository, tag)
                    ecr.put_image(name, manifest, tag, media_type, digest)

    def put_tag(self, asked: Mapping[str, Any]) -> None:
        """Give an image that is there a tag, as ECR is *asked* to by PutImage (API Reference)."""
        manifest = str(asked.get("imageManifest", ""))
        try:
            own = json.loads(manifest).get("mediaType")
        except (ValueError, AttributeError):
            return  # moto refuses it
        kind = asked.get("imageManifestMediaType") or own or ACCEPTED.partition(",")[0]
        path = f"{asked.get('repositoryName')}/manifests/{asked.get('imageTag')}"
        request = self._request(path, {"Content-Type": str(kind)})
        request.method, request.data = "PUT", manifest.encode()
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310 - the world's own registry
            pass

    def _tags(self, name: str) -> list[str]:
        try:
            answer, _ = self._get(f"{name}/tags/list")
        except urllib.error.HTTPError as error:
            error.close()
            return []
        return list(json.loads(answer).get("tags") or ())

    def _manifest(self, name: str, tag: str) -> tuple[str, str, str]:
        answer, headers = self._get(f"{name}/manifests/{tag}")
        return answer.decode(), headers["Content-Type"], headers["Docker-Content-Digest"]

    def _get(self, path: str) -> tuple[bytes, Mapping[str, str]]:
        request = self._request(path, {"Accept": ACCEPTED})
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            return response.read(), dict(response.headers)

    def _request(self, path: str, headers: Mapping[str, str]) -> urllib.request.Request:
        return urllib.request.Request(  # noqa: S310 - the world's own registry
            f"{self._address}/v2/{path}", headers={"Authorization": f"Basic {self._basic}", **headers}
        )


def _free_tag(repository: Any, tag: str) -> None:
    """Take a tag from the image that has it: the registry is right, whatever the tag mutability says."""
    for image in repository.images:
        image.remove_tag(tag)
