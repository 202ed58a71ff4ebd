"""Twelve situations of several services: what is true of each service, of the exit code and of the time."""

import json
from contextlib import contextmanager

import pytest

from program import image
from program_here import run_here
from sandbox_process import clean_environment, sandbox_thread
from worlds import default_world

ARN = "arn:aws:ecs:eu-central-1:123456789012:service/{}"
ROLLING = {"minimumHealthyPercent": 100, "maximumPercent": 200}
BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
NO_ROLLBACK = {"deploymentCircuitBreaker": {"enable": True, "rollback": False}}


def _service(name, cluster="ki-cluster", deployment=None, **more):
    return {
        "serviceName": name,
        "cluster": cluster,
        "taskDefinition": "ki-rag-api",
        "desiredCount": 1,
        "launchType": "EC2",
        "deploymentConfiguration": {**ROLLING, **(deployment or {})},
        **more,
    }


def _killed(name, **deployment):
    """Return a service whose load balancer kills its tasks while they load: its grace period is 0."""
    balancer = {"targetGroupArn": "ki-rag-api", "containerName": "ki-rag-api", "containerPort": 8000}
    return _service(name, deployment=deployment, loadBalancers=[balancer], healthCheckGracePeriodSeconds=0)


def _stuck(name):
    """Return a service of a full cluster: the one GPU is held by its old task."""
    return _service(name, "full")


def _world(*services):
    world = default_world()
    clusters = sorted({service["cluster"] for service in services} | {"ki-cluster"})
    world["clusters"] = clusters
    world["services"] = list(services)
    world["instances"] = [
        {"type": "g5.xlarge", "count": 1 if cluster == "full" else 8, "cluster": cluster}
        for cluster in clusters
    ]
    for each in world["images"]:
        if each["image"].endswith(":v1"):
            each["load_seconds"] = 10
    return json.dumps(world)


class _Ran:
    def __init__(self, sandbox, folder, code, shown):
        self.code, self.shown = code, shown
        self.result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        self.summary = (folder / "summary.md").read_text(encoding="utf-8")
        self.ends = {each["service"]: each["outcome"] for each in self.result["services"]}
        self.reasons = {each["service"]: each["reason"] for each in self.result["services"]}
        self.seconds = self.result["duration_seconds"]
        self.sandbox = sandbox

    @property
    def commands(self):
        """Return the lines of log and summary that tell how to stop or to roll back by hand."""
        words = ("stop-service-deployment", "update-service", "by hand")
        told = (*self.shown.splitlines(), *self.summary.splitlines())
        return [line for line in told if any(word in line for word in words)]

    def runs(self, name, cluster="ki-cluster"):
        """Return the revision of the primary deployment, and its state."""
        with self.sandbox.client() as ecs:
            [service] = ecs.describe_services(cluster=cluster, services=[name])["services"]
        primary = service["deployments"][0]
        return int(primary["taskDefinition"].rpartition(":")[2]), primary["rolloutState"]


def _deploy(sandbox, folder, *names, flags=(), tag="good", cluster="ki-cluster"):
    arguments = ["deploy", f"--cluster={cluster}", *(f"--service={name}" for name in names)]
    arguments += [f"--image={image(tag)}", "--result-file=result.json", *flags]
    environment = clean_environment(sandbox, GITHUB_STEP_SUMMARY=str(folder / "summary.md"))
    code, shown = run_here(arguments, environment, folder)
    ran = _Ran(sandbox, folder, code, shown)
    _is_whole(ran)
    return ran


def _is_whole(ran):
    """Hold what is true of every run: each service has its row, in summary, log and result alike."""
    assert ran.code == ran.result["exit_code"], ran.shown
    for name, outcome in ran.ends.items():
        assert f"| `{name}` | {outcome} |" in ran.summary, ran.summary
        assert f"{name}: {outcome}" in ran.shown or outcome in {"cancelled", "refused", "invalid"}, ran.shown


