"""A registry to log in to: ECR's own of an account and Region, or ECR's public one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.image.repository import Repository
from ecs_gpu_deploy.errors import InvalidInput

PUBLIC: Final = "public.ecr.aws"
_ACCOUNT: Final = re.compile(r"\d{12}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryWish:
    """A registry as somebody names it: `host`, or `account` in the run's own Region; without both our own.

    Source: Amazon ECR User Guide, "Private registry authentication"; Amazon ECR Public User Guide.
    """

    host: str = ""
    account: str = ""
    region: str = ""

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read an account id, a host of ECR or the URI of a repository there, `public` or public.ecr.aws.

        Raise InvalidInput for any other.
        """
        if _ACCOUNT.fullmatch(text):
            return cls(account=text)
        host = text.removeprefix("https://").partition("/")[0]
        if host in {PUBLIC, "public"}:
            return cls(host=PUBLIC)
        found = Repository.of_image(ImageReference(registry=host, repository="x"))
        if found is None:
            raise InvalidInput(
                f"registry is {text[:100]!r}, which is none of Amazon ECR.",
                hint="Give an account id, ACCOUNT.dkr.ecr.REGION.amazonaws.com or public.ecr.aws; "
                "docker/login-action knows others.",
            )
        return cls(host=host, account=found.account, region=found.region)

    @property
    def is_public(self) -> bool:
        """Say whether it is ECR's public registry."""
        return self.host == PUBLIC

    def host_beside(self, own: str) -> str:
        """Return the host, where ECR hands *own* out for the account of the credentials."""
        if self.host or not self.account:
            return self.host or own
        return _ACCOUNT.sub(self.account, own, count=1)
