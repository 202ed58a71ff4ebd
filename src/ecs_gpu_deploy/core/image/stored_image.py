"""What ECR says of an image: its digest, its tags, whether it can be pulled, what a scan of it found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from ecs_gpu_deploy.core.image.layers import INDEX_TYPES
from ecs_gpu_deploy.model import epoch, number_in, text_in
from ecs_gpu_deploy.result import InEcr

ARCHIVED: Final = "ARCHIVED"
_OUT_OF_REACH: Final = frozenset({ARCHIVED, "ACTIVATING"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """An image in ECR; of one that could not be looked up only the digest is known, where it was named.

    `is_index` says that the digest is that of an image index, so a task may report another one: that of
    the manifest for its platform. Times are epoch seconds, 0 where it never was; `size` is in bytes, packed.
    `findings` are what the scan found, severity in lower case → number.
    """

    digest: str = ""
    tags: tuple[str, ...] = ()
    status: str = "ACTIVE"
    is_index: bool = False
    size: int = 0
    pushed_at: float = 0.0
    pulled_at: float = 0.0
    scan_status: str = ""
    findings: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_api(cls, api: Mapping[str, Any]) -> Self:
        """Read ImageDetail (API Reference of Amazon ECR)."""
        return cls(
            digest=text_in(api, "imageDigest"),
            tags=tuple(api.get("imageTags") or ()),
            status=text_in(api, "imageStatus", "ACTIVE"),
            is_index=api.get("imageManifestMediaType") in INDEX_TYPES,
            size=number_in(api, "imageSizeInBytes"),
            pushed_at=epoch(api.get("imagePushedAt")) or 0.0,
            pulled_at=epoch(api.get("lastRecordedPullTime")) or 0.0,
            scan_status=text_in(api.get("imageScanStatus") or {}, "status"),
            findings=findings_in(api.get("imageScanFindingsSummary") or {}),
        )

    @property
    def is_archived(self) -> bool:
        """Can the image not be pulled because ECR archived it, or still brings it back?

        Source: API Reference, "ImageDetail", imageStatus.
        """
        return self.status in _OUT_OF_REACH


def findings_in(api: Mapping[str, Any]) -> Mapping[str, int]:
    """Return severity in lower case → number of findings, of ImageScanFindings or their summary."""
    counts = api.get("findingSeverityCounts") or {}
    return {severity.lower(): number_in(counts, severity) for severity in counts}


def archived_sentence(image: str) -> str:
    """Return why *image*, a reference or name with tag, is of no use (docs/aws-facts.md#image-lifecycle)."""
    return f"The image {image} is archived in ECR, and an archived image cannot be pulled."


def whether_in_ecr(images: Mapping[str, StoredImage | None], *keys: str) -> InEcr:
    """Return what ECR has of the first of *keys* that *images* has; UNKNOWN where it has none.

    *images* are what ECR answered by digest or reference: None is an image that it does not have.
    """
    known = next((key for key in keys if key in images), None)
    if known is None:
        return InEcr.UNKNOWN
    image = images[known]
    if image is None:
        return InEcr.GONE
    return InEcr.ARCHIVED if image.is_archived else InEcr.YES