@contextmanager
def _fleet(folder, services, *names, faults=(), **how):
    """Deploy to the services of a world of their own, or to those *named*."""
    with sandbox_thread(_world(*services)) as sandbox:
        assert sandbox.ask("POST", "faults", list(faults))[0] == 200
        every = [ARN.format(f"{each['cluster']}/{each['serviceName']}") for each in services]
        yield _deploy(sandbox, folder, *(names or every), **how)


TOGETHER = "--parallel=true"
ALL = (TOGETHER, "--on-failure=rollback-all")
UNSEEN = {
    "operation": "DescribeServices",
    "where": "two",
    "error": "AccessDeniedException",
    "after_seconds": 60,
}


def test_the_name_and_the_arn_of_a_service_are_one_service(tmp_path):
    names = ("one", ARN.format("ki-cluster/one"), "two")
    with _fleet(tmp_path, [_service("one"), _service("two")], *names, flags=[TOGETHER]) as ran:
        assert (ran.code, ran.ends) == (0, {"one": "succeeded", "two": "succeeded"}), ran.shown
        assert len(ran.sandbox.calls("UpdateService")) == 2
        again = _deploy(ran.sandbox, tmp_path, "one", ARN.format("one"))
        assert (again.code, again.ends) == (0, {}), again.shown
        assert len(ran.sandbox.calls("UpdateService")) == 3


def test_the_arn_of_another_clusters_service_is_understood(tmp_path):
    services = [_service("one"), _service("one", "other"), _service("two", "other")]
    arns = [ARN.format("other/one"), ARN.format("other/two")]
    with _fleet(tmp_path, services, "one", *arns, flags=[TOGETHER]) as ran:
        assert ran.ends == dict.fromkeys(["one", "other/one", "other/two"], "succeeded"), ran.shown
        assert ran.runs("one") == ran.runs("one", "other") == ran.runs("two", "other") == (2, "COMPLETED")
        alone = _deploy(ran.sandbox, tmp_path, arns[0], cluster="other")
        assert (alone.code, alone.result["cluster"]) == (0, "other"), alone.shown


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("arn:aws:ecs:us-east-1:123456789012:service/ki-cluster/two", "us-east-1"),
        ("arn:aws:ecs:eu-central-1:123456789012:cluster/ki-cluster", "no ARN of a service"),
        (ARN.format("nowhere/two"), "There is no cluster 'nowhere'"),
    ],
    ids=["of another Region", "of a cluster", "of a cluster that is not there"],
)
def test_an_arn_that_names_no_service_here_changes_nothing(tmp_path, name, says):
    with _fleet(tmp_path, [_service("one")], "one", name, flags=[TOGETHER]) as ran:
        assert ran.code == 2, ran.shown
        assert says in ran.result["reason"], ran.shown
        assert "Invalid input: one" not in ran.summary
        assert not ran.sandbox.calls("RegisterTaskDefinition")


def test_together_takes_as_long_as_the_slowest(tmp_path):
    killed = _killed("two", **BREAKER)
    with _fleet(tmp_path, [killed], flags=["--timeout=2h", "--poll-interval=60"]) as alone:
        assert alone.result["outcome"] == "rolled_back", alone.shown
    with _fleet(
        tmp_path,
        [_service("one"), killed, _service("three")],
        flags=[TOGETHER, "--timeout=2h", "--poll-interval=60"],
    ) as ran:
        assert ran.ends == {"one": "succeeded", "two": "rolled_back", "three": "succeeded"}, ran.shown
        assert (ran.code, ran.result["service"]) == (5, "two")
        assert ran.seconds <= 1.1 * alone.seconds, (ran.seconds, alone.seconds)
        assert ran.runs("one") == ran.runs("three") == (2, "COMPLETED")
        assert ran.runs("two") == (1, "COMPLETED")


def test_rollbacks_of_ours_go_on_together(tmp_path):
    flags = ["--timeout=10m", "--on-timeout=rollback", "--poll-interval=60"]
    with _fleet(tmp_path, [_service("one")], flags=flags, tag="never-ready") as alone:
        assert alone.code == 6, alone.shown
    services = [_service(name) for name in ("one", "two", "three")]
    with _fleet(tmp_path, services, flags=[TOGETHER, *flags], tag="never-ready") as ran:
        assert set(ran.ends.values()) == {"timed_out"}, ran.shown
        assert ran.code == 6
        assert ran.seconds <= 1.1 * alone.seconds, (ran.seconds, alone.seconds)
        assert len(ran.sandbox.calls("StopServiceDeployment")) == 3
        assert {ran.runs(name) for name in ran.ends} == {(1, "COMPLETED")}


