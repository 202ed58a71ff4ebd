"""The request with which a service gets a revision: what plan shows of it is what deploy sends.

The members are those of the API Reference, "UpdateService".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceUpdate:
    """UpdateService as it is sent: the revision `task_definition` (ARN) for `service`, a name.

    Desired count and deployment configuration (raw, whole) stay as they are where they are None; `members`
    are further ones of the request, as they stand.
    """

    service: str
    task_definition: str
    force: bool = True
    desired_count: int | None = None
    configuration: Mapping[str, Any] | None = None
    members: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """Return what it sets in the service beside the revision, in the members of AWS's Service."""
        return {
            **({} if self.desired_count is None else {"desiredCount": self.desired_count}),
            **({} if self.configuration is None else {"deploymentConfiguration": self.configuration}),
            **self.members,
        }

    def to_api(self, *, cluster: str) -> dict[str, Any]:
        """Write the request."""
        return {
            "cluster": cluster,
            "service": self.service,
            "taskDefinition": self.task_definition,
            "forceNewDeployment": self.force,
            **self.settings,
        }
