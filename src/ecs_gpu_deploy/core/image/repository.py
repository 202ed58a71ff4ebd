"""An ECR repository by name or URI, and what its host names of account and Region."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Self

from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.image.image_tags import Mutability
from ecs_gpu_deploy.errors import InvalidInput

_SUFFIXES: Final = (
    *("amazonaws.com", "amazonaws.com.cn", "amazonaws.eu"),
    *("c2s.ic.gov", "sc2s.sgov.gov", "cloud.adc-e.uk", "csp.hci.ic.gov"),
)
"""The domains of AWS's partitions (botocore's partitions.json, `dnsSuffix`)."""
_DUAL_STACK: Final = (
    *("aws", "amazonwebservices.com.cn", "amazonwebservices.eu"),
    *("aws.ic.gov", "aws.scloud", "cloud-aws.adc-e.uk", "aws.hci.ic.gov"),
)
"""Those of their dual-stack hosts, below `on.` where botocore's `dualStackDnsSuffix` has `api.`."""
_HOST: Final = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\."
    rf"(?:{'|'.join(map(re.escape, _SUFFIXES))}|on\.(?:{'|'.join(map(re.escape, _DUAL_STACK))}))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository: `uri` is registry and name, as tasks name it; `account` may be "" for our own."""

    name: str
    uri: str
    account: str
    region: str
    mutability: Mutability = field(default_factory=Mutability)

    @classmethod
    def of_image(cls, reference: ImageReference) -> Self | None:
        """Return the ECR repository of an image, None where the image is elsewhere."""
        host = _HOST.fullmatch(reference.registry)
        if host is None:
            return None
        return cls(
            name=reference.repository, uri=reference.name, account=host["account"], region=host["region"]
        )

    @classmethod
    def of_input(cls, text: str, *, region: str) -> Self:
        """Return the repository that is given by name (of our own account, in *region*) or by URI.

        Raise InvalidInput where it is a URI of another registry than ECR, or has a tag. `uri` of one that is
        given by name is not known yet.
        """
        reference = ImageReference.from_text(text)
        if reference.tag or reference.digest:
            raise InvalidInput(
                f"repository is {text!r}, which names an image.",
                hint="Leave tag and digest out of repository; the tag belongs into image-tag.",
            )
        if not reference.registry:
            return cls(name=reference.repository, uri="", account="", region=region)
        found = cls.of_image(reference)
        if found is None:
            raise InvalidInput(
                f"repository is {text!r}, which is not in Amazon ECR.",
                hint="Give the name of an ECR repository, or ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME.",
            )
        return found


def is_ecr(registry: str) -> bool:
    """Say whether *registry* is a host of Amazon ECR."""
    return _HOST.fullmatch(registry) is not None
