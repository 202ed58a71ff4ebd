"""Real containers in the sandbox: Docker, a registry, load balancers on loopback."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace
from functools import cache

import boto3
import pytest
import yaml

from docker_services import PASSWORD, PATH, USERNAME, daemon, docker_services
from ecs_gpu_deploy.sandbox.neighbours.container_registry import ContainerRegistry
from fault_proxy import Wrong, fault_proxy
from program import deploy
from sandbox_process import announced

EXECUTION = "arn:aws:iam::123456789012:role/execution"
ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
SERVE = (
    "trap 'echo stopping; exit 0' TERM; PORT=${PORT:-8000}; echo serving on $PORT; "
    "/bin/busybox httpd -f -p $PORT -h /www & while :; do wait; done"
)
IDLE = "while :; do busybox sleep 0.1; done"
HEADER = "echo 'Content-Type: text/plain'; echo; "
CGI = {
    "env": f"{HEADER} env",
    "slow": f"{HEADER} sleep 2; echo slept",
    "stream": f"{HEADER} for n in 1 2 3; do echo $n; sleep 1; done",
    "half": f"{HEADER} echo half; sleep 60",
    "silent": "sleep 60",
    "broken": "kill -9 $PPID",
}


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docker")
    with docker_services(folder, "--max-download-attempts=1") as running:
        login = ["docker", "login", "--username", USERNAME, "--password-stdin", running.registry]
        subprocess.run(
            login, input=PASSWORD, text=True, env=running.environment, check=True, capture_output=True
        )
        for version in ("1", "2"):
            push_app(running, folder / f"context-{version}", version)
        yield running


@pytest.fixture(scope="module")
def proxied(services):
    """Stand before the registry; what is told to the proxy goes wrong with it."""
    with fault_proxy(services.registry) as (proxy, address):
        yield proxy, {**services.world_registry, "endpoint": f"http://{address}"}


@pytest.fixture(scope="module")
def sandbox(services, proxied, tmp_path_factory):
    """Five times as fast as the wall, but for what the containers do."""
    described = world(services, registry=proxied[1], target_groups=[target_group("web")])
    with serving(described, tmp_path_factory.mktemp("sandbox"), services, "--speed", "5") as running:
        yield running


def push_app(services, context, version):
    """Push a web server made of busybox alone, which says its version."""
    cgi = context / "www" / "cgi-bin"
    cgi.mkdir(parents=True)
    shutil.copy(shutil.which("busybox", path=PATH), context / "busybox")
    (context / "www" / "health").write_text("ok\n")
    (context / "www" / "version").write_text(f"{version}\n")
    for name, script in CGI.items():
        (cgi / name).write_text(f"#!/bin/sh\n{script}\n")
        (cgi / name).chmod(0o755)
    (context / "Dockerfile").write_text(
        "FROM scratch\nCOPY busybox /bin/sh\nCOPY busybox /bin/busybox\nCOPY www /www\n"
        f"CMD {json.dumps(['/bin/sh', '-c', SERVE])}\n"
    )
    reference = f"{services.registry}/app:{version}"
    services.docker("build", "--quiet", "--tag", reference, str(context))
    services.docker("push", "--quiet", reference)
    services.docker("image", "rm", reference)


def world(services, **more):
    return {
        "registry": services.world_registry,
        "clusters": ["ki"],
        "instances": [{"type": "g4dn.12xlarge", "count": 1}],
        "log_groups": ["/ecs/app"],
        "roles": ["execution"],
        "secrets": ["token"],
        "parameters": ["level"],
        "repositories": ["app", "strange", "dying"],
        **more,
    }


def container(**more):
    options = {"awslogs-group": "/ecs/app", "awslogs-region": "eu-central-1", "awslogs-stream-prefix": "ecs"}
    return {
        "name": "app",
        "image": f"{ECR}/app:1",
        "memory": 64,
        "logConfiguration": {"logDriver": "awslogs", "options": options},
        **more,
    }


def shell(script, **more):
    return container(entryPoint=["/bin/sh", "-c"], command=[script], **more)


@contextlib.contextmanager
def serving(world, folder, services, *flags, docker_host=None, stdin=None):
    """Run `sandbox serve --runtime docker`; what it writes to stderr is in the folder."""
    file = folder / "world.yml"
    file.write_text(yaml.safe_dump(world))
    host = services.environment["DOCKER_HOST"] if docker_host is None else docker_host
    command = [sys.executable, "-m", "ecs_gpu_deploy", "sandbox", "serve", "--world", str(file)]
    with (folder / "stderr").open("a") as errors:
        process = subprocess.Popen(
            [*command, "--runtime", "docker", *flags],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "DOCKER_HOST": host, "HOME": str(folder)},
        )
    with process:
        try:
            yield announced(process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20)


def target_group(name, **attributes):
    return {
        "Name": name,
        "Port": 80,
        "HealthCheckPath": "/health",
        "HealthCheckIntervalSeconds": 5,
        "HealthCheckTimeoutSeconds": 2,
        "HealthyThresholdCount": 2,
        "UnhealthyThresholdCount": 2,
        "Matcher": {"HttpCode": "200"},
        "Attributes": {"deregistration_delay.timeout_seconds": 10, **attributes},
    }


@cache
def made_client(endpoint, service):
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="eu-central-1",
        aws_access_key_id="AKIASANDBOX000000000",
        aws_secret_access_key="sandbox",
    )


def client_of(sandbox, service="ecs"):
    return made_client(sandbox.endpoint, service)


def until(what, seconds=30.0):
    """Wait for something to be true, and return it."""
    deadline = time.monotonic() + seconds
    while not (seen := what()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
    return seen


def register(sandbox, *containers, **more):
    """Register a task definition of a family of its own; return its ARN."""
    family = f"task-{time.monotonic_ns()}"
    return client_of(sandbox).register_task_definition(
        family=family, containerDefinitions=list(containers), executionRoleArn=EXECUTION, **more
    )["taskDefinition"]["taskDefinitionArn"]


def started(sandbox, *containers, overrides=None, **more):
    """Run a task of these containers; return its ARN."""
    definition = register(sandbox, *containers, **more)
    answer = client_of(sandbox).run_task(
        cluster="ki", taskDefinition=definition, overrides=overrides or {"containerOverrides": []}
    )
    assert answer["failures"] == []
    return answer["tasks"][0]["taskArn"]


def task_of(sandbox, arn):
    return client_of(sandbox).describe_tasks(cluster="ki", tasks=[arn])["tasks"][0]


def reached(sandbox, arn, status):
    """Wait for a task's lastStatus; return the task."""

    def seen():
        task = task_of(sandbox, arn)
        assert status == "STOPPED" or task["lastStatus"] != "STOPPED", task
        return task if task["lastStatus"] == status else None

    return until(seen)


