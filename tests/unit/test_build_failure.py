"""Who failed: told by the step or the command, never by words that a step printed."""

import pytest

from ecs_gpu_deploy.core.image.build_failure import (
    Blame,
    build_failure,
    is_passing,
    login_failure,
    push_failure,
)
from ecs_gpu_deploy.core.image.build_log import BuildLog, Step, line_of

HOST = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
DENIED = (
    "denied: User: arn:aws:sts::123456789012:assumed-role/deploy/run is not authorized to perform: "
    "ecr:InitiateLayerUpload on resource: arn:aws:ecr:eu-central-1:123456789012:repository/rag because no "
    "identity-based policy allows the ecr:InitiateLayerUpload action"
)
DOCKERFILE = """# syntax=docker/dockerfile:1
FROM python:3.13 AS build
# the wheels
RUN pip install \\
    # of the index
    torch
COPY app.py /app.py
COPY --from=build /x /y
RUN true
RUN true
"""

NETWORK = [
    f'Get "https://{HOST}/v2/": net/http: TLS handshake timeout',
    f'Put "https://{HOST}/v2/rag/blobs/uploads/x": write tcp 10.0.0.1:5->1.2.3.4:443: write: broken pipe',
    f'Patch "https://{HOST}/v2/rag/blobs/uploads/x": EOF',
    "EOF",
    "error parsing HTTP 503 response body: 503 Service Unavailable",
    "received unexpected HTTP status: 502 Bad Gateway",
    "toomanyrequests: Rate exceeded",
    "ERROR: failed to push x: read tcp 10.0.0.1:5->1.2.3.4:443: read: connection reset by peer",
]
WORDS = [
    "Permission denied",
    "403 Forbidden",
    "Connection refused",
    "connection reset by peer",
    "unauthorized: authentication required",
    "no basic auth credentials",
    "i/o timeout",
    "#9 ERROR: failed to push x",
    DENIED,
]


@pytest.mark.parametrize("line", NETWORK)
def test_a_push_that_broke_is_tried_again(line):
    assert is_passing([line])
    failure = push_failure(["The push refers to repository [x]", line], what="x")
    assert failure.blame is Blame.NETWORK
    assert failure.may_pass


def test_a_registry_that_is_not_reached_is_asked_again_too():
    failure = push_failure([f'Get "https://{HOST}/v2/": dial tcp: lookup {HOST}: no such host'], what="x")
    assert (failure.blame, failure.may_pass) == (Blame.NETWORK, True)


def test_a_push_that_ends_without_a_known_word_is_a_push():
    failure = push_failure(["something odd"], what="r/rag:1")
    assert failure.blame is Blame.PUSH
    assert failure.message == "The push of r/rag:1 broke: something odd"


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        (DENIED, "the permission ecr:InitiateLayerUpload is missing", "ecr:PutImage"),
        (
            "tag invalid: The image tag 'v1' already exists in the 'rag' repository and cannot be "
            "overwritten because the tag is immutable.",
            "the tag exists and is immutable",
            "run the job again",
        ),
        (
            "name unknown: The repository with name 'rag' does not exist in the registry with id '1'",
            "the repository does not exist",
            "create-repository",
        ),
        ("no basic auth credentials", "did not accept the login", "twelve hours"),
        (
            "denied: Your authorization token has expired. Reauthenticate and try again.",
            "login",
            "twelve hours",
        ),
        ("unexpected status from HEAD request to x: 403 Forbidden", "refused the push", "quota"),
        ("error parsing HTTP 405 response body: 405 Method Not Allowed", "refused the push", "proxy"),
        ("denied: quota", "refused the push", "quota"),
        (
            "denied: Adding this part to the layer with upload id 'x' in the repository with name 'rag' in "
            "registry with id '1' exceeds the maximum allowed size of a layer which is '55834574848'",
            "a layer is larger than ECR takes",
            "several COPY",
        ),
        (
            "unknown: The repository with name 'rag' in registry with id '1' already has the maximum allowed "
            "number of images which is '100000'",
            "the repository is full",
            "lifecycle",
        ),
    ],
)
def test_a_refusal_of_the_registry(line, message, hint):
    refusal = push_failure(["#9 pushing layers", line], what="x")
    assert refusal.blame is Blame.REGISTRY
    assert not refusal.may_pass
    assert message in refusal.message
    assert hint in refusal.hint


def _failure(step, *, code=1, dockerfile="", line=0, lines=()):
    log = BuildLog(failed=step, lines=tuple(lines), line=line)
    return build_failure(log, code=code, dockerfile=dockerfile, name="Dockerfile", again="docker build .")


@pytest.mark.parametrize("words", WORDS)
def test_the_words_of_a_step_decide_nothing(words):
    step = Step(
        name="[build 2/4] RUN pip install     torch",
        error='process "/bin/sh -c pip install" did not complete successfully: exit code: 7',
        output=("Collecting torch", words),
    )
    failure = _failure(step, dockerfile=DOCKERFILE)
    assert failure.blame is Blame.BUILD
    assert not failure.may_pass
    assert (
        failure.message
        == "The image does not build: RUN pip install torch (Dockerfile:4) failed: exit code: 7."
    )
    assert failure.evidence == ("Collecting torch", words)


@pytest.mark.parametrize(
    ("words", "hint"),
    [("write /x: No space left on device", "The disk of the runner is full"), ("exec format error", "QEMU")],
)
def test_the_words_of_a_step_are_a_hint(words, hint):
    step = Step(name="[2/2] RUN make", error="exit code: 1", output=(words,))
    assert hint in _failure(step).hint
    assert _failure(step).blame is Blame.BUILD


