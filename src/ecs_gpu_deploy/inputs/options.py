"""ONE table of options: flags of the command line, inputs of the action, keys of the configuration file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ecs_gpu_deploy.core.judge.lifecycle import STAGES

ALL: tuple[str, ...] = (
    *("deploy", "push", "render", "register", "rollback", "run-task", "watch", "continue", "reject"),
    *("plan", "status", "history", "login"),
)


OF_CLUSTER: tuple[str, ...] = tuple(command for command in ALL if command != "login")


BUILD: tuple[str, ...] = ("deploy", "push")


ROLLOUT: tuple[str, ...] = ("deploy", "rollback")


LOOK_AHEAD: tuple[str, ...] = (*ROLLOUT, "plan")


ANSWER: tuple[str, ...] = ("continue", "reject")


WATCH: tuple[str, ...] = ("deploy", "rollback", "watch", "continue")


WAIT: tuple[str, ...] = (*WATCH, "run-task")


RENDER: tuple[str, ...] = ("deploy", "plan", "render", "register")


TASK: tuple[str, ...] = (*RENDER, "run-task")


LAUNCH: tuple[str, ...] = ("deploy", "run-task")


LOG_DRIVERS: tuple[str, ...] = (
    *("awslogs", "awsfirelens", "splunk", "fluentd", "gelf", "json-file", "journald", "syslog"),
)
"""API Reference, LogConfiguration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option. `kind` is the key of READERS; `default` is text, as GitHub hands inputs over.

    A value of a `secret` option does not belong on a command line, which every process can read.
    `batch_choices` replace `choices` where run-task is the command.
    """

    name: str
    help: str
    kind: str = "text"
    default: str = ""
    commands: tuple[str, ...] = ALL
    choices: tuple[str, ...] = ()
    metavar: str = ""
    repeatable: bool = False
    action: bool = True
    secret: bool = False
    batch_choices: tuple[str, ...] = ()

    @property
    def field(self) -> str:
        """Return the name of the option in Settings.values and in Python."""
        return self.name.replace("-", "_")


def _option(name: str, help_text: str, **rest: Any) -> Option:
    return Option(name=name, help=help_text, **rest)


OPTIONS: tuple[Option, ...] = (
    _option(
        "cluster",
        "Name or ARN of the ECS cluster. Default: the one that the ARN of service names, otherwise default.",
        metavar="NAME",
        commands=OF_CLUSTER,
    ),
    _option(
        "service",
        "Name or ARN of the ECS service. deploy takes several, one a line (flag: repeat it), that share one "
        "revision; an ARN may be of another cluster. run-task takes revision, network and launch type "
        "from it.",
        kind="lines",
        metavar="NAME",
        repeatable=True,
        commands=OF_CLUSTER,
    ),
    _option(
        "image",
        "Image of the container, as URI, or as CONTAINER=URI, one a line (flag: repeat it) for several "
        "containers.",
        kind="images",
        metavar="[CONTAINER=]URI",
        repeatable=True,
        commands=TASK,
    ),
    _option(
        "container",
        "Container that the image and the overrides are for. Not needed where the task definition has one.",
        metavar="NAME",
        commands=TASK,
    ),
    _option(
        "task-definition",
        "Where the new revision starts from: a file (JSON or YAML), a family, family:revision or an ARN. "
        "Default: the revision that the service runs.",
        metavar="FILE|FAMILY|ARN",
        commands=TASK,
    ),
    _option(
        "environment",
        "Environment variables of the container, NAME=VALUE, one a line, or JSON; NAME alone removes it.",
        kind="assignments",
        metavar="NAME=VALUE",
        repeatable=True,
        commands=TASK,
    ),
    _option(
        "secrets",
        "Secrets of the container, NAME=ARN of Secrets Manager or SSM, one a line; NAME alone removes it.",
        kind="assignments",
        metavar="NAME=ARN",
        repeatable=True,
        commands=RENDER,
    ),
    _option(
        "entry-point",
        'Entry point of the container: a JSON list such as ["python"], or words split as a shell does.',
        kind="words",
        commands=RENDER,
    ),
    _option(
        "command-override",
        'Command of the container: a JSON list such as ["serve", "--port", "80"], or words split as a '
        "shell does.",
        kind="words",
        commands=TASK,
    ),
    _option("cpu", "CPU units of the container (1024 = one vCPU).", kind="integer", commands=TASK),
    _option("memory", "Hard memory limit of the container in MiB.", kind="integer", commands=TASK),
    _option(
        "memory-reservation", "Soft memory limit of the container in MiB.", kind="integer", commands=TASK
    ),
    _option("task-cpu", "CPU of the whole task, in units or as `4 vCPU`.", commands=TASK),
    _option("task-memory", "Memory of the whole task, in MiB or as `16 GB`.", commands=TASK),
    _option(
        "gpu",
        "GPUs of the container: a whole number, a fraction such as 0.25 (fractional-GPU instances), ALL, "
        "or 0 for none.",
        kind="gpu",
        commands=TASK,
    ),
    _option(
        "gpu-sharing",
        "Share a GPU with NVIDIA MPS instead: YAML or JSON with memory (MiB) and maxComputePercent.",
        kind="gpu_sharing",
        metavar="MAPPING",
        commands=RENDER,
    ),
    _option(
        "health-check",
        "Health check of the container, merged into the present one: YAML or JSON with command, interval, "
        "timeout, retries, startPeriod.",
        kind="mapping",
        commands=RENDER,
    ),
    _option(
        "log-options",
        "Options of the container's log driver, NAME=VALUE, one a line.",
        kind="assignments",
        metavar="NAME=VALUE",
        repeatable=True,
        commands=RENDER,
    ),
    _option(
        "log-driver",
        "Log driver of the container. Another one than it has drops the options of the old one.",
        kind="choice",
        choices=LOG_DRIVERS,
        metavar="DRIVER",
        commands=RENDER,
    ),
    _option(
        "env-files",
        "Files of environment variables of the container, in place of those that it has: ARNs of objects in "
        "S3 that end in .env, one a line.",
        kind="lines",
        metavar="ARN",
        repeatable=True,
        commands=RENDER,
    ),
    _option(
        "docker-labels",
        "Docker labels of the container, NAME=VALUE, one a line; NAME alone removes it.",
        kind="assignments",
        metavar="NAME=VALUE",
        repeatable=True,
        commands=RENDER,
    ),
    _option(
        "tags",
        "Tags of the new task-definition revision, NAME=VALUE, one a line; NAME alone removes it.",
        kind="assignments",
        metavar="NAME=VALUE",
        repeatable=True,
        commands=TASK,
    ),
    _option("task-role-arn", "Role of the task itself.", commands=TASK),
    _option(
        "execution-role-arn", "Role with which ECS pulls the image and reads the secrets.", commands=TASK
    ),
    _option(
        "set",
        "Anything else: YAML of path: value, such as `containerDefinitions[?name=='rag'].stopTimeout: 120`; "
        "null removes.",
        kind="mapping",
        commands=RENDER,
    ),
    _option(
        "allow-placeholders",
        "Take `${VAR}` and `<PLACEHOLDER>` in log options, roles and secrets as they stand (FireLens "
        "replaces `${VAR}` by itself); otherwise what nobody replaced is refused.",
        kind="boolean",
        default="false",
        commands=TASK,
    ),
    _option(
        "pin",
        "How the new revision names an ECR image: by the tag given, or by the digest behind it.",
        kind="choice",
        choices=("tag", "digest"),
        default="tag",
        commands=TASK,
    ),
    _option(
        "rendered-file",
        "File that render writes the task definition into. Default: a new one in the runner's folder for "
        "temporary files.",
        metavar="PATH",
        commands=("render",),
    ),
    _option(
        "require-attestation",
        "Who must have built the image, as its GitHub artifact attestation proves: owner/repo, or the "
        "workflow that signs, owner/repo/.github/workflows/build.yml@refs/heads/main (without @ from any "
        "ref, * for any end of it); both, one a line, where the workflow lies elsewhere. Verified by `gh` "
        "before anything is registered; deploy then names the images by digest.",
        kind="lines",
        metavar="SIGNER",
        repeatable=True,
        commands=ROLLOUT,
    ),
    _option(
        "force-new-deployment",
        "Start new tasks also where the task definition stays the same.",
        kind="boolean",
        default="true",
        commands=("deploy",),
    ),
    _option(
        "ongoing",
        "What to do when another deployment of the service is ongoing: refuse at once, wait for its end, or "
        "supersede it (then ECS may have nothing to roll back to). One that began from the target of a "
        "rollback is stopped and rolled back by it.",
        kind="choice",
        choices=("refuse", "wait", "supersede"),
        default="refuse",
        commands=ROLLOUT,
    ),
    _option(
        "desired-count",
        "Desired count that the service gets with the deployment, also 0. A rollback does not take it back. "
        "Default: it stays.",
        kind="integer",
        commands=("deploy", "plan"),
    ),
    _option(
        "allow-desired-zero",
        "Deploy although the desired count is 0, so that no task runs and nothing is verified.",
        kind="boolean",
        default="false",
        commands=WATCH,
    ),
    _option(
        "timeout",
        "Longest wait for the whole rollout. Seconds, or such as 20m or 1h30m. The default grows by the "
        "service's own bake times, traffic steps and PAUSE hooks, and a deregistration delay beyond 5m.",
        kind="duration",
        default="60m",
        commands=(*WAIT, "reject", "plan"),
        metavar="DURATION",
    ),
    _option(
        "poll-interval",
        "How often AWS is asked; the program asks less often while nothing can change.",
        kind="duration",
        default="5s",
        commands=(*WAIT, "reject"),
        metavar="DURATION",
    ),
    _option(
        "placement-timeout",
        "Longest wait for a free GPU, CPU or memory while no task can be placed; 0 does not wait.",
        kind="duration_or_zero",
        default="15m",
        commands=WAIT,
        metavar="DURATION",
    ),
    _option(
        "phase-deadlines",
        "Longest time without progress in a phase, PHASE=DURATION, one a line: placement, pull, start, load, "
        "traffic, drain. Without it, deadlines follow from the service's settings and only warn.",
        kind="deadlines",
        metavar="PHASE=DURATION",
        repeatable=True,
        commands=ROLLOUT,
    ),
    _option(
        "crash-loop-threshold",
        "Failed tasks in a row, none healthy between, after which a service without a circuit breaker is "
        "called failed. Default: what the breaker's threshold would be.",
        kind="positive_integer",
        commands=WATCH,
    ),
    _option(
        "settle",
        "How long a rollout must stay up after AWS calls it complete. Default: where tasks of it failed, as "
        "long as they took to fail, at most 2 min; else not at all. 0 does not wait, and a revision of which "
        "tasks failed is then not marked as good to roll back to.",
        kind="duration_or_zero",
        commands=WATCH,
        metavar="DURATION",
    ),
    _option(
        "on-timeout",
        "What to do with the deployment when the timeout comes first. The end of a rollback is waited for. "
        "run-task: leave or stop the tasks.",
        kind="choice",
        choices=("leave", "rollback"),
        batch_choices=("leave", "stop"),
        default="leave",
        commands=WAIT,
    ),
    _option(
        "on-failure",
        "What to do with the deployment when we call it failed before AWS does. The end of a rollback is "
        "waited for. Of several services, rollback-all takes back every deployment that began where one ends "
        "badly, also one that timed out.",
        kind="choice",
        choices=("leave", "rollback", "rollback-all"),
        default="leave",
        commands=WATCH,
    ),
    _option(
        "on-cancel",
        "What to do with the deployment when the job is cancelled. run-task: leave or stop the tasks.",
        kind="choice",
        choices=("leave", "rollback"),
        batch_choices=("leave", "stop"),
        default="leave",
        commands=WAIT,
    ),
    _option(
        "parallel",
        "Deploy several services at the same time instead of one after the other.",
        kind="boolean",
        default="false",
        commands=("deploy",),
    ),
    _option(
        "strategy",
        "Deployment strategy of ECS that the service gets with the deployment. This and the settings up to "
        "early-success-percent stay after it, and what is not named stays as the service has it.",
        kind="choice",
        choices=("ROLLING", "BLUE_GREEN", "LINEAR", "CANARY"),
        commands=("deploy",),
    ),
    _option(
        "bake-time",
        "How long both revisions run on after the traffic was shifted (of a rolling deployment: how long "
        "alarms watch it), such as 10m; whole minutes.",
        kind="duration_or_zero",
        metavar="DURATION",
        commands=("deploy",),
    ),
    _option(
        "step-percent",
        "Share of the traffic that a step of LINEAR, or the canary of CANARY, gets.",
        kind="number",
        commands=("deploy",),
        metavar="PERCENT",
    ),
    _option(
        "step-bake-time",
        "How long a step of LINEAR, or the canary of CANARY, is watched, such as 10m; whole minutes.",
        kind="duration_or_zero",
        metavar="DURATION",
        commands=("deploy",),
    ),
    _option(
        "alarms",
        "CloudWatch alarms that watch the deployment, by name, one a line, instead of those of the service.",
        kind="lines",
        metavar="NAME",
        repeatable=True,
        commands=("deploy",),
    ),
    _option(
        "alarm-action",
        "What an alarm does that goes off: nothing (disabled), stop the deployment (enabled), or roll it "
        "back. Default: what it does for the service, otherwise rollback.",
        kind="choice",
        choices=("disabled", "enabled", "rollback"),
        commands=("deploy",),
    ),
    _option(
        "circuit-breaker",
        "What the circuit breaker does: nothing (disabled), stop the deployment (enabled), or roll it back.",
        kind="choice",
        choices=("disabled", "enabled", "rollback"),
        commands=("deploy",),
    ),
    _option(
        "breaker-threshold",
        "Failed tasks at which the circuit breaker acts: a number, a percentage of the desired count (50%, "
        "within 3 and 200 tasks), or TYPE=VALUE in AWS's terms.",
        kind="threshold",
        metavar="NUMBER",
        commands=("deploy",),
    ),
    _option(
        "early-success",
        "Call a rolling deployment successful once early-success-percent of the tasks are healthy, the old "
        "ones cleaned up before (BLOCKING) or after (DEFERRED); or not (disabled).",
        kind="choice",
        choices=("disabled", "BLOCKING", "DEFERRED"),
        commands=("deploy",),
    ),
    _option(
        "early-success-percent",
        "Healthy tasks that are enough for it, in percent of the desired count. Alone it sets early-success "
        "to what the service has, otherwise to BLOCKING.",
        kind="integer",
        commands=("deploy",),
        metavar="PERCENT",
    ),
    _option(
        "codedeploy-appspec",
        "AppSpec file (YAML or JSON) of a service that CodeDeploy deploys; revision, container and port are "
        "put in. Default: one made from the service, without hooks.",
        commands=ROLLOUT,
        metavar="FILE",
    ),
    _option(
        "codedeploy-application",
        "CodeDeploy application of such a service. Default: AppECS-CLUSTER-SERVICE.",
        commands=(*ROLLOUT, "watch", "history"),
        metavar="NAME",
    ),
    _option(
        "codedeploy-deployment-group",
        "CodeDeploy deployment group of such a service. Default: DgpECS-CLUSTER-SERVICE.",
        commands=(*ROLLOUT, "watch", "history"),
        metavar="NAME",
    ),
    _option(
        "codedeploy-deployment-config",
        "CodeDeploy deployment configuration, such as CodeDeployDefault.ECSCanary10Percent5Minutes. Default: "
        "that of the deployment group.",
        commands=ROLLOUT,
        metavar="NAME",
    ),
    _option(
        "codedeploy-deployment-description",
        "Description of the CodeDeploy deployment; what is longer than 512 characters is cut off.",
        commands=ROLLOUT,
        metavar="TEXT",
    ),
    _option(
        "commit",
        "Commit that the revision is made from, for its tags. Default: what the CI system says (GITHUB_SHA).",
        metavar="SHA",
        commands=("deploy", "register"),
    ),
    _option(
        "keep-revisions",
        "Deregister older revisions of the family and keep this many before the one that runs. Default: all "
        "stay.",
        kind="positive_integer",
        commands=ROLLOUT,
    ),
    _option(
        "to",
        "Where to roll back to: previous (the last good one before), a revision (42 or family:42), a commit "
        "SHA (7 characters or more), an image digest, or the tag of an image that ran. With plan: foresee "
        "that rollback instead of a deployment.",
        default="previous",
        commands=("rollback", "plan"),
        metavar="TARGET",
    ),
    _option(
        "fail-on",
        "From which findings on plan fails: error (no room, a foreseen failure), warning, or never.",
        kind="choice",
        choices=("error", "warning", "never"),
        default="error",
        commands=("plan",),
    ),
    _option(
        "rules",
        "File (YAML or JSON) with rules of your own for plan and preflight, beside and instead of ours "
        "(docs/rules.md).",
        commands=LOOK_AHEAD,
        metavar="FILE",
    ),
    _option(
        "check-secret-keys",
        "Read the value of a secret of which a container gets one JSON key, in plan and preflight, for "
        "whether it has that key; needs secretsmanager:GetSecretValue. The value is neither shown nor kept.",
        kind="boolean",
        default="false",
        commands=LOOK_AHEAD,
    ),
    _option(
        "preflight",
        "Look ahead as plan does before anything is changed for the rollout: error ends the run on what plan "
        "fails on, warn tells it and goes on, off asks AWS nothing more. Needs plan's permissions; what may "
        "not be seen is told as not checked.",
        kind="choice",
        choices=("off", "warn", "error"),
        default="off",
        commands=ROLLOUT,
    ),
    _option(
        "calibrate",
        "Have plan and preflight read the last 90 days of the account's service deployments, fit the model "
        "to them and tell between which times the rollout ends (docs/plan.md).",
        kind="boolean",
        default="false",
        commands=LOOK_AHEAD,
    ),
    _option(
        "reason",
        "Why, in a few words: for the tags of the revision and the summary.",
        commands=("rollback", "reject"),
        metavar="TEXT",
    ),
    _option(
        "force",
        "Deploy the target also where the service runs it already.",
        kind="boolean",
        default="false",
        commands=("rollback",),
    ),
    _option(
        "service-deployment",
        "Service deployment that is meant, as ARN; of watch also the id of CodeDeploy's (d-…). Default: the "
        "one that is ongoing, for watch otherwise the newest.",
        metavar="ARN",
        commands=("watch", *ANSWER),
    ),
    _option(
        "hook",
        "Pause hook to answer, by its id. Default: the one that waits; only of several one has to be named.",
        metavar="ID",
        commands=ANSWER,
    ),
    _option(
        "task",
        "Tasks to watch instead of a service, ids or ARNs, one a line.",
        kind="lines",
        metavar="ID",
        repeatable=True,
        commands=("watch",),
    ),
    _option(
        "limit",
        "How many deployments history shows.",
        kind="positive_integer",
        default="10",
        commands=("history",),
    ),
    _option(
        "all",
        "Show every deployment that AWS keeps (90 days).",
        kind="boolean",
        default="false",
        commands=("history",),
    ),
    _option(
        "predicted",
        "Show what was foreseen of each deployment beside what came, and how good that was.",
        kind="boolean",
        default="false",
        commands=("history",),
    ),
    _option(
        "container-overrides",
        "What RunTask replaces in several containers, YAML or JSON: container → command, environment, cpu, "
        "memory, memory-reservation, gpu.",
        kind="container_overrides",
        metavar="MAPPING",
        commands=("run-task",),
    ),
    _option(
        "before-task",
        "Task to run from the new revision before the service is updated, such as a migration, with the "
        "service's network: YAML or JSON as in container-overrides. The service is updated only where it "
        "ended well.",
        kind="container_overrides",
        metavar="MAPPING",
        commands=("deploy",),
    ),
    _option(
        "count",
        "How many tasks to run, 1 to 1000.",
        kind="positive_integer",
        default="1",
        commands=("run-task",),
    ),
    _option(
        "wait",
        "Wait for the end of the deployment or the tasks. With false the outcome is started once they have "
        "begun, and the reason says how to watch.",
        kind="boolean",
        default="true",
        commands=("deploy", "run-task", *ANSWER),
    ),
    _option(
        "wait-until",
        "End the wait at this lifecycle stage of a blue/green, linear or canary deployment, reached or "
        "passed, with the outcome started; until then on-timeout and on-failure hold. Default: its end.",
        kind="choice",
        choices=STAGES,
        metavar="STAGE",
        commands=("deploy", "watch", "continue"),
    ),
    _option(
        "subnets",
        "Subnets of the tasks (network mode awsvpc), one a line or with commas. Default: those of service.",
        kind="names",
        metavar="ID",
        repeatable=True,
        commands=("run-task",),
    ),
    _option(
        "security-groups",
        "Security groups of the tasks (network mode awsvpc), one a line or with commas.",
        kind="names",
        metavar="ID",
        repeatable=True,
        commands=("run-task",),
    ),
    _option(
        "assign-public-ip",
        "Give the tasks public addresses (Fargate only).",
        kind="boolean",
        default="false",
        commands=("run-task",),
    ),
    _option(
        "launch-type",
        "Launch type. Default: that of service, otherwise the cluster's default strategy.",
        kind="choice",
        choices=("ec2", "fargate", "external"),
        commands=("run-task",),
    ),
    _option(
        "capacity-providers",
        "Capacity-provider strategy instead of a launch type: NAME, NAME=WEIGHT or NAME=WEIGHT,BASE, one a "
        "line, or the API's list in JSON. deploy sets it in the service; a rollback does not take it back.",
        kind="strategy",
        metavar="NAME",
        repeatable=True,
        commands=LAUNCH,
    ),
    _option(
        "volume",
        "EBS volume of each task, YAML or JSON: name (of a volume with configuredAtLaunch in the task "
        "definition), sizeInGiB, roleArn and what else TaskManagedEBSVolumeConfiguration has. deploy sets it "
        "in the service; default there: it stays, and goes with a revision that has no such volume. Default "
        "of run-task: that of service.",
        kind="mapping",
        commands=LAUNCH,
    ),
    _option(
        "propagate-tags",
        "Whose tags the tasks get: SERVICE, TASK_DEFINITION or NONE. deploy sets it in the service, where it "
        "otherwise stays. run-task: TASK_DEFINITION or NONE.",
        kind="choice",
        choices=("SERVICE", "TASK_DEFINITION", "NONE"),
        batch_choices=("TASK_DEFINITION", "NONE"),
        commands=LAUNCH,
    ),
    _option(
        "enable-ecs-managed-tags",
        "Tag the tasks with cluster and service (aws:ecs:clusterName, aws:ecs:serviceName), or with false "
        "not. deploy sets it in the service, where it otherwise stays.",
        kind="switch",
        commands=LAUNCH,
    ),
    _option(
        "started-by",
        "Mark on the tasks (startedBy); with watch: the tasks to watch. Default: one made of the CI system's "
        "run and job.",
        metavar="TEXT",
        commands=("run-task", "watch"),
    ),
    _option(
        "client-token",
        "Text that makes this batch one of its kind: with the same text nothing is started twice. Default: "
        "the CI system's run, attempt, job and step.",
        metavar="TEXT",
        commands=("run-task",),
    ),
    _option(
        "registry",
        "Registries to log in to, one a line: an account id, a host of ECR (or a repository there), or "
        "public.ecr.aws. Default: the account's own.",
        kind="names",
        metavar="HOST",
        repeatable=True,
        commands=("login",),
    ),
    _option(
        "repository",
        "ECR repository to build and push to, by name or URI; with it (or context) deploy builds the image "
        "first. Default of deploy: the repository of the image that the service runs; push needs it.",
        metavar="NAME|URI",
        commands=BUILD,
    ),
    _option(
        "image-tag",
        "Tag of the image that is built. Default: the commit's SHA. An image that has it already is not "
        "built again.",
        metavar="TAG",
        commands=BUILD,
    ),
    _option(
        "extra-tags",
        "Further tags of the image, one a line; they move last, as latest does.",
        kind="lines",
        metavar="TAG",
        repeatable=True,
        commands=BUILD,
    ),
    _option(
        "push-latest",
        "Move the tag latest to the image as well (batch tasks that run `latest`): last, after the scan, and "
        "of deploy after the deployment succeeded.",
        kind="boolean",
        default="false",
        commands=BUILD,
    ),
    _option(
        "context",
        "Folder to build the image from; with it (or repository) deploy builds the image first. Default of "
        "push: the working directory.",
        metavar="PATH",
        commands=BUILD,
    ),
    _option("dockerfile", "Dockerfile. Default: Dockerfile in the context.", metavar="PATH", commands=BUILD),
    _option("target", "Stage of the Dockerfile to build.", metavar="STAGE", commands=BUILD),
    _option(
        "platforms",
        "Platforms to build for, with commas; more than one needs buildx.",
        default="linux/amd64",
        metavar="OS/ARCH",
        commands=BUILD,
    ),
    _option(
        "build-args",
        "Build arguments, NAME=VALUE, one a line. They end up in the image: no secrets.",
        kind="pairs",
        metavar="NAME=VALUE",
        repeatable=True,
        commands=BUILD,
    ),
    _option(
        "build-secrets",
        "Secrets for `RUN --mount=type=secret,id=NAME`, NAME=VALUE, one a line; NAME alone takes the "
        "environment variable of that name. A value of several lines is a key (`-----BEGIN` to `-----END`), "
        'stands in quotes (`"NAME=VALUE"`) or between `NAME<<END` and `END`. They reach Docker through the '
        "environment only.",
        kind="assignments",
        metavar="NAME",
        repeatable=True,
        secret=True,
        commands=BUILD,
    ),
    _option(
        "build-secret-files",
        "Files as build secrets, NAME=PATH, one a line; what they hold is cut out of the log.",
        kind="pairs",
        metavar="NAME=PATH",
        repeatable=True,
        commands=BUILD,
    ),
    _option(
        "build-contexts",
        "Further build contexts, NAME=PATH, NAME=URL or NAME=docker-image://IMAGE, one a line, for FROM NAME "
        "and COPY --from=NAME. Needs buildx or Podman.",
        kind="pairs",
        metavar="NAME=PATH|URL",
        repeatable=True,
        commands=BUILD,
    ),
    _option(
        "image-labels",
        "Labels of the image that is built, NAME=VALUE, one a line, beside those that name commit and "
        "repository. Labels of the container are docker-labels.",
        kind="pairs",
        metavar="NAME=VALUE",
        repeatable=True,
        commands=BUILD,
    ),
    _option(
        "annotations",
        "OCI annotations of the image that is built, NAME=VALUE, one a line; buildx takes index: or "
        "manifest: before the name. Needs buildx or Podman.",
        kind="pairs",
        metavar="NAME=VALUE",
        repeatable=True,
        commands=BUILD,
    ),
    _option(
        "ssh",
        "SSH for `RUN --mount=type=ssh`, one a line: default (the agent of SSH_AUTH_SOCK), or NAME=PATH of a "
        "socket or key; what a key holds is cut out of the log.",
        kind="lines",
        metavar="default|NAME=PATH",
        repeatable=True,
        commands=BUILD,
    ),
    _option(
        "build-options",
        "Further flags of `docker buildx build`, one a line, such as --add-host=db:10.0.0.1 or --no-cache "
        "(flag: --build-options=--no-cache). What has an input of its own is refused with its name.",
        kind="lines",
        metavar="FLAG",
        repeatable=True,
        commands=BUILD,
    ),
    _option(
        "build-network",
        "Network of RUN steps, such as host. Default: Docker's own.",
        metavar="MODE",
        commands=BUILD,
    ),
    _option(
        "cache",
        "Where layers are cached between runs: registry (in ECR, see cache-image), gha (GitHub's cache) or "
        "off. Both need buildx.",
        kind="choice",
        choices=("off", "registry", "gha"),
        default="off",
        commands=BUILD,
    ),
    _option(
        "cache-image",
        "Image that holds the registry cache; its repository must have mutable tags. Default: the tag "
        "buildcache of the repository.",
        metavar="URI",
        commands=BUILD,
    ),
    _option(
        "provenance",
        "Add BuildKit's provenance attestation: true, or as little (mode=min) or as much (mode=max) as there "
        "is. It turns the image into an index and needs buildx with a builder of its own. What "
        "require-attestation verifies is another one, signed by GitHub.",
        kind="choice",
        choices=("false", "true", "mode=min", "mode=max"),
        default="false",
        commands=BUILD,
    ),
    _option(
        "sbom",
        "Add an SBOM attestation, what the image is made of; as provenance it turns the image into an index, "
        "and needs buildx with a builder of its own.",
        kind="boolean",
        default="false",
        commands=BUILD,
    ),
    _option(
        "rebuild",
        "Build and push even where the image of this tag exists.",
        kind="boolean",
        default="false",
        commands=BUILD,
    ),
    _option(
        "create-repository",
        "Create the ECR repository where it is missing: scan on push, immutable tags save latest, a "
        "lifecycle policy.",
        kind="boolean",
        default="false",
        commands=BUILD,
    ),
    _option(
        "restore-archived",
        "Restore the image of this tag where ECR has archived it (it stays restored for 90 days at least).",
        kind="boolean",
        default="false",
        commands=BUILD,
    ),
    _option(
        "fail-on-severity",
        "Refuse an image in which ECR's scan finds something of this severity or worse.",
        kind="choice",
        choices=("off", "critical", "high", "medium"),
        default="off",
        commands=BUILD,
    ),
    _option(
        "scan-timeout",
        "Longest wait for the result of ECR's scan where fail-on-severity is set.",
        kind="duration",
        default="5m",
        metavar="DURATION",
        commands=BUILD,
    ),
    _option(
        "gpu-hourly-cost",
        "What a GPU costs an hour, in any currency: then the summary says what the rollout spent and wasted. "
        "plan has a price list in USD for where it is not set.",
        kind="number",
        commands=LOOK_AHEAD,
        metavar="NUMBER",
    ),
    _option(
        "aws-profile",
        "Profile of the AWS configuration (~/.aws) for credentials, and for the Region where nothing else "
        "says it. Default: AWS_PROFILE.",
        metavar="NAME",
    ),
    _option("region", "AWS Region. Default: AWS_REGION, AWS_DEFAULT_REGION or the profile's."),
    _option(
        "role-to-assume",
        "ARN of the role to assume over GitHub OIDC. Default: the credentials that are there.",
        metavar="ARN",
    ),
    _option("role-session-name", "Session name of the assumed role.", default="ecs-gpu-deploy"),
    _option(
        "role-duration",
        "Life of the assumed role's credentials; they are renewed before they end.",
        kind="duration",
        default="1h",
        metavar="DURATION",
    ),
    _option(
        "role-chain",
        "Roles to assume one after the other with the credentials before, one ARN a line: after "
        "role-to-assume, or after the credentials that are there. One hour each at most.",
        kind="lines",
        metavar="ARN",
        repeatable=True,
    ),
    _option("role-external-id", "External id with which the roles of role-chain are assumed."),
    _option(
        "role-session-policy",
        "Policy (JSON) that narrows the permissions of the last role assumed.",
        kind="policy",
        metavar="JSON",
    ),
    _option(
        "audience",
        "Audience of GitHub's token. Default: sts.amazonaws.com, in China sts.amazonaws.com.cn.",
    ),
    _option(
        "allowed-account-ids",
        "AWS accounts that may be deployed to, one a line or with commas; any other is refused.",
        kind="accounts",
        metavar="ID",
        repeatable=True,
    ),
    _option(
        "deployment-record",
        "Environment under which GitHub keeps a record: a deployment with its status (deployments: write), "
        "and of an organization where the artifact runs, by digest and cluster (artifact-metadata: write). "
        "What the token may not write costs a warning. A job with `environment` has such a deployment of "
        "GitHub's own.",
        metavar="ENVIRONMENT",
        commands=ROLLOUT,
    ),
    _option(
        "github-token",
        "Token for GitHub's API; on the command line the name of the environment variable that holds it. "
        "Default: GITHUB_TOKEN, in the action the job's own token.",
        kind="token",
        metavar="NAME",
        secret=True,
        commands=(*WAIT, "plan"),
    ),
    _option(
        "comment",
        "Keep one comment of the pull request up to date with verdict, cause and proof, or the plan: of the "
        "pull request of the event, or of the commit. Needs the permission pull-requests: write; else there "
        "is a warning.",
        kind="boolean",
        default="false",
        commands=(*WAIT, "plan"),
    ),
    _option("result-file", "Where to write the result as JSON.", metavar="PATH"),
    _option(
        "output",
        "What standard output holds: text to read, or json, the result alone; the text then goes to standard "
        "error.",
        kind="choice",
        choices=("text", "json"),
        default="text",
    ),
    _option(
        "debug",
        "Show a traceback for errors of ours, and every call to AWS.",
        kind="boolean",
        default="false",
    ),
)


BY_NAME = {option.name: option for option in OPTIONS}


CONFIG = Option(
    name="config",
    help="YAML or JSON file with any of these options as keys. Default: .github/ecs-gpu-deploy.yml if there.",
    metavar="FILE",
    commands=ALL,
)


PROFILE = Option(
    name="profile",
    help="Profile in the configuration file, whose options are laid over its others.",
    metavar="NAME",
    commands=ALL,
)


FILE_OPTIONS: tuple[Option, ...] = (CONFIG, PROFILE)
"""What says which options are read of the configuration file, and so is no key of it."""


COMMAND = Option(name="command", help="What to do.", default="deploy", action=True)


GROUPS: dict[str, tuple[str, ...]] = {
    "Where": ("cluster", "service", "region", "config", "profile"),
    "The new revision": (
        "image",
        "container",
        "task-definition",
        "environment",
        "secrets",
        "entry-point",
        "command-override",
        "cpu",
        "memory",
        "memory-reservation",
        "task-cpu",
        "task-memory",
        "gpu",
        "gpu-sharing",
        "health-check",
        "log-options",
        "log-driver",
        "env-files",
        "docker-labels",
        "task-role-arn",
        "execution-role-arn",
        "set",
        "tags",
        "allow-placeholders",
        "pin",
        "rendered-file",
        "commit",
        "keep-revisions",
    ),
    "Build and push": (
        "registry",
        "repository",
        "context",
        "dockerfile",
        "target",
        "platforms",
        "build-args",
        "build-secrets",
        "build-secret-files",
        "build-contexts",
        "ssh",
        "build-network",
        "build-options",
        "image-labels",
        "annotations",
        "image-tag",
        "extra-tags",
        "push-latest",
        "cache",
        "cache-image",
        "provenance",
        "sbom",
        "rebuild",
        "create-repository",
        "restore-archived",
        "fail-on-severity",
        "scan-timeout",
    ),
    "The rollout": (
        "preflight",
        "force-new-deployment",
        "ongoing",
        "before-task",
        "desired-count",
        "capacity-providers",
        "volume",
        "propagate-tags",
        "enable-ecs-managed-tags",
        "allow-desired-zero",
        "parallel",
        "strategy",
        "bake-time",
        "step-percent",
        "step-bake-time",
        "alarms",
        "alarm-action",
        "circuit-breaker",
        "breaker-threshold",
        "early-success",
        "early-success-percent",
        "codedeploy-appspec",
        "codedeploy-application",
        "codedeploy-deployment-group",
        "codedeploy-deployment-config",
        "codedeploy-deployment-description",
    ),
    "The wait and its verdict": (
        "wait",
        "wait-until",
        "timeout",
        "poll-interval",
        "placement-timeout",
        "phase-deadlines",
        "crash-loop-threshold",
        "settle",
        "on-timeout",
        "on-failure",
        "on-cancel",
        "gpu-hourly-cost",
    ),
    "Back, and what was": (
        "to",
        "fail-on",
        "rules",
        "check-secret-keys",
        "calibrate",
        "reason",
        "force",
        "service-deployment",
        "hook",
        "limit",
        "all",
        "predicted",
    ),
    "Batch tasks": (
        "container-overrides",
        "count",
        "subnets",
        "security-groups",
        "assign-public-ip",
        "launch-type",
        "started-by",
        "client-token",
        "task",
    ),
    "Credentials": (
        "aws-profile",
        "role-to-assume",
        "role-session-name",
        "role-duration",
        "role-chain",
        "role-external-id",
        "role-session-policy",
        "audience",
        "allowed-account-ids",
    ),
    "GitHub": ("require-attestation", "deployment-record", "comment", "github-token"),
    "What is written": ("output", "result-file", "debug"),
}
"""Task → the options that serve it, as help and docs/inputs.md group them; each stands once."""


def option_of(command: str, option: Option) -> Option:
    """Return the option as *command* takes it."""
    batch = command == "run-task" and option.batch_choices
    return replace(option, choices=option.batch_choices) if batch else option


def options_of(command: str) -> dict[str, tuple[Option, ...]]:
    """Return the options of a command, grouped by the task that they serve."""
    by_name = {**BY_NAME, **{option.name: option for option in FILE_OPTIONS}}
    grouped = {title: tuple(by_name[name] for name in names) for title, names in GROUPS.items()}
    own = {
        title: tuple(option_of(command, option) for option in options if command in option.commands)
        for title, options in grouped.items()
    }
    return {title: options for title, options in own.items() if options}
