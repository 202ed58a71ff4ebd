"""`make permissions`: run every command on the local AWS, and record what it calls.

Writes docs/permissions.json, from which docs/permissions.md is made; with --check it says what differs.
A command that learns a new call needs a run here that makes it; tests/e2e/test_permissions.py holds that. It
starts sandbox and program as the tests do, so `tests` has to be on the path.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from program import image, run
from sandbox_process import RunningSandbox, sandbox_thread
from tools.permissions import ASKED_TOO, CODEDEPLOY, DOCKER_PUSH, WITH_TAGS, actions_of
from worlds import ROLE, codedeploy_world, default_world, github_world, put_codedeploy_group

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "docs" / "permissions.json"
SHA = "0123456789abcdef0123456789abcdef01234567"
STAND_IN = '#!/bin/sh\n[ "$1 $2" = "buildx version" ] && exit 1\nexit 0\n'
SERVICE = ("--cluster", "ki-cluster", "--service", "ki-rag-api")
Recorded = dict[str, set[str]]


class Recorder:
    """Run commands in one folder and keep what they call."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls: Recorded = {}
        (folder / "Dockerfile").write_text("FROM scratch\n")
        (folder / "bin").mkdir()
        (folder / "bin" / "docker").write_text(STAND_IN)
        (folder / "bin" / "docker").chmod(0o755)
        (folder / "bin" / "gh").write_text("#!/bin/sh\nexit 1\n")
        (folder / "bin" / "gh").chmod(0o755)
        self.docker = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin", "GITHUB_SHA": SHA}

    def run(
        self, sandbox: RunningSandbox, command: str, *flags: str, under: str = "", **environment: str
    ) -> Any:
        """Run a command; return how it ended. What it calls is recorded *under* its name, or another one."""
        named = () if command in {"push", "run-task", "login"} or "--service" in flags else SERVICE
        ran = run(sandbox, self.folder, command, *named, *flags, **environment)
        if ran.exit_code == 1:
            raise SystemExit(ran.shown)
        self.calls.setdefault(under or command, set()).update(ran.result.get("api_calls", {}))
        return ran


@contextmanager
def _world(**changes: Any) -> Iterator[RunningSandbox]:
    with sandbox_thread(json.dumps({**default_world(), **changes})) as sandbox:
        yield sandbox


def _without_breaker() -> dict[str, Any]:
    world = default_world()
    world["services"][0]["deploymentConfiguration"] = {"minimumHealthyPercent": 100, "maximumPercent": 200}
    return {"services": world["services"]}


def _schedule(sandbox: RunningSandbox) -> None:
    """Have a schedule, a rule and a state machine that run tasks."""
    family = "arn:aws:ecs:eu-central-1:123456789012:task-definition/ki-rag-api:1"
    cluster, role = "arn:aws:ecs:eu-central-1:123456789012:cluster/ki-cluster", ROLE
    target = {"Arn": cluster, "RoleArn": role, "EcsParameters": {"TaskDefinitionArn": family}}
    with sandbox.client("scheduler") as scheduler:
        scheduler.create_schedule(
            Name="nightly",
            ScheduleExpression="rate(1 day)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target=target,
        )
    with sandbox.client("events") as events:
        events.put_rule(Name="nightly", ScheduleExpression="rate(1 day)")
        events.put_targets(Rule="nightly", Targets=[{"Id": "1", **target}])
    with sandbox.client("stepfunctions") as states:
        task = {"Cluster": cluster, "TaskDefinition": family}
        resource = "arn:aws:states:::ecs:runTask.sync"
        run = {"Type": "Task", "Resource": resource, "Parameters": task, "End": True}
        definition = json.dumps({"StartAt": "run", "States": {"run": run}})
        states.create_state_machine(name="nightly", definition=definition, roleArn=role)