def ended(sandbox, *containers, **more):
    """Run a task to its end; return it."""
    return reached(sandbox, started(sandbox, *containers, **more), "STOPPED")


def printed(sandbox, task, name="app"):
    """Return the lines that a container wrote to CloudWatch Logs."""
    stream = f"ecs/{name}/{task['taskArn'].rpartition('/')[2]}"
    logs = client_of(sandbox, "logs")
    try:
        found = logs.get_log_events(logGroupName="/ecs/app", logStreamName=stream)
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [event["message"] for event in found["events"]]


def left_over(services):
    return services.docker("ps", "--all", "--quiet", "--filter", "label=ecs-gpu-deploy.sandbox").split()


# What a task definition says.


def test_a_task_runs_as_its_definition_says(sandbox, services, tmp_path):
    secrets = client_of(sandbox, "secretsmanager")
    key = secrets.create_secret(Name="keys", SecretString=json.dumps({"openai": "sk-real-value"}))["ARN"]
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "one.txt").write_text("from the machine\n")
    script = (
        'echo "$KEY $LEVEL $PLAIN $OVERRIDDEN"; pwd; busybox id -u; ulimit -n; cat /documents/one.txt;'
        " echo secret > /scratch/file; busybox df -m /dev/shm | busybox tail -n 1; echo oops >&2;"
        ' busybox ps | busybox head -n 2; printf "no end of line"; exit 7'
    ).replace("cat ", "busybox cat ")
    task = ended(
        sandbox,
        shell(
            script,
            environment=[{"name": "PLAIN", "value": "plain"}, {"name": "OVERRIDDEN", "value": "no"}],
            secrets=[
                {"name": "KEY", "valueFrom": f"{key}:openai::"},
                {"name": "LEVEL", "valueFrom": "level"},
            ],
            workingDirectory="/www",
            user="1000",
            ulimits=[{"name": "nofile", "softLimit": 321, "hardLimit": 321}],
            linuxParameters={
                "initProcessEnabled": True,
                "sharedMemorySize": 17,
                "tmpfs": [{"containerPath": "/scratch", "size": 4, "mountOptions": ["mode=1777"]}],
            },
            readonlyRootFilesystem=True,
            mountPoints=[{"sourceVolume": "documents", "containerPath": "/documents", "readOnly": True}],
        ),
        volumes=[{"name": "documents", "host": {"sourcePath": str(tmp_path / "documents")}}],
        overrides={
            "containerOverrides": [
                {"name": "app", "environment": [{"name": "OVERRIDDEN", "value": "overridden"}]}
            ]
        },
    )
    [app] = task["containers"]
    said = printed(sandbox, task)
    # Two streams: which line of which comes first is nobody's to say.
    assert "oops" in said
    lines = [line for line in said if line != "oops"]
    assert lines[:5] == [
        "sk-real-value sandbox plain overridden",
        "/www",
        "1000",
        "321",
        "from the machine",
    ], lines
    assert lines[5].split()[1] == "17"
    assert "no end of line" in lines
    assert any("docker-init" in line for line in lines)
    assert (app["exitCode"], app["lastStatus"]) == (7, "STOPPED")
    assert (task["stopCode"], task["stoppedReason"]) == (
        "EssentialContainerExited",
        "Essential container in task exited",
    )
    assert app["imageDigest"] == json.loads(services.inspected("app:1"))["Digest"]


