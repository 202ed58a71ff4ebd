"""The Docker edge against a stand-in of the command: attempts, secrets, the configuration of its own."""

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from ecs_gpu_deploy.edges.aws.ecr_repository import Login
from ecs_gpu_deploy.edges.docker.config import DockerConfig
from ecs_gpu_deploy.edges.docker.docker import Build, Docker, build_again
from ecs_gpu_deploy.edges.docker.environment import docker_environment
from ecs_gpu_deploy.edges.docker.output import PushProgress
from ecs_gpu_deploy.edges.docker.process import run_client
from ecs_gpu_deploy.edges.docker.secrets import secret_texts
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
  "image inspect") echo "r/rag@sha256:abc"; echo "r/rag@sha256:def"; echo "r/other@sha256:x";;
  "build "*) echo "the secret is $ECS_GPU_DEPLOY_BUILD_SECRET_0"; echo "fetched $5 $6 $7";;
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
    return Build(context=".", **{"tag": "r/rag:1", **more})


LOGIN = Login(endpoint="https://r", username="AWS", password="right")


def _push(edge, build):
    edge.build(build)
    edge.login(LOGIN)
    return edge.push(build, renew=lambda: LOGIN)


def test_a_push_that_the_network_broke_is_tried_again(docker):
    environment, log = docker(failures=2)
    with DockerConfig(environment) as config:
        edge, shown, clock = _docker(environment, config)
        assert _push(edge, _build()) == {"sha256:abc", "sha256:def"}
    assert log.read_text().count("push r/rag:1") == 3
    assert len(clock.slept) == 2
    assert sum("Trying again" in line for line in shown) == 2


def test_the_attempts_end(docker):
    environment, _ = docker(failures=99)
    with DockerConfig(environment) as config:
        edge, _, clock = _docker(environment, config)
        with pytest.raises(Refused, match=r"The push of r/rag:1 broke: .*\(4 attempts\)"):
            _push(edge, _build())
    assert len(clock.slept) == 3


def test_a_denied_push_is_not_tried_again(docker):
    environment, _ = docker()
    with DockerConfig(environment) as config:
        edge, _, clock = _docker(environment, config)
        with pytest.raises(Refused, match="the permission ecr:PutImage is missing"):
            _push(edge, _build(tag="r/rag:2"))
    assert clock.slept == []


def test_a_build_secret_is_no_argument_and_is_cut_out_of_the_output(docker):
    environment, log = docker()
    with DockerConfig(environment) as config:
        edge, shown, _ = _docker(environment, config)
        edge.build(_build(secrets={"TOKEN": "hunter2"}))
    assert "hunter2" not in log.read_text()
    assert "id=TOKEN,env=ECS_GPU_DEPLOY_BUILD_SECRET_0" in log.read_text()
    assert "the secret is ***" in shown


def test_a_password_in_the_address_of_a_context_is_cut_out_of_the_output(docker):
    environment, _ = docker()
    address = "https://user:hunter2@x/y.git"
    with DockerConfig(environment) as config:
        for build in (replace(_build(), context=address), _build(contexts={"more": address})):
            edge, shown, _ = _docker(environment, config)
            edge.build(build)
            assert any("https://user:***@x/y.git" in line for line in shown), shown


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
            edge.check_build(_build(**more))


def test_the_configuration_keeps_other_logins_and_ours_in_its_own_file(tmp_path):
    own = tmp_path / ".docker"
    (own / "cli-plugins").mkdir(parents=True)
    settings = {
        "auths": {"ghcr.io": {"auth": "eA=="}},
        "credsStore": "desktop",
        "credHelpers": {"r": "ecr-login", "other": "gcloud"},
        "currentContext": "remote",
        "detachKeys": "ctrl-x",
    }
    (own / "config.json").write_text(json.dumps(settings))
    with DockerConfig({"HOME": str(tmp_path)}) as config:
        assert config.asks_aws
        config.keep_login_here("r")
        kept = json.loads((config.path / "config.json").read_text())
        assert kept == {
            "auths": settings["auths"],
            "credsStore": "desktop",
            "credHelpers": {"other": "gcloud", "r": ""},
            "currentContext": "remote",
        }
        config.keep_login_here("r", with_podman=True)
        assert json.loads((config.path / "config.json").read_text())["credHelpers"] == {"other": "gcloud"}
        assert stat.S_IMODE(os.stat(config.path).st_mode) == 0o700
        assert (config.path / "cli-plugins").resolve() == own / "cli-plugins"
        assert config.variables["BUILDX_CONFIG"] == str(own / "buildx")
        podman = json.loads(Path(config.variables["REGISTRY_AUTH_FILE"]).read_text())
        assert podman == {"auths": settings["auths"]}
        path = config.path
    assert not path.exists()
    assert (own / "cli-plugins").exists()


def test_podmans_own_logins_are_kept_too(tmp_path):
    (tmp_path / ".config/containers").mkdir(parents=True)
    (tmp_path / ".config/containers/auth.json").write_text('{"auths": {"quay.io": {"auth": "eA=="}}}')
    with DockerConfig({"HOME": str(tmp_path)}) as config:
        kept = json.loads(Path(config.variables["REGISTRY_AUTH_FILE"]).read_text())
    assert list(kept["auths"]) == ["quay.io"]