BASES = [
    ("[internal] load metadata for docker.io/library/python:nope", "docker.io/library/python:nope"),
    ("[build 1/4] FROM docker.io/library/python:3.13@sha256:abc", "docker.io/library/python:3.13"),
    (
        "resolve image config for docker-image://docker.io/docker/dockerfile:1",
        "docker.io/docker/dockerfile:1",
    ),
    ("[1/2] FROM ghcr.io/acme/base:1", "ghcr.io/acme/base:1"),
]


def test_a_stage_that_is_misspelt_is_called_so():
    step = Step(name="[internal] load metadata for docker.io/library/depss:latest", error="not found")
    assert _failure(step, dockerfile=DOCKERFILE).hint.startswith("Check name and tag")
    hint = _failure(step, dockerfile=f"{DOCKERFILE}\nCOPY --from=depss /x /x\n").hint
    assert hint.startswith("No stage of the Dockerfile is called depss, so --from=depss means an image. ")


def test_a_step_that_was_killed_is_told_of_memory():
    failure = _failure(Step(name="[2/2] RUN make", error="exit code: 137"))
    assert failure.blame is Blame.BUILD
    assert "memory" in failure.hint
    assert _failure(Step(name="[2/2] RUN make", error="exit code: 1")).hint.endswith(": docker build .")


@pytest.mark.parametrize(("name", "base"), BASES)
def test_a_base_image_is_named(name, base):
    failure = _failure(Step(name=name, error="not found"))
    assert failure.blame is Blame.BASE
    assert failure.message == f"The base image cannot be pulled: {base}: not found."
    assert not failure.may_pass


def test_a_base_image_whose_registry_is_ill_is_asked_for_again():
    name = "[internal] load metadata for docker.io/library/python:3.13"
    assert _failure(Step(name=name, error="unexpected status code 503 Service Unavailable")).may_pass
    assert not _failure(Step(name=name, error="dial tcp: lookup x: no such host")).may_pass


@pytest.mark.parametrize(
    "name",
    ["exporting to image", "pushing r/rag:1 with docker", "pushing layers", "exporting cache to registry"],
)
def test_a_step_that_pushes_is_a_push(name):
    failure = _failure(Step(name=name, error="failed to push: unexpected EOF"))
    assert failure.blame is Blame.NETWORK
    assert failure.may_pass


def test_a_dockerfile_that_cannot_be_read_names_its_line():
    lines = ["ERROR: failed to solve: dockerfile parse error line 3: unknown instruction: CPOY"]
    failure = _failure(None, lines=lines)
    assert failure.blame is Blame.BUILD
    assert failure.message == "The image does not build: Dockerfile:3: unknown instruction: CPOY."


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("write /var/lib/docker/tmp/x: no space left on device", "disk of the runner is full"),
        (
            "ERROR: BuildKit is enabled but the buildx component is missing or broken.",
            "plugin buildx is missing",
        ),
        ("ERROR: Cannot connect to the Docker daemon at unix:///x.", "daemon or builder went away"),
    ],
)
def test_a_machine_that_cannot_build_is_told(line, message):
    failure = _failure(None, lines=[line])
    assert failure.blame is Blame.RUNNER
    assert message in failure.message


def test_a_build_of_which_nothing_is_known():
    assert _failure(None, code=9).message == "The image does not build: exit code: 9"


def test_a_login_that_the_daemon_tried_without_the_password_is_tried_again():
    line = "Error response from daemon: login attempt to https://r/v2/ failed with status: 401 Unauthorized"
    failure = login_failure([line], registry="r")
    assert failure.may_pass
    assert "refused the login" in failure.message


def test_a_login_is_refused_or_not_answered():
    refused = login_failure(["Error response from daemon: unauthorized: incorrect username"], registry="r")
    assert (refused.blame, refused.may_pass) == (Blame.REGISTRY, False)
    ill = login_failure(
        ["login attempt to https://r/v2/ failed with status: 503 Service Unavailable"], registry="r"
    )
    assert (ill.blame, ill.may_pass) == (Blame.NETWORK, True)
    assert "did not answer the login" in ill.message


@pytest.mark.parametrize(
    ("instruction", "line"),
    [
        ("RUN pip install     torch", 4),
        ("COPY app.py /app.py", 7),
        ("COPY --from=build /x /y", 8),
        ("RUN pip install torch==2", 4),
        ("RUN true", 0),
        ("RUN nothing of it", 0),
    ],
)
def test_the_line_of_an_instruction(instruction, line):
    assert line_of(DOCKERFILE, instruction) == line


def test_evidence_is_the_end_without_escapes():
    step = Step(
        name="[2/2] RUN x", error="exit code: 1", output=tuple(f"\x1b[31mline {n}\x1b[0m" for n in range(40))
    )
    assert _failure(step).evidence == tuple(f"line {n}" for n in range(28, 40))


@pytest.mark.parametrize(
    "error",
    [
        "executor failed running [{}]: exit code: 1",
        'process "{}" did not complete successfully: exit code: 1',
    ],
)
def test_the_words_of_the_command_decide_nothing_either(error):
    step = Step(name="[2/2] RUN x", error=error.format("echo no space left on device"), output=("x",))
    assert _failure(step).blame is Blame.BUILD
    assert "disk" not in _failure(step).hint
