"""Whose credentials are wanted, and what STS would refuse of it anyway."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.result import Finding, Severity

_SHORT_SECONDS: Final = 1800
_ROLE: Final = re.compile(r"arn:(?P<partition>aws[a-z-]*):iam::(?P<account>\d{12}):role/[\w+=,.@/-]{1,576}")
_PARTITIONS: Final = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "eu-isoe-": "aws-iso-e",
    "us-isof-": "aws-iso-f",
    "eusc-": "aws-eusc",
}
"""How the names of a partition's Regions begin, where it is not `aws` (botocore's partitions.json)."""
_SESSION_NAME: Final = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleWish:
    """Whose credentials are wanted. `role_arn` is assumed over OIDC, then each of `chain` in turn.

    `duration` is in seconds; `allowed_accounts` are the account ids they may be of, none meaning all.
    """

    role_arn: str
    chain: tuple[str, ...]
    session_name: str
    duration: int
    external_id: str
    session_policy: str
    audience: str
    allowed_accounts: tuple[str, ...] = ()

    @property
    def roles(self) -> tuple[str, ...]:
        """Every role in its order."""
        return (*([self.role_arn] if self.role_arn else []), *self.chain)

    def check(self, region: str) -> None:
        """Raise InvalidInput for what STS would refuse anyway."""
        for name, arn in [("role-to-assume", self.role_arn), *(("role-chain", arn) for arn in self.chain)]:
            if arn and not _ROLE.fullmatch(arn):
                raise InvalidInput(
                    f"{name} is {arn!r}, which is not the ARN of a role.",
                    hint="Write it as arn:aws:iam::123456789012:role/NAME.",
                )
            _check_partition(name, arn, region)
        if not _SESSION_NAME.fullmatch(self.session_name):
            raise InvalidInput(
                f"role-session-name is {self.session_name!r}, which STS does not take.",
                hint="2 to 64 letters, digits and _ + = , . @ -",
            )
        if self.roles and not 900 <= self.duration <= 43200:
            raise InvalidInput(
                f"role-duration is {self.duration} s; STS takes 15 minutes to 12 hours.",
                hint="Leave it out: the credentials renew themselves, so one hour is enough for any wait.",
            )
        if self.external_id and not self.chain:
            raise InvalidInput(
                "role-external-id is set, but no role of role-chain is assumed with it.",
                hint="AssumeRoleWithWebIdentity takes no external id; it belongs to a role of role-chain.",
            )

    def findings(self) -> tuple[Finding, ...]:
        """Return what is worth a warning: credentials too short to be renewed in peace."""
        if not self.roles or self.duration >= _SHORT_SECONDS:
            return ()
        return (
            Finding(
                code="short-credentials",
                severity=Severity.WARNING,
                message=f"role-duration is {self.duration // 60} minutes: the credentials are renewed very "
                "often, and a renewal that fails has little time to be tried again.",
                hint="Set role-duration to 30m or more, or leave it out (1h).",
            ),
        )


def _check_partition(name: str, arn: str, region: str) -> None:
    if not arn or not region:
        return
    partition = arn.split(":")[1]
    wanted = next((name for start, name in _PARTITIONS.items() if region.startswith(start)), "")
    if (wanted and partition != wanted) or (not wanted and partition in _PARTITIONS.values()):
        raise InvalidInput(
            f"{name} is of the partition {partition}, but the region {region} is of {wanted or 'aws'}.",
            hint="Roles and regions of different partitions do not know each other.",
        )
