"""What a run finds out for its result: facts, recorded as soon as they are known.

Nobody but the owner of the record reads them, and only after the end: what one step needs of another is
returned. So a result is written with everything known, wherever the run ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from ecs_gpu_deploy.core.definition.diff import Change
from ecs_gpu_deploy.core.judge.observed import History
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.show.console import TaskPages
from ecs_gpu_deploy.core.show.progress import TaskGpus
from ecs_gpu_deploy.errors import DeployError
from ecs_gpu_deploy.model import LogTail, Service, ServiceDeployment, short_id
from ecs_gpu_deploy.result import (
    Compared,
    Diagnosis,
    Finding,
    PastDeployment,
    Phase,
    Plan,
    ServiceEnd,
    ServiceStatus,
    TaskEnd,
    TrackRecord,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSeen:
    """The service that the command is about, and the revision that it runs, where that is to change."""

    name: str
    previous: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousRevision:
    """The ARN of the revision that the service ran before; "" for none."""

    arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSeen:
    """The image that is to run, and its digest as far as it is known."""

    image: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionChosen:
    """The ARN of the revision that is to run; `registered` where we registered it."""

    arn: str
    registered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What we changed in AWS beside the service, or may have: a half sentence, one for each `subject`."""

    subject: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackSent:
    """An ongoing deployment was told to roll back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenBack:
    """AWS was told to run again what the service ran before; `service` is whose it is, of several.

    What was found out before stays true, but what it tells to do about the rollout is void.
    """

    service: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutShown:
    """What the summary shows of a rollout: what it changes, and pages of the console by their name."""

    changes: Sequence[Change] = ()
    links: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How the wait for a rollout ended, with everything that explains it.

    `service` is the service as it was last seen, `service_deployment_arn` "" while it is unknown. `error` is
    what took our sight of a rollout that goes on in AWS. `codedeploy_deployment_id` is that of a service
    which CodeDeploy deploys, and has no service deployment. `deployment` is the service deployment as it was
    last seen.
    """

    verdict: Verdict
    diagnoses: tuple[Diagnosis, ...]
    findings: tuple[Finding, ...]
    phases: tuple[Phase, ...]
    service: Service
    service_deployment_arn: str
    history: History
    log_tails: tuple[LogTail, ...] = ()
    gpus: tuple[TaskGpus, ...] = ()
    error: DeployError | None = None
    codedeploy_deployment_id: str = ""
    deployment: ServiceDeployment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NextCommand:
    """What somebody may want to type now."""

    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the summary of the command's own; `text` is Markdown that is safe already."""

    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEnded:
    """How the tasks of a batch ended, and the `verdict`; `exit_code` where it is not that of the outcome.

    `pages` maps the ARNs of its tasks to their pages of the console.
    """

    verdict: Verdict
    tasks: Sequence[TaskEnd]
    phases: Sequence[Phase]
    diagnoses: Sequence[Diagnosis]
    log_tails: Sequence[LogTail] = ()
    exit_code: int | None = None
    pages: Mapping[str, TaskPages] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRead:
    """The deployments of the past, and how good the predictions of them were."""

    deployments: Sequence[PastDeployment]
    record: TrackRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionWritten:
    """The file that the task definition was written into."""

    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRead:
    """What the service is and does now."""

    status: ServiceStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressSeen:
    """The address under which the service answers, "" where no load balancer tells one."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordBegun:
    """The deployment on GitHub that was made for the rollout: its `number`, 0 where a `problem` stopped it.

    `environment` is GitHub's, `repository` is owner/name.
    """

    environment: str
    repository: str
    number: int
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanMade:
    """What would be done, and what then comes."""

    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """What was foreseen of the rollout, beside what came."""

    compared: Compared


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedIn:
    """The registries (hosts) that Docker is logged in to."""

    registries: tuple[str, ...]


Fact = (
    ServiceSeen
    | PreviousRevision
    | ImageSeen
    | RevisionChosen
    | Changed
    | RollbackSent
    | TakenBack
    | RolloutShown
    | Ending
    | NextCommand
    | Section
    | ServiceEnd
    | BatchEnded
    | HistoryRead
    | DefinitionWritten
    | StatusRead
    | PlanMade
    | Foretold
    | LoggedIn
    | RecordBegun
    | AddressSeen
    | Finding
)
Record = Callable[[Fact], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All facts together; of two that say the same thing, the later one."""

    service: str = ""
    image: str = ""
    image_digest: str = ""
    task_definition_arn: str = ""
    previous_task_definition_arn: str = ""
    is_rollback_sent: bool = False
    changed: Mapping[str, str] = field(default_factory=dict)
    shown: RolloutShown | None = None
    ending: Ending | None = None
    batch: BatchEnded | None = None
    next_command: str = ""
    sections: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[str, ServiceEnd] = field(default_factory=dict)
    history: Sequence[PastDeployment] = ()
    task_definition: str = ""
    status: ServiceStatus | None = None
    registry: str = ""
    plan: Plan | None = None
    predicted: Compared | None = None
    track_record: TrackRecord | None = None
    service_url: str = ""
    recorded: RecordBegun | None = None
    findings: Sequence[Finding] = ()

    @property
    def verdict(self) -> Verdict | None:
        """Return the verdict where one was reached: a signal that comes later does not change it."""
        if self.batch is not None:
            return self.batch.verdict
        return self.ending.verdict if self.ending else None


