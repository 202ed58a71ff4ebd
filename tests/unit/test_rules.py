"""The rules: each has a case that trips it and one that does not, and says where it comes from."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ecs_gpu_deploy.core.rules.document import MEMBERS, Seen, document_of
from ecs_gpu_deploy.core.rules.facts import container_facts, model_mib
from ecs_gpu_deploy.core.rules.findings import Judged, findings, judged
from ecs_gpu_deploy.core.rules.rule import Rule, built_in_rules, rules_with
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.result import Severity

ROOT = Path(__file__).parents[2]
TABLE = yaml.load((ROOT / "tests/data/rule_cases.yml").read_text("utf-8"), Loader=yaml.CSafeLoader)
RULES = {rule.id: rule for rule in built_in_rules()}
KINDS = ("trips", "not")


def merged(base: Any, over: Any) -> Any:
    """Lay *over* over *base*: mappings are merged, null takes away."""
    if not isinstance(base, dict) or not isinstance(over, dict):
        return copy.deepcopy(over)
    both = {name: merged(base.get(name), value) for name, value in over.items()}
    return {name: value for name, value in {**base, **both}.items() if value is not None}


def seen_of(case: dict[str, Any]) -> Seen:
    """Return what a case shows, laid over the base."""
    parts = merged(TABLE["base"], {name: value for name, value in case.items() if name != "also"})
    containers = [parts[name] for name in ("container", "second") if name in parts]
    return Seen(
        task_definition={**parts["task"], "containerDefinitions": containers},
        service=parts["service"],
        target_groups=[parts["targetGroup"]] if "targetGroup" in parts else [],
        cluster={"clusterName": "ki"},
        capacity_providers=[parts["provider"]],
        instances=[parts["instance"]],
        image=parts.get("image"),
        **parts["seen"],
    )


def said_of(case: dict[str, Any]) -> Judged:
    return judged(document_of(seen_of(case)), tuple(RULES.values()))


def test_there_are_enough_rules() -> None:
    assert len(RULES) >= 45
    assert len(RULES) == len(built_in_rules()), "an id is there twice"


def test_the_base_trips_none() -> None:
    assert [finding.code for finding in said_of({}).findings] == []


def test_each_rule_has_both_cases() -> None:
    assert list(TABLE["rules"]) == list(RULES)
    assert all(set(cases) == set(KINDS) for cases in TABLE["rules"].values())


@pytest.mark.parametrize("name", RULES)
def test_a_case_that_trips(name: str) -> None:
    case = TABLE["rules"][name]["trips"]
    found = said_of(case).findings
    assert {finding.code for finding in found} == {name, *case.get("also", ())}
    for finding in found:
        assert "{" not in finding.message.replace('{"type', "")
        assert "?" not in finding.message + finding.hint, "a member of the message is not in the match"


@pytest.mark.parametrize("name", RULES)
def test_a_case_that_does_not(name: str) -> None:
    case = TABLE["rules"][name]["not"]
    said = said_of(case)
    assert {finding.code for finding in said.findings} == set(case.get("also", ()))
    assert name not in {each.rule for each in said.unchecked}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_says_what_it_means_and_where_it_is_from(rule: Rule) -> None:
    assert rule.message.endswith(".")
    assert rule.hint.endswith(".")
    assert len(rule.source) > 10
    assert all(need.split(".")[0].split("[")[0] in MEMBERS for need in rule.needs)


@pytest.mark.parametrize(("running", "trips"), [(0, False), (1, True), (3, True)])
def test_percentages_stop_nothing_where_no_old_task_runs(running: int, trips: bool) -> None:
    case = TABLE["rules"]["percent-deadlock"]["trips"]
    said = said_of(merged(case, {"service": {"runningCount": running}}))
    assert ("percent-deadlock" in {each.code for each in said.findings}) is trips


def test_what_was_not_seen_is_not_checked() -> None:
    """Hold that of a task definition alone nothing is said to be right that was not seen."""
    seen = Seen(task_definition=seen_of({}).task_definition)
    said = judged(document_of(seen), tuple(RULES.values()), unseen={"service": "it was not asked for"})
    assert said.findings == ()
    unchecked = {each.rule: each.reason for each in said.unchecked}
    assert set(unchecked) == {rule.id for rule in RULES.values() if rule.needs}
    assert unchecked["breaker-off"] == "it was not asked for"
    assert unchecked["gpu-impaired"] == "instances is not known"


def test_what_is_not_checked_is_said_once_a_reason() -> None:
    document = document_of(Seen(task_definition=seen_of({}).task_definition))
    names = ("service", "targetGroups", "instances", "capacityProviders", "image", "facts")
    said = findings(document, tuple(RULES.values()), unseen=dict.fromkeys(names, "AccessDenied\x1b[31m: no"))
    assert [(each.code, each.severity) for each in said] == [("rules-not-checked", Severity.INFO)]
    assert said[0].message.startswith("Not checked: grace-shorter-than-load, ")
    assert said[0].message.endswith(" (AccessDenied: no).")


UNNEEDED = {"gpu-on-fargate": {"service"}}
"""What a rule reads where it is there, and does not need."""


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_needs_each_member_that_it_reads(rule: Rule) -> None:
    read = {member for member in MEMBERS if re.search(rf"(?<![\w.'\"]){member}[.\[)]", rule.when)}
    read -= {"taskDefinition", "facts", *UNNEEDED.get(rule.id, ())}
    if "image" in read and not re.search(r"image\.(config|history|isMutable|expiredBy|container)", rule.when):
        read.discard("image")
    assert read <= {need.split(".")[0].split("[")[0] for need in rule.needs}


def test_importing_loads_no_rules() -> None:
    code = "import sys; import ecs_gpu_deploy.__main__; print('ecs_gpu_deploy.core.rules' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


OWN = """\
- id: four-vcpu-a-gpu
  needs: [taskDefinition]
  when: >-
    facts.containers[?gpus && raw.cpu < times(gpus, `4096`)].{name: name, cpu: raw.cpu}
  severity: warning
  message: "{name} has {cpu} CPU units."