def test_a_login_that_is_nearly_over_is_renewed_before_the_push(docker):
    environment, log = docker()
    with DockerConfig(environment) as config:
        edge, _, clock = _docker(environment, config)
        edge.login(replace(LOGIN, expires_at=12 * 3600))
        clock.sleep(12 * 3600 - 600)
        edge.push(_build(), renew=lambda: replace(LOGIN, expires_at=24 * 3600))
        edge.push(_build(), renew=lambda: LOGIN)
    assert log.read_text().count("login --username") == 2


SECRETS = {
    "INPUT_BUILD-SECRETS": "x",
    "INPUTS": "{}",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x",
    "ACTIONS_RUNTIME_TOKEN": "x",
    "GITHUB_TOKEN": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_SESSION_TOKEN": "x",
    "NPM_TOKEN": "x",
}


def _kept(*, needs_aws=False, caches=()):
    kept = {"PATH": "/bin", "HOME": "/", "DOCKER_HOST": "x", "https_proxy": "x", "SSH_AUTH_SOCK": "x"}
    found = docker_environment({**kept, **SECRETS}, needs_aws=needs_aws, caches=caches)
    assert kept.items() <= found.items()
    return set(found) - set(kept)


def test_a_build_is_tried_by_hand_with_its_flags_and_without_its_secrets():
    build = Build(
        context="my app",
        tag="r/rag:1",
        dockerfile="docker/gpu file",
        target="run",
        network="host",
        arguments={"TOKEN": "hunter2"},
        secrets={"my-key": "hunter3"},
        secret_files={"pip": "pip.conf"},
        labels={"a": "b"},
    )
    assert build_again(build) == (
        "docker build --file 'docker/gpu file' --target run --network host --secret id=pip,src=pip.conf "
        "--build-arg TOKEN --secret id=my-key,env=my_key 'my app'  # with TOKEN, my_key in the environment"
    )
    assert build_again(Build(context=".", tag="r/rag:1")) == "docker build ."
    address = "https://user:s3cret@x/y.git"
    assert "s3cret" not in build_again(Build(context=address, tag="r/rag:1", contexts={"a": address}))


def test_docker_gets_no_secret_of_the_job():
    assert _kept() == set()
    assert _kept(caches=("type=registry,ref=x",)) == set()
    assert _kept(caches=("type=gha",)) == {"ACTIONS_RUNTIME_TOKEN"}
    assert _kept(caches=("type=s3,bucket=x",)) == {"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
    assert _kept(needs_aws=True) == {"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}


FILES = {
    "pip.conf": (
        "[global]\nindex-url = https://me:hunter2hunter2@pypi.example.com/simple\n",
        {"hunter2hunter2"},
    ),
    ".npmrc": ("//registry.npmjs.org/:_authToken=npm_hunter2hunter2\n", {"npm_hunter2hunter2"}),
    ".netrc": ("machine x\n  login me\n  password hunter2hunter2\n", {"hunter2hunter2"}),
    "token": ("hunter2hunter2", {"hunter2hunter2"}),
    "json": ('{"password": "hunter2hunter2",\n', {"hunter2hunter2"}),
    "one line of json": (
        '{"a": "me", "b": [{"key": "hunter2hunter2\\nhunter3hunter3"}], "c": 1}',
        {"hunter2hunter2", "hunter3hunter3"},
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_what_a_secret_file_holds_is_hidden(tmp_path, name):
    text, hidden = FILES[name]
    (tmp_path / name).write_text(text)
    found = set(secret_texts({}, {"id": str(tmp_path / name)}))
    assert hidden <= found
    assert hidden <= set(secret_texts({"id": text}, {}))
    assert "[global]" not in found


def test_each_line_of_a_secret_is_hidden():
    assert set(secret_texts({"KEY": "-----BEGIN-----\nhunter2\n\nab\n"}, {})) == {
        "-----BEGIN-----",
        "hunter2",
    }


def test_silence_is_broken_by_what_goes_on(tmp_path):
    script = tmp_path / "docker"
    script.write_text(
        "#!/bin/sh\nprintf 'aaaaaaaaaaaa: Preparing\\r\\nbbbbbbbbbbbb: Pushing [==>  ]  1.5GB/4.5GB\\r\\n'\n"
        "sleep 0.3\nprintf '\\033[1A\\033[2K\\rbbbbbbbbbbbb: Pushed\\r\\n'\n"
    )
    script.chmod(0o755)
    shown, reading = [], PushProgress(lambda text: text)
    code = run_client(
        [str(script), "push"],
        environment={"PATH": "/usr/bin:/bin"},
        reading=reading,
        show=shown.append,
        note_group=lambda _: None,
        heartbeat=0.1,
        is_terminal=True,
    )
    assert code == 0
    assert shown[0] == "bbbbbbbbbbbb: Pushing"
    assert shown[-1] == "bbbbbbbbbbbb: Pushed"
    assert all(line.endswith("1.5 GB of 4.5 GB sent") for line in shown[1:-1])
    assert len(shown) >= 3


def test_a_configuration_that_cannot_be_read_is_left_alone(tmp_path):
    (tmp_path / "config.json").write_text("{broken")
    with DockerConfig({"DOCKER_CONFIG": str(tmp_path)}) as config:
        assert json.loads((config.path / "config.json").read_text()) == {}
