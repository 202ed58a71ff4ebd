"""Whether the images that are to run were made by who must have made them: before anything is changed."""

from __future__ import annotations

import hashlib
import os

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.identity.attestation import CODE, ExpectedSigner, attested_by, refused
from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.image.repository import Repository
from ecs_gpu_deploy.edges.aws.ecr_repository import fetch_manifest_texts
from ecs_gpu_deploy.edges.ci.gh import check_gh, server_of, verify_manifest, verify_reference
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.result import Finding, Severity
from ecs_gpu_deploy.steps.render_revision import Rendering


def verify_attestations(context: Context, expected: ExpectedSigner | None, rendering: Rendering) -> None:
    """Verify the provenance of the images that *rendering* is about; raise InvalidInput and Refused.

    Nothing is done where none is *expected*. Each image once, by the digest that is to run.
    """
    if expected is None:
        return
    expected.check_server(server_of(os.environ))
    check_gh(os.environ)
    for image, digest in dict.fromkeys(rendering.looked_up):
        _verify(context, expected, ImageReference.from_text(image), digest)


def _verify(context: Context, expected: ExpectedSigner, image: ImageReference, digest: str) -> None:
    if not digest:
        raise InvalidInput(
            f"require-attestation is set, and which digest {image} has is not known.",
            hint="Name the image by its digest (…@sha256:…), or allow ecr:DescribeImages on its repository.",
        )
    named = str(image.with_digest(digest))
    repository = Repository.of_image(image)
    if repository is None:
        results = verify_reference(
            named, expected, environment=os.environ, token=context.github.token, clock=context.clock
        )
    else:
        manifest = fetch_manifest_texts(context.aws, repository, [digest]).get(digest, "").encode()
        if f"sha256:{hashlib.sha256(manifest).hexdigest()}" != digest:
            raise refused(
                f"The manifest of {named} could not be read, so its attestation was not verified.",
                hint="Allow ecr:BatchGetImage on the repository.",
            )
        results = verify_manifest(
            manifest,
            expected,
            image=named,
            environment=os.environ,
            token=context.github.token,
            clock=context.clock,
        )
    found = attested_by(results, expected, image=named, digest=digest, server=server_of(os.environ))
    context.reporter.say(f"{image} is attested by {found}")
    context.record(
        Finding(
            code=CODE,
            severity=Severity.INFO,
            message=f"The provenance of {named} was verified: {found}.",
            hint=found.run,
        )
    )