def test_rollback_all_brings_back_what_aws_left_broken(tmp_path):
    services = [_service("one"), _killed("two", **NO_ROLLBACK)]
    with _fleet(tmp_path, services, flags=[*ALL, "--timeout=2h", "--poll-interval=60"]) as ran:
        assert ran.ends == {"one": "rolled_back", "two": "failed"}, ran.shown
        assert ran.code == 4
        assert "Then rolled back to ki-rag-api:1, as rollback-all asks" in ran.reasons["two"], ran.shown
        assert ran.runs("one") == ran.runs("two") == (1, "COMPLETED")
        assert ran.result["diagnoses"], "the way back does not hide why"
        assert not ran.commands, ran.shown


def test_rollback_all_brings_back_what_finds_no_place(tmp_path):
    services = [_service("one"), _stuck("two")]
    with _fleet(tmp_path, services, flags=[*ALL, "--placement-timeout=5m"]) as ran:
        assert ran.ends["one"] == "rolled_back", ran.shown
        assert ran.ends["full/two"] == ran.result["outcome"] == "no_capacity", ran.shown
        assert ran.code == 8
        assert "The rollback to ki-rag-api:1" in ran.reasons["full/two"], ran.shown
        assert ran.runs("one") == ran.runs("two", "full") == (1, "COMPLETED")


def test_rollback_all_brings_back_what_timed_out(tmp_path):
    services = [_service("one"), _stuck("two")]
    flags = [*ALL, "--timeout=10m", "--placement-timeout=30m"]
    with _fleet(tmp_path, services, flags=flags) as ran:
        assert ran.ends == {"one": "rolled_back", "full/two": "timed_out"}, ran.shown
        assert ran.runs("one") == ran.runs("two", "full") == (1, "COMPLETED"), ran.shown
        assert "goes on in AWS (on-timeout: leave)" not in ran.shown
        assert "The rollback to ki-rag-api:1 that rollback-all asks for" in ran.reasons["full/two"]
        assert "on-timeout" not in ran.shown
        assert not ran.commands, ran.shown


def test_of_a_service_that_was_asked_for_by_on_timeout_that_is_said(tmp_path):
    services = [_service("one"), _stuck("two")]
    flags = [*ALL, "--on-timeout=rollback", "--timeout=10m", "--placement-timeout=30m"]
    with _fleet(tmp_path, services, flags=flags) as ran:
        assert "The rollback to ki-rag-api:1 that on-timeout asks for" in ran.reasons["full/two"], ran.shown


@pytest.mark.parametrize("parallel", ["true", "false"], ids=["together", "one by one"])
def test_phases_and_gpu_time_are_told_of_each_service(tmp_path, parallel):
    services = [_service("one"), _killed("two", **BREAKER), _service("three")]
    flags = [f"--parallel={parallel}", "--timeout=2h", "--poll-interval=60"]
    with _fleet(tmp_path, services, flags=flags) as ran:
        found = {each["service"]: each for each in ran.result["services"]}
        lines = ran.shown.splitlines()
        for name, outcome in ran.ends.items():
            began = outcome != "cancelled"
            told = [
                line for line in lines if line.startswith((f"phases of {name}: ", f"GPU time of {name}: "))
            ]
            assert len(told) == (2 if began else 0), ran.shown
            assert any(phase["seconds"] > 0 for phase in found[name]["phases"]) == began
            assert (found[name]["gpu_minutes"] > 0) == began
        one, two = found["one"], found["two"]
        assert (one["gpu_minutes_wasted"], two["gpu_minutes_wasted"]) == (0, two["gpu_minutes"])
        assert two["phases"] == ran.result["phases"], "the result's own are those of its service"
        held = [f"{each['gpu_minutes']:.1f} GPU-minutes held" for each in (one, two)]
        rows = [
            next(line for line in ran.summary.splitlines() if f"| `{name}` |" in line)
            for name in ("one", "two")
        ]
        assert all(text in row for text, row in zip(held, rows, strict=True)), ran.summary
        assert "### Timeline of two" in ran.summary
        assert "GPU-minutes" not in ran.summary.partition("### Services")[0]
        assert not any(line.startswith(("phases: ", "GPU time: ")) for line in lines), ran.shown