def known_from(facts: Iterable[Fact]) -> Known:
    """Return what *facts* say together."""
    known = Known()
    for fact in facts:
        known = _with(known, fact)
    return known


def _with(known: Known, fact: Fact) -> Known:
    match fact:
        case ServiceSeen():
            previous = fact.previous or known.previous_task_definition_arn
            return replace(known, service=fact.name, previous_task_definition_arn=previous)
        case PreviousRevision():
            return replace(known, previous_task_definition_arn=fact.arn)
        case ImageSeen():
            return replace(known, image=fact.image, image_digest=fact.digest)
        case RevisionChosen():
            did = {"revision": f"{short_id(fact.arn)} was registered"} if fact.registered else {}
            return replace(known, task_definition_arn=fact.arn, changed={**known.changed, **did})
        case Changed():
            return replace(known, changed={**known.changed, fact.subject: fact.what})
        case RollbackSent():
            return replace(known, is_rollback_sent=True)
        case TakenBack():
            findings = tuple(_without_void_hint(finding, fact) for finding in known.findings)
            return replace(known, findings=findings, next_command="")
        case RolloutShown():
            return replace(known, shown=fact)
        case Ending():
            return replace(known, ending=fact)
        case NextCommand():
            return replace(known, next_command=fact.command)
        case Section():
            return replace(known, sections={**known.sections, fact.title: fact.text})
        case ServiceEnd():
            return replace(known, services={**known.services, fact.service: fact})
        case BatchEnded():
            return replace(known, batch=fact)
        case HistoryRead():
            return replace(known, history=fact.deployments, track_record=fact.record)
        case DefinitionWritten():
            return replace(known, task_definition=fact.file)
        case StatusRead():
            return replace(known, status=fact.status)
        case PlanMade():
            return replace(known, plan=fact.plan)
        case Foretold():
            return replace(known, predicted=fact.compared)
        case LoggedIn():
            return replace(known, registry="\n".join(fact.registries))
        case RecordBegun():
            return replace(known, recorded=fact)
        case AddressSeen():
            return replace(known, service_url=fact.url)
        case Finding():
            return replace(known, findings=(*known.findings, fact))
        case _:
            assert_never(fact)


def _without_void_hint(finding: Finding, fact: TakenBack) -> Finding:
    is_void = finding.until_taken_back and finding.service == fact.service
    return replace(finding, hint="", next_steps=()) if is_void else finding
