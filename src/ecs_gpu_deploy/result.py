"""What we answer: the verdict, its causes, the phases, and the result that carries them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """How a command ended. The exit code belongs to it.

    STARTED: what was asked for began, and by wish nobody looked how it ends, so that it is no success.
    """

    SUCCEEDED = "succeeded"
    STARTED = "started"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    NO_CAPACITY = "no_capacity"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    INVALID = "invalid"

    @property
    def exit_code(self) -> int:
        """Return the process exit code of this outcome."""
        return _CODES[self]


_CODES: Final = {
    Outcome.SUCCEEDED: 0,
    Outcome.STARTED: 0,
    Outcome.INVALID: 2,
    Outcome.REFUSED: 3,
    Outcome.FAILED: 4,
    Outcome.ROLLED_BACK: 5,
    Outcome.TIMED_OUT: 6,
    Outcome.NO_CAPACITY: 8,
    Outcome.SUPERSEDED: 9,
    Outcome.CANCELLED: 10,
}
WORST_FIRST: Final = (
    Outcome.FAILED,
    Outcome.TIMED_OUT,
    Outcome.NO_CAPACITY,
    Outcome.REFUSED,
    Outcome.INVALID,
    Outcome.SUPERSEDED,
    Outcome.ROLLED_BACK,
    Outcome.CANCELLED,
    Outcome.STARTED,
    Outcome.SUCCEEDED,
)
"""Which outcome counts where several services end differently: what may run badly, then what runs well."""
OUR_BUG: Final = 1
TASK_FAILED: Final = 7
EXIT_CODES: Final[Mapping[int, str]] = {
    0: "succeeded (or started, with wait: false or wait-until)",
    OUR_BUG: "our bug",
    2: "bad input",
    3: "AWS refused",
    4: "rollout failed",
    5: "rolled back",
    6: "timed out",
    TASK_FAILED: "task exited non-zero",
    8: "not enough capacity",
    9: "superseded",
    10: "cancelled",
}
"""What each exit code of the program means; the help, action.yml and the README say it from here."""


def exit_codes_text() -> str:
    """Return the exit codes and their meanings in one line."""
    return ", ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """A cause: its `code` (docs/diagnoses.md), a sentence, the knob to turn, verbatim proof, its tasks.

    `is_reason`: it is what the verdict's reason says, so that it is not said twice; not in the result's JSON.
    """

    code: str
    message: str
    hint: str
    evidence: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    is_reason: bool = False


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """A command that somebody may want to type now, and what for."""

    purpose: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something seen: a warning, or what could not be checked.

    `next_steps` are the commands that the hint tells. `is_reason`: it says what the verdict's reason says,
    so that it is not shown twice; `is_told`: the log has it since it was seen. `service` is whose it is, of
    several; `until_taken_back`: the hint is void once AWS was told to run again what the service ran before.
    The result's JSON has none of these.
    """

    code: str
    severity: Severity
    message: str
    hint: str = ""
    next_steps: tuple[NextStep, ...] = ()
    is_reason: bool = False
    is_told: bool = False
    service: str = ""
    until_taken_back: bool = False