@pytest.mark.parametrize(
    ("tag", "one", "stops", "updates"),
    [("slow", "failed", 2, 2), ("good", "rolled_back", 1, 4)],
    ids=["while it goes on", "after its end"],
)
def test_rollback_all_brings_back_what_is_not_seen_any_more(tmp_path, tag, one, stops, updates):
    with _fleet(tmp_path, [_service("one"), _service("two")], flags=ALL, faults=[UNSEEN], tag=tag) as ran:
        assert ran.ends == {"one": one, "two": "refused"}, ran.shown
        assert ran.code == (4 if one == "failed" else 3)
        assert "ollback to ki-rag-api:1" in ran.reasons["two"], ran.shown
        assert any(found["code"] == "still-running" for found in ran.result["findings"])
        assert not ran.commands, "they would undo the rollback, or stop what has ended"
        assert len(ran.sandbox.calls("StopServiceDeployment")) == stops
        assert len(ran.sandbox.calls("UpdateService")) == updates
        ran.sandbox.ask("DELETE", "faults")
        ran.sandbox.advance(900)
        assert ran.runs("one") == ran.runs("two") == (1, "COMPLETED")


def test_one_that_is_not_seen_any_more_does_not_hide_the_others(tmp_path):
    with _fleet(tmp_path, [_service("one"), _service("two")], flags=[TOGETHER], faults=[UNSEEN]) as ran:
        assert (ran.code, ran.ends) == (3, {"one": "succeeded", "two": "refused"}), ran.shown
        assert ran.result["reason"].startswith("two: "), ran.shown


def test_a_lost_answer_to_one_update_is_cleared_up(tmp_path):
    fault = {"operation": "UpdateService", "where": "two", "error": "ServerException", "count": 1}
    with _fleet(tmp_path, [_service("one"), _service("two")], flags=[TOGETHER], faults=[fault]) as ran:
        assert (ran.code, ran.ends) == (0, {"one": "succeeded", "two": "succeeded"}), ran.shown


def test_an_ongoing_deployment_of_one_leaves_all_as_they_are(tmp_path):
    with sandbox_thread(_world(_service("one"), _service("two"))) as sandbox:
        with sandbox.client() as ecs:
            ecs.update_service(cluster="ki-cluster", service="two", forceNewDeployment=True)
        ran = _deploy(sandbox, tmp_path, "one", "two", flags=[TOGETHER])
        assert ran.code == 3, ran.shown
        assert "'two'" in ran.result["reason"]
        assert (ran.result["service"], ran.summary.splitlines()[0]) == ("two", "## ❌ Refused: two")
        assert len(sandbox.calls("UpdateService")) == 1
        assert not sandbox.calls("RegisterTaskDefinition")


def test_a_service_that_is_not_there_is_the_one_that_is_named(tmp_path):
    with _fleet(tmp_path, [_service("one"), _service("three")], "one", "two", "three") as ran:
        assert (ran.code, ran.result["service"]) == (2, "two"), ran.shown
        assert ran.summary.startswith("## ❌ Invalid input: two\n"), ran.summary


def test_a_revision_that_all_ran_before_is_not_gone_back_to(tmp_path):
    services = [_service("one"), _stuck("two")]
    with _fleet(tmp_path, services, flags=[*ALL, "--placement-timeout=5m"], tag="v1") as ran:
        assert ran.ends == {"one": "succeeded", "full/two": "no_capacity"}, ran.shown
        assert len(ran.sandbox.calls("UpdateService")) == 2


