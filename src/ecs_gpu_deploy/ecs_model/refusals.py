"""The requests that ECS refuses, each with AWS's error code and message.

::

    SchedulerError
    ├── ServiceNotFound                ServiceNotFoundException
    ├── ServiceNotActive               ServiceNotActiveException
    ├── ServiceDeploymentNotFound      ServiceDeploymentNotFoundException
    ├── Conflict                       ConflictException
    ├── ClientMistake                  ClientException
    └── InvalidParameter               InvalidParameterException

Source: API Reference, the "Errors" of each action.
"""

from __future__ import annotations

from typing import ClassVar


class SchedulerError(Exception):
    """Refuse a request with AWS's message; `code` is the name of AWS's exception."""

    code: ClassVar[str] = "ClientException"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ServiceNotFound(SchedulerError):
    """No such service in the cluster."""

    code = "ServiceNotFoundException"

    def __init__(self, message: str = "Service not found.") -> None:
        super().__init__(message)


class ServiceNotActive(SchedulerError):
    """The service is draining or inactive."""

    code = "ServiceNotActiveException"

    def __init__(self, message: str = "Service was not ACTIVE.") -> None:
        super().__init__(message)


class ServiceDeploymentNotFound(SchedulerError):
    """No such service deployment."""

    code = "ServiceDeploymentNotFoundException"

    def __init__(self, message: str = "The service deployment was not found.") -> None:
        super().__init__(message)


class Conflict(SchedulerError):
    """The thing is in a state in which this cannot be done."""

    code = "ConflictException"


class ClientMistake(SchedulerError):
    """The client asked for something that cannot be."""

    code = "ClientException"


class InvalidParameter(SchedulerError):
    """A parameter is wrong, or names something that does not exist."""

    code = "InvalidParameterException"