def test_more_memory_than_it_has_is_out_of_memory(sandbox):
    eater = "x=a; while :; do x=$x$x; done"
    task = ended(sandbox, shell(eater, memory=16))
    [app] = task["containers"]
    assert app["exitCode"] == 137
    assert app["reason"] == "OutOfMemoryError: Container killed due to memory usage"


@pytest.mark.parametrize(
    ("script", "code", "least"),
    [
        pytest.param(f"trap 'echo bye; exit 3' TERM; {IDLE}", 3, 0.0, id="it obeys"),
        pytest.param(f"trap '' TERM; {IDLE}", 137, 2.0, id="it ignores SIGTERM"),
    ],
)
def test_a_container_is_asked_to_stop_and_then_killed(sandbox, script, code, least):
    arn = started(sandbox, shell(script, stopTimeout=2))
    reached(sandbox, arn, "RUNNING")
    asked = time.monotonic()
    client_of(sandbox).stop_task(cluster="ki", task=arn, reason="enough")
    task = reached(sandbox, arn, "STOPPED")
    assert least <= time.monotonic() - asked < least + 2.5
    assert (task["containers"][0]["exitCode"], task["stopCode"]) == (code, "UserInitiated")
    assert printed(sandbox, task) == (["bye"] if code == 3 else [])


def test_the_health_check_of_the_definition_is_really_run(sandbox):
    check = {"interval": 5, "retries": 1, "startPeriod": 0}
    arn = started(
        sandbox,
        shell(
            IDLE,
            healthCheck={"command": ["CMD-SHELL", "busybox test -e /www/health"], **check},
            stopTimeout=2,
        ),
        shell(
            IDLE,
            name="sick",
            essential=False,
            healthCheck={"command": ["CMD", "/bin/busybox", "false"], **check},
            stopTimeout=2,
        ),
    )
    reached(sandbox, arn, "RUNNING")
    wanted = {"app": "HEALTHY", "sick": "UNHEALTHY"}
    until(lambda: {one["name"]: one["healthStatus"] for one in task_of(sandbox, arn)["containers"]} == wanted)
    assert task_of(sandbox, arn)["healthStatus"] == "HEALTHY"
    client_of(sandbox).stop_task(cluster="ki", task=arn)