def _run_by_state_machines(sandbox):
    """Have two state machines that run revisions 7 and 8: one names its own as such, one in an expression."""
    arn = "arn:aws:ecs:eu-central-1:123456789012:task-definition/ki-rag-api:7"
    named = {"Parameters": {"Cluster": "ki-cluster", "TaskDefinition": arn}}
    reckoned = {
        "Arguments": {"Cluster": "ki-cluster", "TaskDefinition": "{% $old ? 'ki-rag-api:8' : $new %}"}
    }
    with sandbox.client("stepfunctions") as states:
        for name, task in (("named", named), ("reckoned", reckoned)):
            run = {"Type": "Task", "Resource": "arn:aws:states:::ecs:runTask.sync", "End": True, **task}
            definition = json.dumps({"StartAt": "run", "States": {"run": run}})
            role = "arn:aws:iam::123456789012:role/x"
            states.create_state_machine(name=name, definition=definition, roleArn=role)


def _needed_elsewhere(sandbox):
    """Register revisions 2 to 9, of which a rule, two schedules, state machines and a service need some."""
    arn = "arn:aws:ecs:eu-central-1:123456789012:{}".format
    cluster, role = arn("cluster/ki-cluster"), "arn:aws:iam::123456789012:role/x"
    with (
        sandbox.client() as ecs,
        sandbox.client("events") as events,
        sandbox.client("scheduler") as scheduler,
    ):
        described = ecs.describe_task_definition(taskDefinition="ki-rag-api")["taskDefinition"]
        members = ("family", "containerDefinitions", "networkMode", "executionRoleArn", "taskRoleArn")
        for _ in range(8):
            ecs.register_task_definition(**{name: described[name] for name in members})
        events.create_event_bus(Name="orders")
        events.put_rule(Name="ordered", EventBusName="orders", EventPattern='{"source": ["shop"]}')
        task = {"TaskDefinitionArn": arn("task-definition/ki-rag-api:2")}
        target = {"Id": "1", "Arn": cluster, "RoleArn": role, "EcsParameters": task}
        events.put_targets(Rule="ordered", EventBusName="orders", Targets=[target])
        run_task = {"Arn": "arn:aws:scheduler:::aws-sdk:ecs:runTask", "RoleArn": role}
        run_task["Input"] = json.dumps({"Cluster": "ki-cluster", "TaskDefinition": "ki-rag-api:3"})
        task = {"TaskDefinitionArn": arn("task-definition/ki-rag-api:4")}
        for name, target in (
            ("sdk", run_task),
            ("own", {"Arn": cluster, "RoleArn": role, "EcsParameters": task}),
        ):
            scheduler.create_schedule(
                Name=name,
                ScheduleExpression="rate(1 day)",
                FlexibleTimeWindow={"Mode": "OFF"},
                Target=target,
            )
        _run_by_state_machines(sandbox)
        for number in (5, 6):
            ecs.update_service(cluster="ki-cluster", service="two", taskDefinition=f"ki-rag-api:{number}")
            sandbox.advance(900)


def test_no_revision_goes_that_a_bus_a_schedule_a_state_machine_or_a_rollback_elsewhere_needs(tmp_path):
    with sandbox_thread(_world(_service("one"), _service("two"))) as sandbox:
        _needed_elsewhere(sandbox)
        ran = _deploy(sandbox, tmp_path, "one", "two", flags=[TOGETHER, "--keep-revisions=1"])
        assert ran.code == 0, ran.shown
        gone = "2 revisions deregistered: ki-rag-api:5, ki-rag-api:9."
        assert gone in [finding["message"] for finding in ran.result["findings"]], ran.shown
        ran = _deploy(sandbox, tmp_path, "one", tag="v1", flags=["--keep-revisions=1"])
        assert ran.runs("one")[0] != ran.runs("two")[0]
        with sandbox.client() as ecs:
            arns = ecs.list_task_definitions(familyPrefix="ki-rag-api")["taskDefinitionArns"]
        numbers = {int(arn.rpartition(":")[2]) for arn in arns}
        assert {2, 3, 4, 6, 7, 8, 10} <= numbers, "6 is what two goes back to"