- id: latest-tag
  when: "facts.containers[?image.tag == 'latest'].name"
  severity: error
  message: "{it} runs latest."
"""


def test_own_rules_come_beside_ours_and_replace_those_of_their_id() -> None:
    rules = rules_with(OWN, name="rules.yml")
    assert len(rules) == len(RULES) + 1
    image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/rag:latest"
    case = {"container": {"cpu": 1024, "image": image}}
    said = judged(document_of(seen_of(case)), rules)
    assert [(each.code, each.severity, each.message) for each in said.findings] == [
        ("latest-tag", Severity.ERROR, "app runs latest."),
        ("four-vcpu-a-gpu", Severity.WARNING, "app has 1024 CPU units."),
    ]


BROKEN = "r.yml, line 4: the expression of the rule 'four-vcpu-a-gpu' is broken: "
AT_ONE = "r.yml, line 1: the rule 'four-vcpu-a-gpu' "


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        pytest.param("(gpus, `4096`)", "(gpus, `4096`", BROKEN, id="broken"),
        pytest.param(
            "times(", "time(", BROKEN + "there is no function time(); times() is near.", id="no such function"
        ),
        pytest.param(
            "severity: warning",
            "severity: warn",
            AT_ONE + "has the severity 'warn'. Did you mean warning?",
            id="severity",
        ),
        pytest.param(
            "latest-tag",
            "four-vcpu-a-gpu",
            "r.yml, line 7: the rule 'four-vcpu-a-gpu' is there twice.",
            id="twice",
        ),
        pytest.param(
            "needs: [task",
            "needs: [target",
            AT_ONE + "needs 'targetDefinition', which the document does not have. Did you",
            id="needs",
        ),
        pytest.param(
            "message:", "mesage:", "r.yml, line 1: a rule has no 'mesage'. Did you mean message?", id="member"
        ),
        pytest.param('  when: "facts', '  hint: "facts', "line 7: the rule has no when.", id="no when"),
        pytest.param("four-vcpu-a-gpu", "Four vCPU", "r.yml, line 1: 'Four vCPU' is no id.", id="id"),
        pytest.param(OWN, "rules: 5", "r.yml: the rules are not a list.", id="no list"),
        pytest.param(OWN, "- 5", "r.yml: a rule is a mapping", id="no mapping"),
        pytest.param(OWN, "- [", "'r.yml' is neither JSON nor YAML", id="no YAML"),
    ],
)
def test_a_file_of_rules_that_cannot_be(old: str, new: str, told: str) -> None:
    with pytest.raises(InvalidInput) as error:
        rules_with(OWN.replace(old, new), name="r.yml")
    assert told in str(error.value)


def test_an_expression_that_does_not_fit_is_not_checked() -> None:
    rule = "- {id: odd, when: 'length(facts.now)', severity: error, message: Odd.}"
    said = judged(document_of(seen_of({})), rules_with(rule, name="r.json.yml")[-1:])
    assert said.findings == ()
    assert "does not fit: In function length(), invalid type" in said.unchecked[0].reason


def test_a_secret_and_an_escape_do_not_reach_a_message() -> None:
    image = "rag:latest"
    case = {
        "container": {"name": "app\x1b[31m\n::error::x", "image": image, "privileged": True},
        "image": None,
    }
    said = judged(document_of(seen_of(case)), tuple(RULES.values()))
    assert all("\x1b" not in each.message and "\n" not in each.message for each in said.findings)
    assert any(each.code == "privileged" for each in said.findings)


COMMANDS = [
    pytest.param(["uvicorn", "a:b", "--workers", "3"], "uvicorn", 3, id="uvicorn"),
    pytest.param(["python", "-m", "uvicorn", "a:b", "--workers=2"], "uvicorn", 2, id="a module"),
    pytest.param(["/opt/bin/gunicorn", "-w4", "a:b"], "gunicorn", 4, id="a short option with its number"),
    pytest.param(["sh", "-c", "exec gunicorn --workers 5 a:b"], "gunicorn", 5, id="in a shell"),
    pytest.param(["/bin/bash", "-lc", "--", "gunicorn -w 6 a:b"], "gunicorn", 6, id="after two dashes"),
    pytest.param(["gunicorn", "-w", "$WORKERS", "a:b"], "gunicorn", None, id="a variable"),
    pytest.param(["gunicorn", "a:b"], "gunicorn", 1, id="the default"),
    pytest.param(["sh", "-c", "broken 'quote"], None, None, id="no shell could read it"),
    pytest.param(["python", "serve.py"], None, None, id="something else"),
    pytest.param(["python", "-m", "vllm.entrypoints.openai.api_server"], "vllm", None, id="vLLM's module"),
    pytest.param(["pip", "install", "uvicorn-worker"], None, None, id="a name that begins like one"),
]


@pytest.mark.parametrize(("command", "server", "workers"), COMMANDS)
def test_a_command_line(command: list[str], server: str | None, workers: int | None) -> None:
    container = {"name": "app", "image": "rag", "command": command}
    facts = container_facts(container, {"containerDefinitions": [container]})
    assert (facts["server"], facts["workers"]) == (server, workers)


@pytest.mark.parametrize(
    ("name", "mib"),
    [
        ("meta-llama/Llama-3.1-70B-Instruct", 33378),
        ("mistralai/Mixtral-8x7B-v0.1", 21362),
        ("Qwen/Qwen3-0.6B", 286),
        ("google/flan-t5-base", None),
        ("/models/current", None),
        ("bge-large-en-v1.5", None),
        ("TheBloke/Llama-2-70B-2bit", None),
        ("bartowski/Llama-3.3-70B-Instruct-IQ2_XS", None),
        ("Qwen/Qwen2.5-32B-Instruct-AWQ", 15258),
        ("", None),
        (None, None),
    ],
)
def test_the_least_that_weights_take(name: str | None, mib: int | None) -> None:
    assert model_mib(name) == mib


PROJECTS = yaml.load((ROOT / "tests/data/rule_projects.yml").read_text("utf-8"), Loader=yaml.CSafeLoader)
GROUP = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/app/1"


def seen_of_project(project: dict[str, Any]) -> Seen:
    """Return a project's settings as AWS shows them."""
    container = {"name": "app", "essential": True, **project["container"]}
    service = project.get("service")
    group = dict(project.get("group") or {})
    if service is not None:
        port = service.pop("port", None) if "port" in (service := dict(service)) else None
        balancers = [{"targetGroupArn": GROUP, "containerName": "app", "containerPort": port}] if port else []
        service = {"schedulingStrategy": "REPLICA", "loadBalancers": balancers, **service}
    delay, idle = group.pop("delay", "300"), group.pop("idleTimeout", None)
    shown = {
        "TargetGroupArn": GROUP,
        "TargetGroupName": "app",
        "Protocol": "HTTP",
        "HealthCheckProtocol": "HTTP",
        "Matcher": {"HttpCode": "200"},
        "attributes": {"deregistration_delay.timeout_seconds": delay, "slow_start.duration_seconds": "0"},
        "idleTimeout": idle,
        **group,
    }
    provider = project.get("provider")
    return Seen(
        task_definition={"family": "app", **project["task"], "containerDefinitions": [container]},
        service=service,
        target_groups=None if service is None else [shown] if group else [],
        capacity_providers=[{"name": "gpu", "autoScalingGroupProvider": provider}] if provider else [],
        amis=project.get("amis"),
    )


