"""Several services on the scripted AWS: each a world of its own, in a cluster of its own.

The first world is that of the cluster `gpu`, the others of `fleet-1`, `fleet-2` …: what a request names tells
whose it is. Revisions are one family's, so what is registered is there for all.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from scripted_aws import Asked, Call, ScriptedAws
from scripted_names import CLUSTER

_OF_A_CLUSTER = re.compile(
    r"(:(?:cluster|service|service-deployment|service-revision|task|container-instance)/)" + CLUSTER
)


def cluster_of(number: int) -> str:
    """Return the cluster of a world."""
    return f"fleet-{number}" if number else CLUSTER


@dataclass(slots=True)
class Fleet:
    """The worlds of one account, on one clock."""

    parts: Sequence[ScriptedAws]
    endpoint: str = ""

    @property
    def now(self) -> float:
        """Return the time of all."""
        return self.parts[0].now

    @property
    def shown_now(self) -> float:
        """Return the time by AWS's clock."""
        return self.parts[0].shown_now

    @property
    def calls(self) -> list[Call]:
        """Return the calls of all."""
        return [call for part in self.parts for call in part.calls]

    @property
    def problems(self) -> list[str]:
        """Return what could not be answered."""
        return [problem for part in self.parts for problem in part.problems]

    def clock(self, advance: float) -> dict[str, Any]:
        """Advance the clock of all."""
        for part in self.parts[1:]:
            part.clock(advance)
        return self.parts[0].clock(advance)

    def answer(self, asked: Asked) -> tuple[int, bytes, str]:
        """Return the answer of the world whose cluster is named, else of the first."""
        text = json.dumps(dict(asked.parameters))
        number = next((n for n in range(len(self.parts)) if n and cluster_of(n) in text), 0)
        own = json.loads(text.replace(cluster_of(number), CLUSTER)) if number else asked.parameters
        status, body, kind = self.parts[number].answer(replace(asked, parameters=own))
        if asked.operation == "RegisterTaskDefinition" and status == 200:
            self._share()
        if number and asked.wire == "json":
            body = _OF_A_CLUSTER.sub(rf"\g<1>{cluster_of(number)}", body.decode()).encode()
        return status, body, kind

    def _share(self) -> None:
        name, definition = list(self.parts[0].state.definitions.items())[-1]
        for part in self.parts[1:]:
            part.state.definitions[name] = copy.deepcopy(definition)