def test_containers_start_in_the_order_of_what_they_depend_on(sandbox):
    task = ended(
        sandbox,
        shell(
            "busybox cat /shared/written",
            dependsOn=[{"containerName": "first", "condition": "SUCCESS"}],
            mountPoints=[{"sourceVolume": "shared", "containerPath": "/shared"}],
        ),
        shell(
            "busybox sleep 0.5; echo by the first > /shared/written",
            name="first",
            essential=False,
            mountPoints=[{"sourceVolume": "shared", "containerPath": "/shared"}],
        ),
        volumes=[{"name": "shared"}],
    )
    assert printed(sandbox, task) == ["by the first"]
    assert [one["exitCode"] for one in task["containers"]] == [0, 0]


def test_a_dependency_that_fails_ends_the_task(sandbox):
    task = ended(
        sandbox,
        shell("echo never", dependsOn=[{"containerName": "first", "condition": "SUCCESS"}]),
        shell("exit 9", name="first", essential=False),
    )
    assert "[first] for target [app] as dependency did not exit successfully" in task["stoppedReason"]
    assert task["stopCode"] == "TaskFailedToStart"


# What does not start.


def test_an_image_that_is_not_in_the_registry_is_told_in_awss_words(sandbox):
    task = ended(sandbox, container(image=f"{ECR}/app:nine"))
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"] == (
        "CannotPullContainerError: The task can’t pull the image. Check whether the image exists."
        f" Error response from daemon: manifest for {ECR}/app:nine not found: manifest unknown:"
        " manifest unknown"
    )
    assert task["containers"][0]["reason"] == task["stoppedReason"]


def test_an_instance_goes_on_with_the_image_it_has_where_the_registry_fails(sandbox, proxied):
    proxy, _ = proxied
    assert ended(sandbox, shell("exit 5"))["containers"][0]["exitCode"] == 5
    proxy.told["app"] = (Wrong(where="/manifests/", how=500),)
    try:
        assert ended(sandbox, shell("exit 6"))["containers"][0]["exitCode"] == 6
    finally:
        del proxy.told["app"]


def test_an_image_without_this_architecture_cannot_be_pulled(sandbox, services, proxied):
    manifest = json.loads(services.inspected("app:1", "--raw"))
    digest = json.loads(services.inspected("app:1"))["Digest"]
    kind = "application/vnd.docker.distribution.manifest"
    listed = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.list.v2+json",
        "manifests": [
            {
                "mediaType": f"{kind}.v2+json",
                "size": len(services.inspected("app:1", "--raw")),
                "digest": digest,
                "platform": {"os": "linux", "architecture": "s390x"},
            }
        ],
    }
    assert manifest["mediaType"] == f"{kind}.v2+json"
    ContainerRegistry(services.world_registry).put_tag(
        {"repositoryName": "app", "imageTag": "s390x", "imageManifest": json.dumps(listed)}
    )
    task = ended(sandbox, container(image=f"{ECR}/app:s390x"))
    assert task["stoppedReason"].startswith("CannotPullContainerError: ")
    assert "no matching manifest for linux/" in task["stoppedReason"]