def deployments(recorder: Recorder) -> None:
    """Successes, rollbacks of AWS and of ours, no place, a wrong name, an image that is gone."""
    with _world() as sandbox:
        _schedule(sandbox)
        for tag in ("good", "v1", "good"):
            recorder.run(sandbox, "deploy", "--image", image(tag), "--keep-revisions", "1")
        recorder.run(sandbox, "deploy", "--image", image("good"), "--alarms", "nosuch")
        recorder.run(sandbox, "render", "--image", image("v1"))
        recorder.run(sandbox, "register", "--image", image("v1"), "--environment", "A=1")
        recorder.run(sandbox, "rollback", "--to", "previous")
        recorder.run(sandbox, "history")
        recorder.run(sandbox, "status")
        recorder.run(sandbox, "plan", "--image", image("v1"))
        recorder.run(sandbox, "plan", "--to", "previous", "--calibrate")
        elsewhere = ("--task-role-arn", "arn:aws:iam::123456789012:role/other", "--log-options")
        recorder.run(sandbox, "plan", *elsewhere, "awslogs-group=/ecs/other")
        for command in ("deploy", "plan", "render", "register", "rollback", "status", "history", "watch"):
            recorder.run(sandbox, command, "--cluster", "ki-cluster", "--service", "ki-rag")
        recorder.run(sandbox, "watch")
    with _world() as sandbox:
        before = json.dumps({"ki-rag-api": {"command": ["migrate"]}})
        recorder.run(sandbox, "deploy", "--image", image("bad"), "--before-task", before)
        recorder.run(sandbox, "deploy", "--image", image("bad"))
        recorder.run(sandbox, "deploy", "--image", image("good"))
        recorder.run(sandbox, "rollback", "--to", "2", "--force", "true")
        recorder.run(sandbox, "rollback", "--to", SHA)
        attested = ("--to", "1", "--force", "true", "--require-attestation", "acme/rag")
        recorder.run(sandbox, "rollback", *attested, **recorder.docker)
        recorder.run(sandbox, "watch")
    with _world(**_without_breaker()) as sandbox:
        recorder.run(sandbox, "deploy", "--image", image("bad"), "--on-failure", "rollback")
    gone = {"operation": "ecr:DescribeImages", "error": "ImageNotFoundException", "message": "gone"}
    with _world(faults=[gone]) as sandbox:
        for command in ("deploy", "render", "register"):
            recorder.run(sandbox, command, "--image", image("gone"))
        recorder.run(sandbox, "rollback", "--to", "1", "--force", "true")
    world = _without_breaker()
    with _world(**world) as sandbox:
        recorder.run(sandbox, "deploy", "--image", image("good"))
        recorder.run(sandbox, "rollback", "--to", "previous", "--timeout", "20s", "--on-timeout", "rollback")
    with _world(instances=[{"type": "g5.xlarge", "count": 2}]) as sandbox:
        recorder.run(sandbox, "deploy", "--image", image("good"), "--placement-timeout", "1m")


def forecasts(recorder: Recorder) -> None:
    """Plans where a capacity provider scales: the service's own strategy, and the cluster's default one."""
    world = default_world()
    provider = {"name": "gpu", "default": True, "min_size": 2, "max_size": 3}
    provider["instances"] = {"type": "g5.xlarge", "count": 2, "availability_zones": ["a", "b"]}
    for strategy in ([{"capacityProvider": "gpu", "weight": 1}], None):
        service = {**world["services"][0], "capacityProviderStrategy": strategy}
        service = {key: value for key, value in service.items() if key != "launchType" and value}
        with _world(instances=[], capacity_providers=[provider], services=[service]) as sandbox:
            recorder.run(sandbox, "plan", "--image", image("good"))


def pauses(recorder: Recorder) -> None:
    """Deployments that wait at a hook: continued, rejected, failed after it, rolled back by us after it."""
    hook = {"targetType": "PAUSE", "lifecycleStages": ["PRE_SCALE_UP"]}
    paused = {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 1, "lifecycleHooks": [hook]}
    update = {"service": "ki-rag-api", "deploymentConfiguration": paused}
    with _world(timeline=[{"at": 0, "update_service": update}]) as sandbox:
        late = ("--timeout", "20s", "--on-timeout", "rollback")
        for tag, command, *flags in (
            ("good", "continue"),
            ("v1", "reject"),
            ("bad", "continue"),
            ("v1", "continue", *late),
        ):
            recorder.run(sandbox, "deploy", "--image", image(tag), "--wait", "false")
            sandbox.advance(60)
            recorder.run(sandbox, "status")
            recorder.run(sandbox, command, *flags)
            recorder.run(sandbox, command)
        for command in ("continue", "reject"):
            recorder.run(sandbox, command, "--cluster", "ki-cluster", "--service", "ki-rag")


def codedeploy(recorder: Recorder) -> None:
    """A service that CodeDeploy deploys: a success, a rollback of ours, one by name, what was and is."""
    under = CODEDEPLOY
    with _world(**codedeploy_world()) as sandbox:
        put_codedeploy_group(sandbox)
        recorder.run(sandbox, "deploy", "--image", image("good"), under=under)
        recorder.run(sandbox, "deploy", "--image", image("bad"), "--on-failure", "rollback", under=under)
        for command in ("rollback", "history", "watch", "status"):
            recorder.run(sandbox, command, under=under)


