"""What Docker's last lines mean."""

import pytest

from ecs_gpu_deploy.core.image.docker_output import build_failure, is_network_fault, push_refusal

HOST = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
DENIED = (
    "denied: User: arn:aws:sts::123456789012:assumed-role/deploy/run is not authorized to perform: "
    "ecr:InitiateLayerUpload on resource: arn:aws:ecr:eu-central-1:123456789012:repository/rag because no "
    "identity-based policy allows the ecr:InitiateLayerUpload action"
)

NETWORK = [
    f'Get "https://{HOST}/v2/": net/http: TLS handshake timeout',
    f'Get "https://{HOST}/v2/": dial tcp: lookup {HOST}: no such host',
    f'Put "https://{HOST}/v2/rag/blobs/uploads/x": write tcp 10.0.0.1:5->1.2.3.4:443: write: broken pipe',
    f'Patch "https://{HOST}/v2/rag/blobs/uploads/x": EOF',
    "error parsing HTTP 503 response body: 503 Service Unavailable",
    "received unexpected HTTP status: 502 Bad Gateway",
    "toomanyrequests: Rate exceeded",
    "ERROR: failed to push x: read tcp 10.0.0.1:5->1.2.3.4:443: read: connection reset by peer",
]


@pytest.mark.parametrize("line", NETWORK)
def test_a_network_fault_is_worth_another_attempt(line):
    assert is_network_fault(["The push refers to repository [x]", line])
    assert push_refusal([line]) is None


@pytest.mark.parametrize(
    "line",
    [
        DENIED,
        "no basic auth credentials",
        "write /x: no space left on device",
        "exit code: 1",
        "denied: quota",
    ],
)
def test_others_are_not(line):
    assert not is_network_fault([line])


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
    ],
)
def test_a_refusal_of_the_registry(line, message, hint):
    refusal = push_refusal(["#9 pushing layers", line])
    assert message in refusal.message
    assert hint in refusal.hint


def test_the_builds_own_last_lines_are_shown():
    failure = build_failure([f"#1 step {number}" for number in range(50)] + ["ERROR: exit code: 1"])
    assert failure.hint.splitlines()[-1] == "ERROR: exit code: 1"
    assert len(failure.hint.splitlines()) == 12


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("write /var/lib/docker/tmp/x: no space left on device", "disk of the runner is full"),
        (
            "ERROR: BuildKit is enabled but the buildx component is missing or broken.",
            "plugin buildx is missing",
        ),
        ("exec /bin/sh: exec format error", "another architecture"),
    ],
)
def test_a_known_cause_is_named(line, message):
    assert message in build_failure(["#1 x", line]).message
