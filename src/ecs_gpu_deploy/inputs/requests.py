"""What each command is asked to do: one frozen request a command, checked as far as that goes without AWS.

Durations are in seconds. A text that nobody gave is "", a number that nobody gave is None. What the inputs
name on this machine (a task-definition file, the environment variable of a build secret) has been read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ecs_gpu_deploy.core.definition.container_overrides import ContainerOverride
from ecs_gpu_deploy.core.definition.overrides import Overrides
from ecs_gpu_deploy.core.definition.service_settings import ServiceSettings
from ecs_gpu_deploy.core.definition.task_request import CapacityShare, TaskOverrides, TaskVolume
from ecs_gpu_deploy.core.identity.attestation import ExpectedSigner
from ecs_gpu_deploy.core.image.registry import RegistryWish
from ecs_gpu_deploy.core.judge.deployment_settings import DeploymentSettings
from ecs_gpu_deploy.core.judge.options import RolloutOptions, WaitOptions
from ecs_gpu_deploy.core.past.revisions import TargetWish

LeaveOrStop = Literal["leave", "stop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What is the same for every command: where to look, what to show, where the result goes."""

    command: str
    result_file: str
    cluster: str = ""
    service: str = ""
    region: str = ""
    profile: str = ""
    debug: bool = False
    gpu_hourly_cost: float | None = None
    timeout: float | None = None
    asks_aws: bool = True
    prints_json: bool = False
    github_token: str = field(default="", repr=False)
    comments: bool = False
    commit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """How a batch is watched, and what to do with its tasks where we end the wait."""

    wait: WaitOptions
    on_timeout: LeaveOrStop
    on_cancel: LeaveOrStop


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """What image to build, from what, and where to push it.

    `secrets` maps a name to its value; `flags` are those of the builder that are passed on.
    """

    repository: str
    image_tag: str
    extra_tags: tuple[str, ...]
    push_latest: bool
    folder: str
    dockerfile: str
    target: str
    platforms: tuple[str, ...]
    arguments: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    secret_files: Mapping[str, str]
    contexts: Mapping[str, str]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    ssh: tuple[str, ...]
    flags: tuple[str, ...]
    network: str
    cache: Literal["off", "registry", "gha"]
    cache_image: str
    provenance: Literal["false", "true", "mode=min", "mode=max"]
    sbom: bool
    rebuild: bool
    create_repository: bool
    restore_archived: bool
    fail_on_severity: Literal["off", "critical", "high", "medium"]
    scan_timeout: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionSource:
    """Where the new revision starts from: `document`, the content of a file, or `name`, a registered one.

    Without both it is the revision that the service runs.
    """

    document: Mapping[str, object] | None = None
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionWish:
    """The revision that is wanted: where it starts from, what is set in it, how it names its images."""

    source: DefinitionSource
    overrides: Overrides
    allow_placeholders: bool
    pin: Literal["tag", "digest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderRequest:
    """Write the revision into `file`, a new one where it is ""; `asks_aws` where a file alone won't do."""

    cluster: str
    service: str
    revision: RevisionWish
    file: str
    asks_aws: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterRequest:
    """Register the revision, unless it is there."""

    cluster: str
    service: str
    revision: RevisionWish
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRules:
    """A file of somebody's own rules: its text, and the name that messages tell it by."""

    text: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Foresight:
    """What a look ahead takes into account beside the rollout itself.

    With `reads_secrets` the value of a secret is read for whether it has the JSON key that is wanted of it.
    `session_ends` is when the credentials end, in epoch seconds: None where nobody knows, infinite for those
    that renew themselves. With `calibrate` the last 90 days are read for how long it takes.
    """

    rules: OwnRules | None = None
    gpu_hourly_cost: float | None = None
    reads_secrets: bool = False
    session_ends: float | None = None
    calibrate: bool = False

    def session_seconds(self, now: float) -> float | None:
        """Return for how long the credentials last from *now* on."""
        return None if self.session_ends is None else self.session_ends - now


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """Whether to look ahead before a rollout: not at all, to warn, or to end the run for an error."""

    mode: Literal["off", "warn", "error"] = "off"
    foresight: Foresight = field(default_factory=Foresight)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeDeployWish:
    """How CodeDeploy is to deploy a service of its own; `appspec` is None for one made from the service."""

    application: str = ""
    group: str = ""
    config: str = ""
    description: str = ""
    appspec: Mapping[str, object] | None = None

    @property
    def is_given(self) -> bool:
        """Say whether somebody gave any of it."""
        named = (self.application, self.group, self.config, self.description)
        return any(named) or self.appspec is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployRequest:
    """Deploy one revision to `services`.

    `platform` is the one whose layers are compared; `signer` must have attested the images.
    """

    cluster: str
    services: tuple[str, ...]
    revision: RevisionWish
    build: BuildOptions | None
    platform: str
    ongoing: Literal["refuse", "wait", "supersede"]
    force_new_deployment: bool
    parallel: bool
    commit: str
    keep_revisions: int | None
    desired_count: int | None
    before_task: tuple[ContainerOverride, ...]
    waits: bool
    signer: ExpectedSigner | None
    record_in: str
    rollout: RolloutOptions
    codedeploy: CodeDeployWish = CodeDeployWish()
    settings: DeploymentSettings
    service_settings: ServiceSettings = field(default_factory=ServiceSettings)
    preflight: Preflight = field(default_factory=Preflight)


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackRequest:
    """Bring `service` back to `target`, whose image `signer` must have attested."""

    cluster: str
    service: str
    target: TargetWish
    reason: str
    ongoing: Literal["refuse", "wait", "supersede"]
    force: bool
    keep_revisions: int | None
    signer: ExpectedSigner | None
    record_in: str
    rollout: RolloutOptions
    codedeploy: CodeDeployWish = CodeDeployWish()
    preflight: Preflight = field(default_factory=Preflight)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTaskRequest:
    """Run `count` tasks as a batch, of `task_definition` or of a `revision` that is registered for them."""

    cluster: str
    service: str
    task_definition: str
    revision: RevisionWish | None
    count: int
    waits: bool
    overrides: TaskOverrides
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    assign_public_ip: bool
    launch_type: str
    strategy: tuple[CapacityShare, ...]
    tags: Mapping[str, str]
    volume: TaskVolume | None
    propagate_tags: str
    managed_tags: bool | None
    started_by: str
    client_token: str
    batch: BatchOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class PushRequest:
    """Build an image and push it."""

    build: BuildOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRequest:
    """Watch a deployment of `service`, or where `tasks` or `started_by` say so, batch tasks."""

    cluster: str
    service: str
    service_deployment: str
    tasks: tuple[str, ...]
    started_by: str
    rollout: RolloutOptions
    batch: BatchOptions
    codedeploy: CodeDeployWish = CodeDeployWish()


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRequest:
    """Answer a pause hook of `service`: of `service_deployment`, the ongoing one where it is "".

    `hook` is the id of the hook, "" for the one that waits. `reason` says why it is rejected.
    """

    cluster: str
    service: str
    service_deployment: str
    hook: str
    reason: str
    waits: bool
    rollout: RolloutOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRequest:
    """Log in to `registries`, without any to the account's own."""

    registries: tuple[RegistryWish, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRequest:
    """Show what `service` is and does now."""

    cluster: str
    service: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """Foresee a rollout to `service`: of a revision, or where `target` is not None a rollback to it."""

    cluster: str
    service: str
    revision: RevisionWish
    target: TargetWish | None
    desired_count: int | None
    wait: WaitOptions
    fail_on: Literal["error", "warning", "never"]
    foresight: Foresight


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRequest:
    """Show up to `limit` deployments of `service`; `predicted`: what was foreseen of them, and came."""

    cluster: str
    service: str
    limit: int
    predicted: bool = False
    codedeploy: CodeDeployWish = CodeDeployWish()
