"""ARNs and ids, the same for the same seed."""

from __future__ import annotations

import hashlib
from itertools import count


class Identifiers:
    """Make the ids and ARNs of one cluster. Shapes as in DescribeTasks and DescribeServiceDeployments."""

    def __init__(
        self, *, cluster_name: str, cluster_arn: str, region: str, account_id: str, seed: int
    ) -> None:
        parts = cluster_arn.split(":")
        partition = parts[1] if len(parts) > 1 else "aws"
        self._prefix = f"arn:{partition}:ecs:{region}:{account_id}"
        self._cluster = cluster_name
        self._key = f"{seed}/{cluster_arn}/".encode()
        self._count = count()

    def number(self) -> int:
        """Give the next number of 128 bits."""
        digest = hashlib.blake2b(self._key + str(next(self._count)).encode(), digest_size=16).digest()
        return int.from_bytes(digest, "big")

    def hexadecimal(self, digits: int = 32) -> str:
        """Give an id of hexadecimal digits, such as a task's."""
        return f"{self.number():032x}"[:digits]

    def uuid(self) -> str:
        """Give an id in the form of a UUID, such as an event's."""
        text = self.hexadecimal()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def deployment_id(self) -> str:
        """Give a deployment id: ecs-svc/ and 19 digits."""
        return f"ecs-svc/{10**18 + self.number() % (9 * 10**18)}"

    def service_deployment_arn(self, service: str) -> str:
        """Give the ARN of a new service deployment; its id has 21 characters."""
        letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
        number = self.number()
        word = "".join(letters[(number >> (6 * place)) % 64] for place in range(21))
        return f"{self._prefix}:service-deployment/{self._cluster}/{service}/{word}"

    def service_revision_arn(self, service: str, deployment_id: str) -> str:
        """Give a service revision's ARN, which ends in the digits of its deployment's id.

        Source: docs/aws-facts.md#deployment-identity.
        """
        digits = deployment_id.removeprefix("ecs-svc/")
        return f"{self._prefix}:service-revision/{self._cluster}/{service}/{digits}"

    def service_arn(self, service: str) -> str:
        """Give a service's ARN."""
        return f"{self._prefix}:service/{self._cluster}/{service}"

    def task_arn(self, task_id: str) -> str:
        """Give a task's ARN."""
        return f"{self._prefix}:task/{self._cluster}/{task_id}"

    def container_arn(self, task_id: str) -> str:
        """Give the ARN of a new container of a task."""
        return f"{self._prefix}:container/{self._cluster}/{task_id}/{self.uuid()}"

    def container_instance_arn(self, instance_id: str) -> str:
        """Give a container instance's ARN."""
        return f"{self._prefix}:container-instance/{self._cluster}/{instance_id}"

    def capacity_provider_arn(self, name: str) -> str:
        """Give a capacity provider's ARN."""
        return f"{self._prefix}:capacity-provider/{name}"