class CheckStatus(StrEnum):
    """What a look at something outside the task definition says; NOT_CHECKED is never a yes."""

    OK = "ok"
    FAILED = "failed"
    NOT_CHECKED = "not-checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One look at what a rollout needs: a role, an image, a secret, a log group, a permission."""

    name: str
    status: CheckStatus
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A phase of the rollout: seconds spent so far, and the deadline derived for it in seconds."""

    name: str
    seconds: float
    deadline: float


class InEcr(StrEnum):
    """Whether an image of the past can be pulled from ECR."""

    YES = "yes"
    GONE = "gone"
    ARCHIVED = "archived"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class PastPrediction:
    """What was foreseen of a past deployment (`ends`, `seconds`), and what came (`ended`, `actual_seconds`).

    `within_interval` is None where no interval was told before it.
    """

    ends: str
    ended: str
    seconds: float
    actual_seconds: float
    within_interval: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PastDeployment:
    """A deployment of the past, as history shows it.

    `role` is current, previous (what ran before it) or ""; `kind` is deploy, redeploy (of what ran already)
    or rollback (to what ran before). `by` and `run_url` are of this deployment, "not recorded" and "" where
    nothing tells; `why` is what a person gave as reason, or who stopped it; `created_at` is in epoch seconds,
    `seconds` None while it goes on or where nothing tells. `predicted` is what was foreseen of it and came.
    """

    task_definition_arn: str
    role: str = ""
    kind: str = ""
    commit: str = ""
    commit_url: str = ""
    image: str = ""
    image_digest: str = ""
    outcome: str = ""
    reason: str = ""
    created_at: float = 0.0
    seconds: float | None = None
    by: str = ""
    run_url: str = ""
    why: str = ""
    in_ecr: InEcr = InEcr.UNKNOWN
    predicted: PastPrediction | None = None


class Judgement(StrEnum):
    """How a batch task or a container of it ended, as far as one can know."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    RUNNING = "running"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerEnd:
    """How a container of a batch task ended: never RUNNING."""

    name: str
    exit_code: int | None
    judgement: Judgement
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEnd:
    """How a batch task ended: UNKNOWN where AWS forgot it, never STOPPED.

    `reason` says why it failed, `stopped_reason` is AWS's own text. Times are epoch seconds.
    """

    task_arn: str
    judgement: Judgement
    reason: str = ""
    stopped_reason: str = ""
    started_at: float | None = None
    stopped_at: float | None = None
    containers: Sequence[ContainerEnd] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceEnd:
    """How the deployment of one of several services ended, its phases, and what GPU time it held.

    `gpu_minutes` are GPUs times minutes up to its end, `gpu_minutes_wasted` is a part of them.
    """

    service: str
    outcome: Outcome
    reason: str
    previous_task_definition_arn: str = ""
    service_deployment_arn: str = ""
    phases: Sequence[Phase] = ()
    gpu_minutes: float = 0.0
    gpu_minutes_wasted: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningImage:
    """A container's image as its revision names it, and the digests that its running tasks report."""

    container: str
    image: str
    digests: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningRevision:
    """A revision of which a service has tasks or wants some, a deployment of DescribeServices each.

    `status` is PRIMARY, ACTIVE or INACTIVE, `state` the rollout state, "" where AWS names none; `healthy` are
    its tasks that a health check calls so, `created_at` is in epoch seconds.
    """

    task_definition_arn: str
    status: str
    state: str
    desired: int
    running: int
    pending: int
    failed: int
    healthy: int = 0
    commit: str = ""
    created_at: float = 0.0
    images: Sequence[RunningImage] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenEvent:
    """A service event, its time in epoch seconds."""

    at: float
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """What a service is and does at the time `at`, epoch seconds.

    `ongoing` tells the deployment that is under way, "" for none, `stop` the command that stops it. `gpus`
    maps who holds GPUs on the instances of the cluster to how many; `events` are the newest that say more
    than that all is steady.
    """

    at: float
    status: str
    desired: int
    running: int
    pending: int
    revisions: Sequence[RunningRevision] = ()
    ongoing: str = ""
    stop: str = ""
    gpus: Mapping[str, int] = field(default_factory=dict)
    events: Sequence[SeenEvent] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """A step that deploy or rollback would take: the call to AWS with its parameters, "" for none."""

    does: str
    operation: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedInstance:
    """A container instance as it is now, its GPUs and those free, and what it lacks for one more task."""

    id: str
    instance_type: str
    availability_zone: str
    capacity_provider: str
    gpus: float
    free_gpus: int
    lacks: Sequence[str] = ()
    impaired: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRemedy:
    """A setting that would let the rollout end: how it then goes (`fit`, `seconds`), and what it costs.

    `less` tasks do not serve at the worst moment, `instances` more run meanwhile, for `cost` in all; None
    where a price or an end is not known.
    """

    code: str
    change: str
    fit: str
    seconds: float | None
    less: int
    instances: int
    instance_type: str
    cost: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCapacity:
    """Whether the rollout finds room: `fit` is fits, crawls, scales, never or unknown, `why` a sentence.

    `waves` load one after the other, `fewest_serving` is the lowest number of tasks that serve meanwhile,
    `launches` maps capacity providers to the instances they add, `holders` who holds GPUs to how many.
    """

    fit: str
    why: str
    waves: int
    fewest_serving: int
    missing: int
    launches: Mapping[str, int]
    instances: Sequence[PlannedInstance]
    holders: Mapping[str, int]
    remedies: Sequence[PlannedRemedy] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPhase:
    """When the first task enters a phase and the last one leaves it, in seconds from the update."""

    name: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDuration:
    """How long something takes, in seconds, and where that was seen."""

    seconds: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedInterval:
    """The seconds between which the rollout is to last, by the errors of earlier predictions or rollouts.

    `middle` is the prediction corrected by their median error, `level` how often such a rollout lies within,
    `within` of `rollouts` lay within what the others say of them, `source` says whose they are.
    """

    low: float
    high: float
    middle: float
    level: float
    within: int
    rollouts: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedEnd:
    """How the wait of deploy or rollback would end before the rollout itself: when, and why."""

    outcome: Outcome
    seconds: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What the rollout is foreseen to do: `ends` is succeeds, rolls back, fails or stands still.

    `breaker_at` is when the circuit breaker acts, None for never; `double_gpu_minutes` are held beside those
    of the desired tasks. `cost` is that of the double GPU minutes, in the currency of the price, None where
    the price is not known (`price_source` says which one). `timeout` is None where it does not end well.
    `run_ends` is how our own wait ends, None where AWS's end comes first.
    """

    ends: str
    seconds: float
    phases: Sequence[PlannedPhase]
    breaker_at: float | None
    failures: int
    gpu_minutes: float
    double_gpu_minutes: float
    launched: int
    cost: float | None
    price_source: str
    durations: Mapping[str, PlannedDuration]
    timeout: int | None
    grace_period: int
    start_period: int
    new_gpu_minutes: float = 0.0
    interval: PredictedInterval | None = None
    calibration: str = ""
    run_ends: PlannedEnd | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedValue:
    """Something foreseen beside what was seen of it: None is never, `seen` is False where it was not seen.

    `gpu-minutes` are minutes, all others seconds from the update.
    """

    name: str
    predicted: float | None
    actual: float | None
    seen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What was foreseen of a rollout beside what came: how it was to end, and ended ("not seen" for unseen).

    `as_foreseen` is None where its end was not seen, `within_interval` where no interval was told before it.
    """

    ends: str
    ended: str
    as_foreseen: bool | None
    within_interval: bool | None
    values: Sequence[ComparedValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackRecord:
    """How good predictions were: of `rollouts` `as_foreseen` ended so, `error` is their median relative one.

    `within` of `told` lay within the interval that was told before them; `error` is None without any.
    """

    rollouts: int
    as_foreseen: int
    error: float | None
    within: int
    told: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What deploy or rollback would do and what then comes; nothing was changed.

    `changes` is the difference of the task definition as text; `predicted` is None where the room that
    decides cannot be seen. `checks` are the looks at what the revision names outside itself.
    """

    steps: Sequence[PlannedStep]
    changes: str
    capacity: PlannedCapacity
    predicted: Predicted | None = None
    checks: Sequence[Check] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result: what `--result-file` and the action's outputs carry."""

    command: str
    outcome: Outcome
    exit_code: int
    reason: str
    cluster: str = ""
    service: str = ""
    image: str = ""
    image_digest: str = ""
    task_definition_arn: str = ""
    previous_task_definition_arn: str = ""
    service_deployment_arn: str = ""
    codedeploy_deployment_id: str = ""
    diagnoses: Sequence[Diagnosis] = ()
    findings: Sequence[Finding] = ()
    phases: Sequence[Phase] = ()
    duration_seconds: float = 0.0
    api_calls: Mapping[str, int] = field(default_factory=dict)
    services: Sequence[ServiceEnd] = ()
    tasks: Sequence[TaskEnd] = ()
    history: Sequence[PastDeployment] = ()
    task_definition: str = ""
    status: ServiceStatus | None = None
    registry: str = ""
    plan: Plan | None = None
    predicted: Compared | None = None
    track_record: TrackRecord | None = None
    console_url: str = ""
    service_url: str = ""
    schema: int = 1
