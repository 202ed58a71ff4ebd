"""Every error a user can meet, with its exit code.

::

    DeployError
    ├── InvalidInput          2  bad input, or it names something that does not exist
    ├── Refused               3  AWS said no, or the service is in a state in which we must not act
    │   ├── CredentialsExpired
    │   └── TaggingDenied
    └── InternalError         1  our bug

Verdicts of a rollout (exit codes 4 to 10) are results, not errors: see `result.Outcome`.

The text says what happened and what was probably meant; the hint names the knob to turn.
"""

from __future__ import annotations

import copy
import traceback
from typing import ClassVar, Self


class DeployError(Exception):
    """Carry one sentence, a hint and the exit code of the process.

    `diagnosis_code` and `evidence`, lines that prove it, make it a diagnosis of the result too.
    """

    exit_code: ClassVar[int] = 1
    outcome: ClassVar[str] = "failed"

    def __init__(
        self, message: str, *, hint: str = "", diagnosis_code: str = "", evidence: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.diagnosis_code = diagnosis_code
        self.evidence = evidence

    def with_message(self, message: str) -> Self:
        """Return the same error with another sentence."""
        other = copy.copy(self)
        other.message = message
        return other

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InvalidInput(DeployError):
    """The input is wrong, or it names something that does not exist."""

    exit_code = 2
    outcome = "invalid"


class Refused(DeployError):
    """AWS refused (credentials, permission, throttled to the end), or acting now would do harm."""

    exit_code = 3
    outcome = "refused"


class CredentialsExpired(Refused):
    """The credentials ran out and cannot be renewed; what runs on AWS goes on without us."""


class TaggingDenied(Refused):
    """AWS denies the tags of a task definition alone (ecs:TagResource): it can be registered without."""


class InternalError(DeployError):
    """Something we promised ourselves does not hold: our bug."""

    @classmethod
    def of(cls, error: Exception, *, version: str) -> Self:
        """Return the error for one that nobody expected; its text may be long and of several lines."""
        return cls(
            f"This is a bug of ours ({version}): {type(error).__name__}: {str(error)[:300]}.",
            hint="Run it again with --debug for the traceback, and report it.",
        )


def as_told(error: Exception, *, version: str, debug: bool) -> DeployError:
    """Return what a user is told of *error*: ours as it is, any other as a bug, with *debug* its traceback.

    The last line of defence, for a run with a result to write (run.py) and for one without (cli.py).
    """
    if isinstance(error, DeployError):
        return error
    if debug:
        traceback.print_exception(error)
    return InternalError.of(error, version=version)
