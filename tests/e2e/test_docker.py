"""A real image through build, push, read-back and rewrite; no secret where anyone could read it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from docker_services import PASSWORD, buildx_home, busybox_context, docker_services
from ecs_gpu_deploy.sandbox.neighbours.container_registry import ContainerRegistry
from program import deploy, run
from sandbox_process import clean_environment, sandbox_thread
from worlds import ROLE, github_world

SHA = "0123456789abcdef0123456789abcdef01234567"
BUILD_SECRET = "hunter2-the-build-secret"
SECRET_ACCESS_KEY = "wJalrXUtnFEMI-sandbox-secret-key"


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    with docker_services(tmp_path_factory.mktemp("docker")) as running:
        yield running


@pytest.fixture(scope="module")
def sandbox(services):
    world = github_world()
    world["registry"] = services.world_registry
    world["repositories"] = ["rag"]
    world["images"].append({"image": "ki-rag-api:*", "load_seconds": 30, "in_registry": False})
    with sandbox_thread(json.dumps(world)) as running:
        yield running


@pytest.fixture
def context(tmp_path):
    return busybox_context(tmp_path / "context", dockerfile='COPY app.py /app.py\nENTRYPOINT ["/bin/sh"]\n')


def push(sandbox, services, folder, *flags, sha=SHA, repository="rag", **environment):
    variables = {**services.environment, "GITHUB_SHA": sha, "RUNNER_TEMP": str(folder), **environment}
    given = ["--repository", repository, "--build-network", "host", "--context", "context", *flags]
    return run(sandbox, folder, "push", *given, **variables)


def _sha(number):
    return f"{number:040x}"


def test_a_real_image_is_built_pushed_read_back_and_rewritten(sandbox, services, tmp_path, context):
    ran = deploy(
        sandbox,
        tmp_path,
        *("--context", "context", "--push-latest", "true", "--extra-tags", "nightly", "--pin", "digest"),
        **services.environment,
        GITHUB_SHA=SHA,
        GITHUB_REPOSITORY="acme/rag",
        RUNNER_TEMP=str(tmp_path),
    )
    assert ran.exit_code == 0, ran.shown
    digest = ran.result["image_digest"]
    for tag in (SHA, "latest", "nightly"):
        assert json.loads(services.inspected(f"ki-rag-api:{tag}"))["Digest"] == digest
    labels = json.loads(services.inspected(f"ki-rag-api:{SHA}"))["Labels"]
    assert labels["org.opencontainers.image.revision"] == SHA
    assert labels["org.opencontainers.image.source"] == "https://github.com/acme/rag"
    assert labels["org.opencontainers.image.created"].startswith("2026-11-23T08:")
    assert ran.result["image"].endswith(f"dkr.ecr.eu-central-1.amazonaws.com/ki-rag-api@{digest}")
    with sandbox.client() as ecs:
        definition = ecs.describe_task_definition(taskDefinition=ran.result["task_definition_arn"])
        tasks = ecs.list_tasks(cluster="ki-cluster")["taskArns"]
        described = ecs.describe_tasks(cluster="ki-cluster", tasks=tasks)["tasks"]
    assert definition["taskDefinition"]["containerDefinitions"][0]["image"] == ran.result["image"]
    assert {task["containers"][0]["imageDigest"] for task in described} == {digest}


def test_a_second_run_needs_no_docker(sandbox, services, tmp_path, context):
    first = push(sandbox, services, tmp_path, sha=_sha(1))
    assert first.exit_code == 0, first.shown
    again = push(sandbox, services, tmp_path, sha=_sha(1), DOCKER_HOST="unix:///nowhere")
    assert again.exit_code == 0, again.shown
    assert again.result["image_digest"] == first.result["image_digest"]
    assert sum(again.result["api_calls"].values()) <= 5


def test_a_missing_repository_is_created_as_it_should_be(sandbox, services, tmp_path, context):
    ran = push(
        sandbox, services, tmp_path, "--create-repository", "true", repository="brand-new", sha=_sha(2)
    )
    assert ran.exit_code == 0, ran.shown
    with sandbox.client("ecr") as ecr:
        made = ecr.describe_repositories(repositoryNames=["brand-new"])["repositories"][0]
        policy = ecr.get_lifecycle_policy(repositoryName="brand-new")["lifecyclePolicyText"]
    assert made["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    assert made["imageTagMutabilityExclusionFilters"] == [{"filterType": "WILDCARD", "filter": "latest"}]
    assert made["imageScanningConfiguration"] == {"scanOnPush": True}
    assert len(json.loads(policy)["rules"]) == 3


class Watch(threading.Thread):
    """Sample the command lines of all processes, and look for secrets in them."""

    def __init__(self, secrets):
        super().__init__()
        self._secrets = [secret.encode() for secret in secrets]
        self._over = threading.Event()
        self.samples = 0
        self.seen = []
        self.commands = set()

    def run(self):
        while not self._over.wait(0.005):
            self.samples += 1
            for entry in os.scandir("/proc"):
                if entry.name.isdigit():
                    try:
                        line = Path(entry.path, "cmdline").read_bytes()
                    except OSError:
                        continue
                    if line.startswith(b"skopeo\0"):  # of the tests that run beside: the program has none
                        continue
                    self.commands.add(line.replace(b"\0", b" ")[:60])
                    self.seen += [line for secret in self._secrets if secret in line]

    def found(self):
        """Return Docker's commands that were seen while they ran."""
        return {b" ".join(command.split()[:2]) for command in self.commands}

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self.join()