def batches(recorder: Recorder) -> None:
    """A task that ends well, and one that is stopped by the timeout."""
    world = default_world()
    job = {**world["task_definitions"][0], "family": "ingest"}
    job["containerDefinitions"] = [dict(job["containerDefinitions"][0], image="ingest:1")]
    endless = {**job, "family": "endless"}
    endless["containerDefinitions"] = [dict(job["containerDefinitions"][0], image="ingest:2")]
    images = [
        *world["images"],
        {"image": "ingest:1", "exit_code": 0, "exit_after": 60, "logs": ["done"]},
        {"image": "ingest:2", "load_seconds": 5},
    ]
    definitions = [*world["task_definitions"], job, endless]
    with _world(images=images, task_definitions=definitions) as sandbox:
        flags = ("--cluster", "ki-cluster", "--task-definition")
        recorder.run(sandbox, "run-task", *flags, "ingest", "--tags", "team=ml")
        recorder.run(sandbox, "run-task", *flags, "ingest", "--capacity-providers", "spot")
        recorder.run(sandbox, "deploy", "--image", image("good"), "--capacity-providers", "spot")
        recorder.run(sandbox, "run-task", *flags, "ingest", "--image", image("bad"))
        recorder.run(sandbox, "run-task", *flags, "endless", "--timeout", "2m", "--on-timeout", "stop")
    gone = {"operation": "ecr:DescribeImages", "error": "ImageNotFoundException", "message": "gone"}
    with _world(faults=[gone]) as sandbox:
        recorder.run(sandbox, "run-task", *flags, "ki-rag-api")


def builds(recorder: Recorder) -> None:
    """An image that is there, a repository that is not, a scan, an archived image; Docker stands in."""
    archived = {"imageDigest": "sha256:" + "a" * 64, "imageTags": ["good"], "imageStatus": "ARCHIVED"}
    scanned = {"imageScanStatus": {"status": "COMPLETE"}, "imageScanFindings": {}}
    faults = [
        {"operation": "ecr:DescribeImages", "body": json.dumps({"imageDetails": [archived]}), "count": 1},
        {"operation": "ecr:UpdateImageStorageClass", "body": "{}"},
        {"operation": "ecr:DescribeImageScanFindings", "body": json.dumps(scanned)},
    ]
    there = ("--image-tag", "good", "--extra-tags", "nightly", "--fail-on-severity", "high")
    for command, name in (("push", ["--repository", "ki-rag-api"]), ("deploy", ["--context", "."])):
        with _world(faults=faults) as sandbox:
            with sandbox.client("ecr") as ecr:
                policy = {"rules": [_rule()]}
                ecr.put_lifecycle_policy(repositoryName="ki-rag-api", lifecyclePolicyText=json.dumps(policy))
            recorder.run(sandbox, command, *name, *there, "--restore-archived", "true", **recorder.docker)
            new = ("--repository", "new", "--create-repository", "true")
            recorder.run(sandbox, command, *new, **recorder.docker)
    token = {"authorizationToken": "QVdTOm5vYm9keS1rbm93cw=="}
    public = {
        "operation": "ecr-public:GetAuthorizationToken",
        "body": json.dumps({"authorizationData": token}),
    }
    with _world(faults=[public]) as sandbox:
        recorder.run(sandbox, "login", "--registry", "123456789012,public.ecr.aws", **recorder.docker)


def _rule() -> dict[str, Any]:
    selection = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}
    return {"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}


def credentials(recorder: Recorder) -> None:
    """A role over OIDC and a chain behind it; ambient credentials of an account that is looked at."""
    with sandbox_thread(json.dumps(github_world())) as sandbox:
        chain = "arn:aws:iam::123456789012:role/target"
        tokens = sandbox.announcement["github_environment"]
        common = ("--repository", "ki-rag-api", "--image-tag", "good")
        recorder.run(sandbox, "push", *common, "--role-to-assume", ROLE, "--role-chain", chain, **tokens)
        recorder.run(sandbox, "push", *common, "--allowed-account-ids", "123456789012")


STORIES: tuple[Callable[[Recorder], None], ...] = (
    deployments,
    forecasts,
    pauses,
    codedeploy,
    batches,
    builds,
)


def recorded() -> dict[str, list[str]]:
    """Run everything; return command → IAM actions, those of signing in under `credentials`."""
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder))
        for story in STORIES:
            story(recorder)
        actions = {command: set(actions_of(calls)) for command, calls in recorder.calls.items()}
        (Path(folder) / "roles").mkdir()
        signing = Recorder(Path(folder) / "roles")
        credentials(signing)
    for found in actions.values():
        found |= {implied for action, implied in (WITH_TAGS | ASKED_TOO).items() if action in found}
    for command in ("push", "deploy"):
        actions[command] |= set(DOCKER_PUSH)
    names = {action for calls in signing.calls.values() for action in actions_of(calls)}
    actions["credentials"] = {name for name in names if name.startswith("sts:")}
    return {command: sorted(found) for command, found in sorted(actions.items())}


def main(arguments: list[str]) -> int:
    """Write the record, or with --check compare it."""
    text = json.dumps(recorded(), indent=2) + "\n"
    if "--check" in arguments:
        is_stale = not RECORD.exists() or RECORD.read_text(encoding="utf-8") != text
        if is_stale:
            print("stale: docs/permissions.json (run `make permissions`)", file=sys.stderr)
        return int(is_stale)
    RECORD.write_text(text, encoding="utf-8")
    print(f"wrote {RECORD.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