def test_there_are_projects_enough() -> None:
    assert len({project["source"].partition(" ")[0] for project in PROJECTS}) >= 10


@pytest.mark.parametrize("project", PROJECTS, ids=[project["source"] for project in PROJECTS])
def test_what_the_rules_say_of_a_public_project(project: dict[str, Any]) -> None:
    found = judged(document_of(seen_of_project(project)), built_in_rules()).findings
    assert sorted(finding.code for finding in found) == sorted(project["says"])
    assert [finding for finding in found if finding.severity == Severity.ERROR] == []


SHARED = {"sharedMemorySize": 8192}
KEEP = ["--timeout-keep-alive", "75"]
PROBE = {"interval": 15, "timeout": 10, "retries": 8, "startPeriod": 120}


def variable(name: str, value: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value}, {"name": "NVIDIA_DRIVER_CAPABILITIES", "value": "all"}]


@pytest.mark.parametrize(
    ("container", "says"),
    [
        # vLLM, "Engine Arguments": underscores are taken for hyphens
        (
            {
                "image": "vllm/vllm-openai:v0.6",
                "command": ["--model=/m", "--tensor_parallel_size", "4", "--port=8000"],
                "linuxParameters": SHARED,
                "resourceRequirements": [{"type": "GPU", "value": "2"}],
            },
            ["tensor-parallel-over-gpus"],
        ),
        # Gunicorn, "Settings": options of the environment come before those of the command line
        (
            {
                "command": ["gunicorn", "app:app", "--keep-alive", "75"],
                "environment": variable("GUNICORN_CMD_ARGS", "--workers=4"),
            },
            ["workers-share-gpu"],
        ),
        (
            {
                "command": ["gunicorn", "app:app", "-w", "1", "--keep-alive", "75"],
                "environment": variable("GUNICORN_CMD_ARGS", "--workers=4"),
            },
            [],
        ),
        # FastAPI CLI: `fastapi run` is uvicorn on 0.0.0.0
        (
            {"command": ["fastapi", "run", "a.py", "--port", "8000", "--workers", "3"]},
            ["keep-alive-under-idle-timeout", "workers-share-gpu"],
        ),
        # workers behind a part of a GPU
        (
            {
                "command": ["uvicorn", "a:b", "--host", "0.0.0.0", "--port", "8000", "--workers", "4", *KEEP],
                "resourceRequirements": [{"type": "GPU", "value": "0.5"}],
            },
            ["workers-share-gpu"],
        ),
        # SGLang, "Server Arguments": it listens on 127.0.0.1 by itself
        (
            {
                "command": ["python3", "-m", "sglang.launch_server", "--model-path", "/m", "--port", "8000"],
                "linuxParameters": SHARED,
            },
            ["listens-on-loopback"],
        ),
        # a path that is called so is no program
        (
            {
                "image": "python:3.11-slim",
                "healthCheck": {
                    "command": ["CMD", "python", "-c", "get('http://127.0.0.1:8000/curl')"],
                    **PROBE,
                },
            },
            [],
        ),
        (
            {"image": "python:3.11-slim", "healthCheck": {"command": ["CMD", "curl", "-f", "x"], **PROBE}},
            ["health-check-tool-missing-in-base"],
        ),
        # shared memory as a tmpfs (API Reference, LinuxParameters)
        (
            {
                "image": "nvcr.io/nvidia/tritonserver:24.05-py3",
                "command": ["tritonserver", "--model-repository=/m"],
                "linuxParameters": {"tmpfs": [{"containerPath": "/dev/shm", "size": 1024}]},
            },
            [],
        ),
        # Developer Guide, "Amazon ECS task definitions for AWS Neuron machine learning workloads"
        (
            {
                "command": ["vllm", "serve", "/m", "--port", "8000"],
                "resourceRequirements": [],
                "environment": [],
                "linuxParameters": {
                    "devices": [{"hostPath": "/dev/neuron0", "containerPath": "/dev/neuron0"}]
                },
            },
            [],
        ),
        ({"environment": variable("EOS_TOKEN", "<|endoftext|>")}, []),
        ({"environment": variable("MASK_TOKEN", "[MASK]")}, []),
        ({"environment": variable("CSRF_TOKEN", "disabled")}, []),
        ({"environment": variable("JWT_SECRET", "change-me-please")}, []),
        ({"environment": variable("JWT_SECRET", "8f2b1c9d7e6a5f4b")}, ["plain-secret"]),
    ],
)
def test_what_is_near_a_rule(container: dict[str, Any], says: list[str]) -> None:
    assert sorted(finding.code for finding in said_of({"container": container}).findings) == says


@pytest.mark.parametrize("when", ["(" * 3000 + "a" + ")" * 3000, "!" * 5000 + "a"])
def test_an_expression_that_is_nested_too_deeply_is_refused_in_a_sentence(when: str) -> None:
    rule = f'- {{id: deep, when: "{when}", severity: error, message: Deep.}}'
    with pytest.raises(InvalidInput, match="rule 'deep' is broken: it is nested too deeply"):
        rules_with(rule, name="own.yml")