def _with_secret(folder):
    dockerfile = (
        "COPY app.py /app.py\n"
        "RUN --mount=type=secret,id=TOKEN --mount=type=secret,id=file "
        'x=$(cat /run/secrets/TOKEN); echo "it says $x"; [ -s /run/secrets/file ] && sleep 1\n'
    )
    return busybox_context(folder, dockerfile=dockerfile)


def test_no_secret_is_seen_in_output_arguments_files_or_the_result(sandbox, services, tmp_path):
    _with_secret(tmp_path / "context")
    (tmp_path / "pip.conf").write_text("[global]\n")
    tokens = sandbox.announcement["github_environment"]
    runner_token = tokens["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
    home = tmp_path / "home"
    home.mkdir()
    for attempt in range(3):  # a login is over soon: a sampling that missed it proves nothing
        with Watch([PASSWORD, runner_token, SECRET_ACCESS_KEY, BUILD_SECRET]) as watch:
            ran = push(
                sandbox,
                services,
                tmp_path,
                *("--role-to-assume", ROLE, "--build-secrets", "TOKEN"),
                *("--build-secret-files", "file=pip.conf"),
                sha=_sha(30 + attempt),
                **tokens,
                HOME=str(home),
                TOKEN=BUILD_SECRET,
                AWS_SECRET_ACCESS_KEY=SECRET_ACCESS_KEY,
            )
        assert ran.exit_code == 0, ran.shown
        assert watch.seen == []
        if {b"docker login", b"docker push", b"docker build"} <= watch.found():
            break
    else:
        pytest.fail("the sampling was too slow")
    sessions = sandbox.server.sandbox.sessions.values()
    secrets = [PASSWORD, runner_token, SECRET_ACCESS_KEY, BUILD_SECRET]
    secrets += [text for session in sessions for text in (session.secret_access_key, session.token)]
    assert len(secrets) >= 6
    assert "it says ***" in ran.shown
    left = [path for path in (*tmp_path.rglob("*"), *home.rglob("*")) if path.is_file()]
    texts = [ran.shown, *(path.read_text(errors="replace") for path in left if "registry" not in path.parts)]
    assert not [secret for secret in secrets for text in texts if secret in text]
    assert not list(tmp_path.glob("docker-config-*"))
    history = services.docker("history", "--no-trunc", f"{services.registry}/rag:{_sha(30 + attempt)}")
    assert BUILD_SECRET not in history


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_nothing_is_left_behind_after_a(sandbox, services, tmp_path, number):
    context = busybox_context(tmp_path / "context", dockerfile="COPY app.py /a\nRUN sleep 60\n")
    (context / "app.py").write_text(str(number))
    variables = {**services.environment, "GITHUB_SHA": _sha(4), "RUNNER_TEMP": str(tmp_path)}
    command = [sys.executable, "-m", "ecs_gpu_deploy", "push", "--repository", "rag", "--context", "context"]
    with subprocess.Popen(
        [*command, "--build-network", "host", "--result-file", "result.json"],
        cwd=tmp_path,
        env=clean_environment(sandbox, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout:
            if "RUN sleep" in line:
                break
        (config,) = tmp_path.glob("docker-config-*")
        assert oct(config.stat().st_mode)[-3:] == "700"
        assert "auths" in (config / "config.json").read_text()
        assert _builds_of(tmp_path)
        process.send_signal(number)
        process.stdout.read() if number == signal.SIGTERM else None
        process.wait(timeout=20)
    for _ in range(100):
        if not config.exists():
            break
        time.sleep(0.05)
    assert not config.exists()
    for _ in range(100):
        if not _builds_of(tmp_path):
            break
        time.sleep(0.05)
    assert not _builds_of(tmp_path)
    if number == signal.SIGTERM:
        assert process.returncode == 10
        assert json.loads((tmp_path / "result.json").read_text())["outcome"] == "cancelled"


def _builds_of(folder):
    """Give the builds whose environment names *folder*: others of this machine may build, too."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if "docker build" in line and str(folder).encode() in (process / "environ").read_bytes():
                found.append(line)
    return found


def test_a_wrong_password_is_refused_by_the_registry(sandbox, services, tmp_path, context):
    known = sandbox.server.sandbox.registry
    sandbox.server.sandbox.registry = ContainerRegistry({**services.world_registry, "password": "wrong"})
    sandbox.server.sandbox.registry.show_in = known.show_in
    try:
        ran = push(sandbox, services, tmp_path, sha=_sha(7))
    finally:
        sandbox.server.sandbox.registry = known
    assert ran.exit_code == 3
    assert "refused the login" in ran.shown


def test_a_code_only_change_pushes_less_than_one_percent(sandbox, services, tmp_path):
    folder = busybox_context(tmp_path / "context", dockerfile="COPY model.bin /model\nCOPY app.py /app.py\n")
    (folder / "model.bin").write_bytes(os.urandom(20_000_000))
    first = push(sandbox, services, tmp_path, sha=_sha(8))
    assert first.exit_code == 0, first.shown
    (folder / "app.py").write_text("print('changed')\n")
    second = push(sandbox, services, tmp_path, sha=_sha(9))
    assert second.exit_code == 0, second.shown
    old, new = (json.loads(services.inspected(f"rag:{_sha(n)}", "--raw"))["layers"] for n in (8, 9))
    known = {layer["digest"] for layer in old}
    changed = sum(layer["size"] for layer in new if layer["digest"] not in known)
    assert changed / sum(layer["size"] for layer in new) < 0.01


BUILDX = """#!{python}
import json, os, subprocess, sys
from pathlib import Path

if sys.argv[2:3] == ["build"]:
    secrets = {{n: len(v) for n, v in os.environ.items() if n.startswith("ECS_GPU_DEPLOY_BUILD_SECRET")}}
    record = {{"arguments": sys.argv[1:], "secrets": secrets, "builders": os.environ["BUILDX_CONFIG"]}}
    with open({record!r}, "a") as file:
        print(json.dumps(record), file=file)
    sys.argv = [each for each in sys.argv if not each.startswith("type=registry")]
    sys.argv = [each for each in sys.argv if each not in ("--cache-from", "--cache-to")]
os.execv({binary!r}, [{binary!r}, *sys.argv[1:]])
"""
"""Writes down what the plugin is asked, and hands on what it can do without a builder of its own."""


def test_buildx_is_used_where_it_is_there(sandbox, services, tmp_path, context):
    home = buildx_home(tmp_path / "home")
    plugin = home / ".docker" / "cli-plugins" / "docker-buildx"
    binary, record = plugin.readlink(), tmp_path / "record.json"
    plugin.unlink()
    plugin.write_text(BUILDX.format(python=sys.executable, record=str(record), binary=str(binary)))
    plugin.chmod(0o755)
    ran = push(
        sandbox,
        services,
        tmp_path,
        *("--platforms", "linux/amd64", "--cache", "registry", "--push-latest", "true"),
        *("--build-args", "VERSION=a b=c", "--build-secrets", "TOKEN"),
        *("--image-tag", "with-buildx"),
        HOME=str(home),
        TOKEN=BUILD_SECRET,
    )
    assert ran.exit_code == 0, ran.shown
    built, pushed = map(json.loads, record.read_text().splitlines())
    name = f"{services.registry}/rag"
    arguments = pushed["arguments"]
    metadata = arguments[arguments.index("--metadata-file") + 1]
    created = next(word for word in arguments if word.startswith("org.opencontainers.image.created="))
    cache = ("--cache-from", f"type=registry,ref={name}:buildcache")
    first = ("--platform", "linux/amd64", "--provenance=false", *cache)
    common = [
        *("--tag", f"{name}:with-buildx", "--network", "host"),
        *("--build-arg", "VERSION=a b=c"),
        *("--label", f"org.opencontainers.image.revision={SHA}"),
        *("--label", created),
        *("--secret", "id=TOKEN,env=ECS_GPU_DEPLOY_BUILD_SECRET_0"),
        "context",
    ]
    begin = ["buildx", "build", "--progress", "rawjson"]
    assert built["arguments"] == [*begin, "--load", *first, *common]
    cache_to = f"type=registry,ref={name}:buildcache,mode=max,image-manifest=true,oci-mediatypes=true"
    assert arguments == [
        *(*begin, "--push", "--metadata-file", metadata, *first, "--cache-to", cache_to),
        *common,
    ]
    assert pushed["secrets"] == built["secrets"] == {"ECS_GPU_DEPLOY_BUILD_SECRET_0": len(BUILD_SECRET)}
    assert pushed["builders"] == str(home / ".docker" / "buildx")
    for tag in ("with-buildx", "latest"):
        assert json.loads(services.inspected(f"rag:{tag}"))["Digest"] == ran.result["image_digest"]