def test_a_program_for_another_architecture_says_exec_format_error(sandbox, services, tmp_path):
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + (2).to_bytes(2, "little") + (22).to_bytes(2, "little")
    (tmp_path / "program").write_bytes(header + bytes(108))
    (tmp_path / "program").chmod(0o755)
    (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY program /program\nCMD ["/program"]\n')
    reference = f"{services.registry}/strange:1"
    services.docker("build", "--quiet", "--tag", reference, str(tmp_path))
    services.docker("push", "--quiet", reference)
    task = ended(sandbox, container(image=f"{ECR}/strange:1"))
    shown = json.dumps([task["stoppedReason"], *printed(sandbox, task)])
    assert "exec format error" in shown


def test_a_command_that_the_image_lacks_cannot_be_started(sandbox):
    task = ended(sandbox, container(command=["/bin/nothing"]))
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotStartContainerError: Error response from daemon: ")
    assert "no such file or directory" in task["stoppedReason"]


def test_a_registry_that_dies_in_the_middle_of_a_pull_fails_the_task(sandbox, services, proxied, tmp_path):
    (tmp_path / "layer").write_bytes(os.urandom(3_000_000))
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY layer /layer\n")
    reference = f"{services.registry}/dying:1"
    services.docker("build", "--quiet", "--tag", reference, str(tmp_path))
    services.docker("push", "--quiet", reference)
    services.docker("image", "rm", reference)
    proxy, _ = proxied
    proxy.told["dying"] = (Wrong(where="GET .*/blobs/", how="reset"),)
    task = ended(sandbox, container(image=f"{ECR}/dying:1"))
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotPullContainerError: Error response from daemon: ")


def test_a_secret_without_that_key_is_told_before_anything_is_pulled(sandbox):
    secrets = client_of(sandbox, "secretsmanager")
    arn = secrets.create_secret(Name="other-keys", SecretString="{}")["ARN"]
    task = ended(sandbox, container(secrets=[{"name": "KEY", "valueFrom": f"{arn}:openai::"}]))
    assert "did not contain json key openai" in task["stoppedReason"]
    assert task["stoppedReason"].startswith("ResourceInitializationError: unable to pull secrets")


def test_a_port_that_is_taken_is_the_next_one(sandbox):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arn = started(sandbox, container(portMappings=[{"containerPort": port, "hostPort": port}]))
        task = reached(sandbox, arn, "RUNNING")
        [binding] = task["containers"][0]["networkBindings"]
        assert binding["containerPort"] == port < binding["hostPort"]
        until(lambda: printed(sandbox, task) == [f"serving on {binding['hostPort']}"])
    client_of(sandbox).stop_task(cluster="ki", task=arn)


# Services and load balancers.


@pytest.fixture(scope="module")
def web(sandbox):
    """Give the address of the load balancer before a service of two tasks, once it is steady."""
    ecs, elb = client_of(sandbox), client_of(sandbox, "elbv2")
    [group] = elb.describe_target_groups(Names=["web"])["TargetGroups"]
    definition = register(sandbox, container(portMappings=[{"containerPort": 8000, "hostPort": 0}], cpu=10))
    ecs.create_service(
        cluster="ki",
        serviceName="web",
        taskDefinition=definition,
        desiredCount=2,
        loadBalancers=[
            {"targetGroupArn": group["TargetGroupArn"], "containerName": "app", "containerPort": 8000}
        ],
        deploymentConfiguration={
            "minimumHealthyPercent": 100,
            "maximumPercent": 200,
            "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        },
    )
    address = until(lambda: sandbox.ask("GET", "state")[1]["load_balancers"].get("web"))
    assert status_of(f"{address}/version") == 503  # nothing is healthy yet
    until(lambda: healthy(elb, group["TargetGroupArn"]) == 2)
    return address


def healthy(elb, group):
    described = elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return sum(target["TargetHealth"]["State"] == "healthy" for target in described)


def status_of(url, seconds=30.0):
    """Return the status of the answer, 0 where none comes in time."""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as answer:
            return answer.status
    except TimeoutError:
        return 0
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def asked(url):
    """Return the text of the answer, or what went wrong."""
    try:
        return text_of(url).strip()
    except (OSError, http.client.HTTPException) as error:
        return repr(error)


def text_of(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
        return answer.read().decode()


def test_requests_go_to_the_tasks_in_turn_with_what_the_load_balancer_adds(web):
    seen = [text_of(f"{web}/cgi-bin/env", **{"X-Forwarded-For": "192.0.2.7"}) for _ in range(4)]
    variables = [dict(line.split("=", 1) for line in text.splitlines() if "=" in line) for text in seen]
    ports = [one["PORT"] for one in variables]
    assert ports[:2] == ports[2:]
    assert len(set(ports)) == 2
    assert variables[0]["HTTP_X_FORWARDED_FOR"] == "192.0.2.7, 127.0.0.1"
    assert variables[0]["HTTP_X_FORWARDED_PROTO"] == "http"
    assert f"http://{variables[0]['HTTP_HOST']}" == web


def test_an_answer_is_streamed_as_it_comes(web):
    began = time.monotonic()
    with urllib.request.urlopen(f"{web}/cgi-bin/stream", timeout=30) as answer:
        assert answer.readline() == b"1\n"
        assert time.monotonic() - began < 0.9
        assert answer.read() == b"2\n3\n"


def test_a_target_that_breaks_off_is_a_502_and_a_silent_one_a_504(sandbox, web):
    elb = client_of(sandbox, "elbv2")
    [balancer] = elb.describe_load_balancers(Names=["web"])["LoadBalancers"]

    def idle_timeout(seconds):
        attribute = {"Key": "idle_timeout.timeout_seconds", "Value": str(seconds)}
        arn = balancer["LoadBalancerArn"]
        elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[attribute])

    assert status_of(f"{web}/cgi-bin/broken") == 502
    idle_timeout(1)
    try:
        # The first may come before the load balancer has heard of it.
        until(lambda: status_of(f"{web}/cgi-bin/silent", seconds=2.5) == 504)
        with pytest.raises(http.client.IncompleteRead) as cut:
            text_of(f"{web}/cgi-bin/half")
        assert cut.value.partial == b"half\n"
    finally:
        idle_timeout(60)
    until(lambda: asked(f"{web}/cgi-bin/slow") == "slept")


def test_a_rolling_update_under_load_fails_no_request(sandbox, web, tmp_path):
    """The program deploys; meanwhile requests come all the time, and slow ones are in flight."""
    answers, over = [], threading.Event()

    def ask(path):
        while not over.is_set():
            answers.append((path, asked(f"{web}/{path}")))

    threads = [threading.Thread(target=ask, args=(path,)) for path in ("version", "version", "cgi-bin/slow")]
    for thread in threads:
        thread.start()
    try:
        ran = deploy(
            sandbox,
            tmp_path,
            *("--container", "app", "--image", f"{ECR}/app:2", "--poll-interval", "2"),
            cluster="ki",
            service="web",
        )
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert ran.exit_code == 0, ran.shown
    assert {said for path, said in answers if path == "version"} == {"1", "2"}
    assert {said for path, said in answers if path == "cgi-bin/slow"} == {"slept"}
    assert [said for path, said in answers if path == "version"][-1] == "2"
    assert text_of(f"{web}/version") == "2\n"


def test_a_version_that_crashes_is_rolled_back_with_its_lines_and_no_request_fails(sandbox, web, tmp_path):
    [service] = client_of(sandbox).describe_services(cluster="ki", services=["web"])["services"]
    definition = client_of(sandbox).describe_task_definition(taskDefinition=service["taskDefinition"])
    [app] = definition["taskDefinition"]["containerDefinitions"]
    crash = {**app, "entryPoint": ["/bin/sh", "-c"], "command": ["echo RuntimeError: no weights; exit 3"]}
    file = tmp_path / "crash.json"
    file.write_text(
        json.dumps(
            {
                "family": definition["taskDefinition"]["family"],
                "executionRoleArn": EXECUTION,
                "containerDefinitions": [crash],
            }
        )
    )
    ran = deploy(
        sandbox,
        tmp_path,
        *("--container", "app", "--task-definition", file, "--image", f"{ECR}/app:1", "--poll-interval", "2"),
        cluster="ki",
        service="web",
    )
    assert ran.exit_code == 5, ran.shown
    assert "container-exit" in {cause["code"] for cause in ran.result["diagnoses"]}
    assert "RuntimeError: no weights" in json.dumps(ran.result["diagnoses"])
    assert text_of(f"{web}/version")


# Docker's bridge.


@pytest.fixture
def bridged(services, tmp_path_factory):
    """Run a second daemon, on a bridge of the test's own; give what `serving` asks of services."""
    name, gateway = f"ecs{os.getpid()}", f"172.29.{os.getpid() % 250}.1"

    def ip(*arguments):
        subprocess.run(["ip", *arguments], check=True, env={"PATH": PATH})

    ip("link", "add", "name", name, "type", "bridge")
    try:
        ip("address", "add", f"{gateway}/24", "dev", name)
        ip("link", "set", name, "up")
        with daemon(tmp_path_factory.mktemp("bridge"), flags=(f"--bridge={name}",)) as environment:
            yield replace(services, environment=environment)
    finally:
        ip("link", "delete", name)


def test_on_a_bridge_each_container_has_its_own_ports_and_reaches_the_sandbox(bridged, tmp_path):
    with serving(world(bridged), tmp_path, bridged, "--speed", "5") as running:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            mapping = {"containerPort": 8000, "hostPort": port}
            first = reached(running, started(running, container(portMappings=[mapping])), "RUNNING")
        mapping["hostPort"] = 0
        second = reached(running, started(running, container(portMappings=[mapping])), "RUNNING")
        ports = [task["containers"][0]["networkBindings"][0]["hostPort"] for task in (first, second)]
        assert len({port, *ports}) == 3
        for given in ports:
            until(lambda given=given: asked(f"http://127.0.0.1:{given}/version") == "1")
        # busybox's wget knows no /etc/hosts.
        ask = (
            "name=${AWS_ENDPOINT_URL#http://}; "
            "set -- $(busybox grep host.docker.internal /etc/hosts); "
            'busybox wget -qO - --header "Host: $name" "http://$1:${name#*:}/_sandbox/clock"'
        )
        task = ended(running, shell(ask))
        assert '"mode": "scaled"' in "".join(printed(running, task))


# Beginning and end.


def test_what_was_started_ends_with_the_sandbox(services, tmp_path):
    with serving(world(services), tmp_path, services) as running:
        before = set(left_over(services))
        arn = started(running, shell(f"trap '' TERM; {IDLE}"))
        reached(running, arn, "RUNNING")
        assert len(set(left_over(services)) - before) == 1
        began = time.monotonic()
    assert time.monotonic() - began < 10
    assert running.process.returncode == 0
    assert set(left_over(services)) <= before


def test_what_a_killed_sandbox_left_is_ended_by_the_next_one_alone(services, sandbox, tmp_path):
    idle = shell(IDLE, stopTimeout=2)
    other = reached(sandbox, started(sandbox, idle), "RUNNING")["containers"][0]["runtimeId"]
    with serving(world(services), tmp_path, services) as first:
        left = reached(first, started(first, idle), "RUNNING")["containers"][0]["runtimeId"]
        first.process.kill()
        first.process.wait()
    assert left[:12] in left_over(services)
    with serving(world(services), tmp_path, services):
        assert left[:12] not in left_over(services)
        assert other[:12] in left_over(services)
    said = (tmp_path / "stderr").read_text()
    assert "ended containers of a sandbox that was killed: ecs-task-" in said
    assert left[:10] in said


def test_a_daemon_that_says_nothing_at_the_end_is_told_and_what_it_left_is_ended_later(services, tmp_path):
    daemon_id = int((services.folder / "docker" / "pid").read_text())
    with serving(world(services), tmp_path, services) as running:
        left = reached(running, started(running, shell(IDLE)), "RUNNING")["containers"][0]["runtimeId"]
        os.kill(daemon_id, signal.SIGSTOP)
        try:
            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(timeout=40) == 0
        finally:
            os.kill(daemon_id, signal.SIGCONT)
    said = (tmp_path / "stderr").read_text()
    assert said.splitlines()[-1].startswith("sandbox: Docker does not answer (")
    with serving(world(services), tmp_path, services):
        assert left[:12] not in left_over(services)


def test_a_signal_while_it_starts_ends_it_well(services, tmp_path):
    """Docker is asked at the start, and here it does not answer before the signal has come."""
    (tmp_path / "world.yml").write_text(yaml.safe_dump(world(services)))
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{tmp_path}/docker.sock")
        silent.listen()
        with subprocess.Popen(
            [
                *(sys.executable, "-m", "ecs_gpu_deploy", "sandbox", "serve", "--runtime", "docker"),
                *("--world", str(tmp_path / "world.yml")),
            ],
            env={**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/docker.sock"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            asking, _ = silent.accept()
            process.send_signal(signal.SIGTERM)
            asking.close()
            assert process.wait(timeout=20) == 0


def test_it_ends_with_its_standard_input_where_that_is_asked_for(services, tmp_path):
    with serving(world(services), tmp_path, services, "--until-stdin-ends", stdin=subprocess.PIPE) as running:
        left = reached(running, started(running, shell(IDLE)), "RUNNING")["containers"][0]["runtimeId"]
        running.process.stdin.close()
        assert running.process.wait(timeout=20) == 0
        assert left[:12] not in left_over(services)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_demo_that_is_ended_or_killed_in_the_middle_leaves_nothing_running(services, tmp_path, how):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    before = set(left_over(services))
    with subprocess.Popen(
        [sys.executable, "-m", "ecs_gpu_deploy", "sandbox", "demo", "--docker"],
        cwd=tmp_path,
        env={
            **os.environ,
            **services.environment,
            "PATH": f"{PATH}:{os.environ['PATH']}",
            "TMPDIR": str(temporary),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        until(lambda: len(set(left_over(services)) - before) == 2, seconds=60)
        process.send_signal(how)
        assert process.wait(timeout=30) == (10 if how is signal.SIGTERM else -how)
    until(lambda: set(left_over(services)) <= before and not list(temporary.glob("ecs-gpu-demo-*")))
    images = services.docker("images", "--filter", "reference=*/ki-rag-api", "--quiet").split()
    services.docker("image", "prune", "--force")
    assert images == [] or how is signal.SIGKILL


def test_a_registry_that_is_gone_is_an_error_of_ecr(services, tmp_path):
    gone = {**services.world_registry, "endpoint": "http://127.0.0.1:9"}
    with serving(world(services, registry=gone), tmp_path, services) as running:
        ecr = client_of(running, "ecr")
        with pytest.raises(
            ecr.exceptions.ServerException, match=r"The registry at http://127.0.0.1:9 does not"
        ):
            ecr.describe_images(repositoryName="app")


def test_images_of_the_model_stay_modelled_where_the_world_says_so(services, tmp_path):
    described = world(services)
    described["images"] = [
        {"image": "app:1", "runtime": "docker"},
        {"image": "modelled:1", "exit_code": 4, "exit_after": 1},
    ]
    with serving(described, tmp_path, services, "--runtime", "model", "--speed", "5") as running:
        assert running.announcement["runtime"] == "docker"
        assert ended(running, container(image=f"{ECR}/modelled:1"))["containers"][0]["exitCode"] == 4
        assert ended(running, shell("exit 6"))["containers"][0]["exitCode"] == 6


@pytest.mark.parametrize("silent", [False, True], ids=["no Docker", "a daemon that says nothing"])
def test_without_docker_the_containers_are_modelled_and_that_is_said(services, tmp_path, silent):
    with socket.socket(socket.AF_UNIX) as nobody:
        address = f"{tmp_path}/docker.sock"
        if silent:
            nobody.bind(address)
            nobody.listen()
        with serving(
            world(services), tmp_path, services, "--speed", "9", docker_host=f"unix://{address}"
        ) as running:
            assert running.announcement["runtime"] == "model"
            note = running.announcement["runtime_note"]
            reached(running, started(running, container(image=f"{ECR}/app:1")), "STOPPED")
    assert note.startswith("The containers are modelled: ")
    assert (
        "does not answer within" if silent else f"no Docker answers at unix://{address} (No such file"
    ) in note
    assert (tmp_path / "stderr").read_text() == f"sandbox: {note}\n"


@pytest.mark.parametrize(
    ("described", "flags", "said"),
    [
        pytest.param(
            {"registry": {"endpoint": "http://127.0.0.1:9", "password": "p"}},
            ["--speed", "stepped"],
            "does not go with --speed stepped",
            id="a stepped clock",
        ),
        pytest.param({}, [], "the world names none", id="no registry"),
    ],
)
def test_what_cannot_go_with_real_containers_is_refused_in_one_sentence(tmp_path, described, flags, said):
    (tmp_path / "world.yml").write_text(json.dumps({"clusters": ["ki"], **described}))
    command = [sys.executable, "-m", "ecs_gpu_deploy", "sandbox", "serve", "--runtime", "docker", *flags]
    ran = subprocess.run(
        [*command, "--world", str(tmp_path / "world.yml")], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert said in ran.stderr.splitlines()[0]
