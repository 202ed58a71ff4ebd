"""The Docker edge against a stand-in of the command: attempts, secrets, the configuration of its own."""

import json
import os
import stat

import pytest

from ecs_gpu_deploy.edges.aws.ecr_repository import Login
from ecs_gpu_deploy.edges.docker.config import DockerConfig
from ecs_gpu_deploy.edges.docker.docker import Build, Docker
from ecs_gpu_deploy.errors import InvalidInput, Refused

SCRIPT = """#!/bin/sh
echo "$@" >> {log}
case "$1 $2" in
  "buildx version") exit 1;;
  "push r/rag:1")
    n=$(wc -l < {count}); echo >> {count}
    [ "$n" -lt {failures} ] && {{ echo 'Put "https://r/v2/": write: connection reset by peer'; exit 1; }}
    echo pushed;;
  "push r/rag:2") echo "denied: not authorized to perform: ecr:PutImage on resource: x"; exit 1;;
  "image inspect") echo "r/rag@sha256:abc";;
  "build "*) echo "the secret is $ECS_GPU_DEPLOY_BUILD_SECRET_0";;
  "login "*) read -r p; [ "$p" = right ] || {{ echo "Error: unauthorized, not $p"; exit 1; }};;
esac
"""


class Clock:
    def __init__(self):
        self.slept = []

    def now(self):
        return sum(self.slept)

    def sleep(self, seconds):
        self.slept.append(seconds)


@pytest.fixture
def stand_in(tmp_path):
    def make(failures=0):
        log, count = tmp_path / "log", tmp_path / "count"
        count.touch()
        script = tmp_path / "docker"
        script.write_text(SCRIPT.format(log=log, count=count, failures=failures))
        script.chmod(0o755)
        path = f"{tmp_path}:/usr/bin:/bin"
        return {"PATH": path, "HOME": str(tmp_path), "RUNNER_TEMP": str(tmp_path)}, log

    return make


def _docker(environment, config, monkeypatch=None):
    shown, clock = [], Clock()
    return Docker(config, clock=clock, show=shown.append, environment=environment), shown, clock


@pytest.fixture
def docker(stand_in, monkeypatch):
    def use(failures=0):
        environment, log = stand_in(failures)
        monkeypatch.setenv("PATH", environment["PATH"])
        return environment, log

    return use


def _build(**more):
    return Build(context=".", tags=("r/rag:1",), **more)


def test_a_push_that_the_network_broke_is_tried_again(docker):
    environment, log = docker(failures=2)
    with DockerConfig(environment) as config:
        edge, shown, clock = _docker(environment, config)
        assert edge.build_and_push(_build()) == "sha256:abc"
    assert log.read_text().count("push r/rag:1") == 3
    assert len(clock.slept) == 2
    assert sum("trying again" in line for line in shown) == 2


def test_the_attempts_end(docker):
    environment, _ = docker(failures=99)
    with DockerConfig(environment) as config:
        edge, _, clock = _docker(environment, config)
        with pytest.raises(Refused, match="The network failed 4 attempts to push r/rag:1"):
            edge.build_and_push(_build())
    assert len(clock.slept) == 3


def test_a_denied_push_is_not_tried_again(docker):
    environment, _ = docker()
    with DockerConfig(environment) as config:
        edge, _, clock = _docker(environment, config)
        with pytest.raises(Refused, match="the permission ecr:PutImage is missing"):
            edge.build_and_push(Build(context=".", tags=("r/rag:2",)))
    assert clock.slept == []


def test_a_build_secret_is_no_argument_and_is_cut_out_of_the_output(docker):
    environment, log = docker()
    with DockerConfig(environment) as config:
        edge, shown, _ = _docker(environment, config)
        edge.build_and_push(_build(secrets={"TOKEN": "hunter2"}))
    assert "hunter2" not in log.read_text()
    assert "id=TOKEN,env=ECS_GPU_DEPLOY_BUILD_SECRET_0" in log.read_text()
    assert "the secret is ***" in shown


def test_a_refused_login_does_not_show_the_password(docker):
    environment, log = docker()
    with DockerConfig(environment) as config:
        edge, _, _ = _docker(environment, config)
        edge.login(Login(endpoint="https://r", username="AWS", password="right"))
        with pytest.raises(Refused, match="refused the login") as caught:
            edge.login(Login(endpoint="https://r", username="AWS", password="wrong-one"))
    assert "wrong-one" not in str(caught.value)
    assert "wrong-one" not in log.read_text()
    assert "right" not in log.read_text()
    assert log.read_text().count("--password-stdin") == 2


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"platforms": ("linux/amd64", "linux/arm64")}, "plain Docker builds one"),
        ({"cache_to": ("type=gha",)}, "cache needs buildx"),
    ],
)
def test_what_needs_buildx_says_so(docker, more, sentence):
    environment, _ = docker()
    with DockerConfig(environment) as config:
        edge, _, _ = _docker(environment, config)
        with pytest.raises(InvalidInput, match=sentence):
            edge.build_and_push(_build(**more))


def test_the_configuration_keeps_other_logins_but_no_key_store(tmp_path):
    own = tmp_path / ".docker"
    (own / "cli-plugins").mkdir(parents=True)
    settings = {
        "auths": {"ghcr.io": {"auth": "eA=="}},
        "credsStore": "desktop",
        "credHelpers": {"r": "ecr-login", "other": "gcloud"},
        "currentContext": "remote",
    }
    (own / "config.json").write_text(json.dumps(settings))
    with DockerConfig({"HOME": str(tmp_path)}) as config:
        config.forget_helper("r")
        kept = json.loads((config.path / "config.json").read_text())
        assert kept == {
            "auths": settings["auths"],
            "credHelpers": {"other": "gcloud"},
            "currentContext": "remote",
        }
        assert stat.S_IMODE(os.stat(config.path).st_mode) == 0o700
        assert (config.path / "cli-plugins").resolve() == own / "cli-plugins"
        assert config.variables["BUILDX_CONFIG"] == str(own / "buildx")
        path = config.path
    assert not path.exists()
    assert (own / "cli-plugins").exists()


def test_a_configuration_that_cannot_be_read_is_left_alone(tmp_path):
    (tmp_path / "config.json").write_text("{broken")
    with DockerConfig({"DOCKER_CONFIG": str(tmp_path)}) as config:
        assert json.loads((config.path / "config.json").read_text()) == {}
