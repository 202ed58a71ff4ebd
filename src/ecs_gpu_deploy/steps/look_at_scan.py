"""The gate of ECR's scan: count what it found, and refuse what is as bad as fail-on-severity says."""

from __future__ import annotations

from collections.abc import Mapping

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.image.repository import Repository
from ecs_gpu_deploy.core.image.stored_image import StoredImage
from ecs_gpu_deploy.core.judge.pace import IMAGE_SECONDS
from ecs_gpu_deploy.edges.aws.ecr_repository import fetch_platforms, fetch_scan
from ecs_gpu_deploy.errors import Refused
from ecs_gpu_deploy.inputs.requests import BuildOptions
from ecs_gpu_deploy.result import Finding, Severity

SEVERITIES = ("critical", "high", "medium")
SCANNED = frozenset({"COMPLETE", "ACTIVE"})
UNSCANNABLE = frozenset(
    {"FAILED", "UNSUPPORTED_IMAGE", "FINDINGS_UNAVAILABLE", "IMAGE_ARCHIVED", "IMAGE_SIZE_EXCEEDED"}
)


def look_at_scan(context: Context, options: BuildOptions, repository: Repository, image: StoredImage) -> None:
    """Count what ECR's scan found; raise Refused for findings as bad as fail-on-severity says."""
    limit = options.fail_on_severity
    status, counts = image.scan_status, image.findings
    if limit != "off" and status not in SCANNED:
        status, counts = _scans(context, options, repository, image)
    found = {name: count for name in SEVERITIES if (count := counts.get(name, 0))}
    if found:
        text = ", ".join(f"{count} {name}" for name, count in found.items())
        context.record(
            Finding(
                code="image-scan",
                severity=Severity.WARNING if "critical" in found or "high" in found else Severity.INFO,
                message=f"ECR's scan of {repository.name} found {text}.",
                hint=f"aws ecr describe-image-scan-findings --repository-name {repository.name} --image-id "
                f"imageDigest={image.digest}",
            )
        )
    if limit == "off":
        return
    bad = [name for name in SEVERITIES[: SEVERITIES.index(limit) + 1] if name in found]
    if bad:
        text = ", ".join(f"{found[name]} {name}" for name in bad)
        raise Refused(
            f"ECR's scan of {repository.name} found {text}, and fail-on-severity is {limit}.",
            hint="Update the base image and the packages, or change fail-on-severity.",
        )


def _scans(
    context: Context, options: BuildOptions, repository: Repository, image: StoredImage
) -> tuple[str, Mapping[str, int]]:
    """Return status and findings: of an index, which ECR does not scan, the worst of the images in it."""
    digests: tuple[str, ...] = (image.digest,)
    if image.is_index:
        digests = fetch_platforms(context.aws, repository, image.digest) or digests
    scans = [_scanned(context, options, repository, digest) for digest in digests]
    worst = {name: max(counts.get(name, 0) for _, counts in scans) for name in SEVERITIES}
    return scans[0][0], worst


def _scanned(
    context: Context, options: BuildOptions, repository: Repository, digest: str
) -> tuple[str, Mapping[str, int]]:
    """Wait for the scan to end; raise Refused where it does not, for then nothing is known."""
    began = context.clock.now()
    status = ""
    while context.clock.now() - began <= options.scan_timeout:
        status, counts = fetch_scan(context.aws, repository, digest)
        if status in SCANNED:
            return status, counts
        if status in UNSCANNABLE:
            break
        context.clock.sleep(IMAGE_SECONDS)
    told = f"its status is {status}" if status else "there is none"
    raise Refused(
        f"ECR's scan of {repository.name} has no result ({told}), and fail-on-severity is "
        f"{options.fail_on_severity}.",
        hint="Turn on scan on push for the repository or the registry, raise scan-timeout, or set "
        "fail-on-severity to off.",
    )
