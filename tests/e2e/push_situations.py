"""The situations of the table in docs/push.md: what a build or a push meets, and what must be told of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from fault_proxy import Wrong

PLAIN, BUILDX, PODMAN = "docker", "buildx", "podman"
UPLOADS = r"^(POST|PATCH|PUT) /v2/.*/blobs/uploads"
MANIFEST = r"^PUT /v2/.*/manifests/"
DENIED = (
    '{"errors":[{"code":"DENIED","message":"User: arn:aws:sts::123456789012:assumed-role/deploy/run is not '
    "authorized to perform: ecr:InitiateLayerUpload on resource: arn:aws:ecr:eu-central-1:123456789012:"
    'repository/rag"}]}'
)
IMMUTABLE = (
    '{"errors":[{"code":"TAG_INVALID","message":"The image tag already exists in the repository and cannot '
    'be overwritten because the tag is immutable."}]}'
)
EXPIRED = '{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate."}]}'
FAILS = "COPY app.py /app.py\nRUN "
GOOD = 'COPY app.py /app.py\nENTRYPOINT ["/bin/sh"]\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """One of them: what is built and how, what goes wrong, and the exit code, code and words that must come.

    `dockerfile` follows a base with a shell; a text that begins with FROM stands alone. `deploys`: the
    command is deploy. `again`: it is run twice, and the second run tells. `alone`: what is wrong is so with
    requests that name no repository, so that nothing else may run. `never` must not be printed; `untouched`:
    Docker must not have been asked to build.
    """

    told: str
    exit_code: int
    code: str = ""
    says: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    builder: str = PLAIN
    dockerfile: str = GOOD
    flags: tuple[str, ...] = ()
    wrong: tuple[Wrong, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    deploys: bool = False
    creates: bool = False
    again: bool = False
    alone: bool = False
    untouched: bool = False
    finding: str = ""


def _step(words: str, *, builder: str = PLAIN) -> Situation:
    return Situation(
        told=f"a RUN step prints “{words}” and fails",
        builder=builder,
        dockerfile=f"{FAILS}echo '{words}' >&2; exit 1\n",
        exit_code=2,
        code="image-build",
        says=("(Dockerfile:5) failed: exit code: 1", words),
    )


def _push(
    told: str, *wrong: Wrong, exit_code: int, code: str = "", says: tuple[str, ...] = (), **more: object
) -> Situation:
    known = {"told": told, "wrong": wrong, "exit_code": exit_code, "code": code, "says": says}
    return Situation(**{**known, **more})  # type: ignore[arg-type]


WORDS = (
    "Permission denied",
    "403 Forbidden",
    "Connection refused",
    "read: connection reset by peer",
    "no basic auth credentials",
)


def _of_each_builder(builder: str) -> list[Situation]:
    """Return what every builder must tell in the same way."""
    return [
        Situation(told="a new image", builder=builder, exit_code=0, says=("is built and pushed",)),
        _step("403 Forbidden", builder=builder),
        _step("Connection refused", builder=builder),
        Situation(
            told="a file that is not there",
            builder=builder,
            dockerfile="COPY nothing.bin /a\n",
            exit_code=2,
            code="image-build",
            says=("COPY nothing.bin /a (Dockerfile:4) failed",),
        ),
        Situation(
            told="an unknown instruction",
            builder=builder,
            dockerfile="CPOY app.py /a\n",
            exit_code=2,
            code="image-build",
            says=("CPOY",),
        ),
        Situation(
            told="a stage that is not there",
            builder=builder,
            flags=("--target", "nobody"),
            exit_code=2,
            code="image-build",
            says=("nobody",),
        ),
        Situation(
            told="a base image that is not there",
            builder=builder,
            dockerfile="FROM {registry}/base:nope\nRUN true\n",
            exit_code=2,
            code="base-image",
            says=("The base image cannot be pulled: {registry}/base:nope",),
        ),
        Situation(
            told="a base image whose registry is not reached",
            builder=builder,
            dockerfile="FROM 127.0.0.1:1/base:1\nRUN true\n",
            exit_code=3,
            code="base-image",
            says=("The base image cannot be pulled: 127.0.0.1:1/base:1", "refused"),
        ),
        _push(
            "a push whose connection is reset once",
            Wrong(where=MANIFEST, how="reset", times=1),
            builder=builder,
            exit_code=0,
        ),
        _push(
            "a push whose connection ends once (EOF)",
            Wrong(where=MANIFEST, how="eof", times=1),
            builder=builder,
            exit_code=0,
        ),
        _push(
            "a push whose connection is always reset",
            Wrong(where=MANIFEST, how="reset"),
            builder=builder,
            exit_code=3,
            code="image-network",
            says=("4 attempts",),
            never=("does not build",),
        ),
        _push(
            "a push that lacks a permission",
            Wrong(where=UPLOADS, how=403, body=DENIED),
            builder=builder,
            exit_code=3,
            code="image-registry",
            says=("ecr:InitiateLayerUpload is missing",),
        ),
        _push(
            "a proxy that knows no PATCH (405)",
            Wrong(where=r"^PATCH ", how=405),
            builder=builder,
            exit_code=3,
            code="image-registry",
            says=("405",),
            never=("does not build", "attempts"),
        ),
    ]


OF_OTHERS = {
    "a new image",
    "a RUN step prints “403 Forbidden” and fails",
    "a base image that is not there",
    "a push whose connection is reset once",
    "a push that lacks a permission",
    "a proxy that knows no PATCH (405)",
}
"""What differs from builder to builder; the rest one shows for all: each situation costs seconds."""


def _others(builder: str) -> list[Situation]:
    return [one for one in _of_each_builder(builder) if one.told in OF_OTHERS]


SITUATIONS: tuple[Situation, ...] = (
    *_of_each_builder(PLAIN),
    *(_step(words) for words in WORDS if words not in {"403 Forbidden", "Connection refused"}),
    Situation(
        told="a RUN step says that the disk is full",
        dockerfile=f"{FAILS}echo 'write /x: No space left on device'; exit 1\n",
        exit_code=2,
        code="image-build",
        says=("The disk of the runner is full, as the step says", "docker system prune"),
    ),
    Situation(
        told="a RUN step is a program of another machine",
        dockerfile='COPY alien /alien\nRUN ["/alien"]\n',
        files={"alien": "\x7fELF no such machine\n"},
        exit_code=2,
        code="image-build",
        says=("setup-qemu-action",),
    ),
    Situation(
        told="a RUN step prints workflow commands and terminal escapes",
        dockerfile=f"{FAILS}printf '::add-mask::a\\n::error::x\\n\\033[31mred\\r#9 ERROR: no\\n'; exit 1\n",
        variables={"GITHUB_ACTIONS": "true"},
        exit_code=2,
        code="image-build",
        never=("\n::add-mask::a", "\n::error::x", "\x1b[31m"),
    ),
    Situation(
        told="a RUN step prints 100 MB",
        dockerfile=f"{FAILS}head -c 100000000 /dev/zero | tr '\\0' x; echo; echo the end; exit 1\n",
        exit_code=2,
        code="image-build",
    ),
    Situation(
        told="a step prints a build secret of several lines",
        dockerfile=f"{FAILS}--mount=type=secret,id=KEY cd /run/secrets; cat KEY; grep -c . KEY; exit 1\n",
        flags=("--build-secrets", "KEY"),
        variables={"KEY": "-----BEGIN KEY-----\nhunter2hunter2\nhunter3hunter3\n-----END KEY-----"},
        exit_code=2,
        code="image-build",
        says=("***",),
        never=("hunter2", "hunter3"),
    ),
    Situation(
        told="a step prints a secret file",
        dockerfile=f"{FAILS}--mount=type=secret,id=pip cat /run/secrets/pip; exit 1\n",
        flags=("--build-secret-files", "pip=pip.conf"),
        files={"pip.conf": "[global]\nindex-url = https://me:hunter2hunter2@pypi.example.com/simple\n"},
        exit_code=2,
        code="image-build",
        says=("***", "[global]"),
        never=("hunter2",),
    ),
    Situation(
        told="two platforms without buildx",
        flags=("--platforms", "linux/amd64,linux/arm64"),
        exit_code=2,
        says=("plain Docker builds one", "setup-buildx-action"),
    ),
    Situation(
        told="no command docker",
        variables={"PATH": "/nowhere"},
        exit_code=2,
        says=("Docker is missing",),
    ),
    Situation(
        told="a daemon that does not run",
        variables={"DOCKER_HOST": "unix:///nowhere/docker.sock"},
        exit_code=2,
        says=("daemon does not answer",),
    ),
    Situation(
        told="a base image that is private",
        dockerfile="FROM {other}/private:1\nRUN true\n",
        exit_code=2,
        code="base-image",
        says=("The base image cannot be pulled: {other}/private:1",),
    ),
    Situation(
        told="a private base image, its login in a key store (credsStore)",
        dockerfile='FROM {other}/kept:1\nENTRYPOINT ["/bin/sh"]\n',
        variables={"DOCKER_CONFIG": "{store}"},
        exit_code=0,
        never=("store-got-ours",),
    ),
    Situation(
        told="a base image whose registry is ill once (503)",
        dockerfile='FROM {registry}/ill:1\nENTRYPOINT ["/bin/sh"]\n',
        exit_code=0,
        says=("Trying again",),
    ),
    _push(
        "a new layer whose connection is reset once: the daemon sends it again",
        Wrong(where=r"^PATCH ", how="reset", times=1),
        exit_code=0,
    ),
    _push(
        "a registry that is ill once (502)",
        Wrong(where=MANIFEST, how=502, times=1),
        exit_code=0,
        says=("Trying again",),
    ),
    _push(
        "a registry that is asked too often once (429)",
        Wrong(
            where=MANIFEST,
            how=429,
            body='{"errors":[{"code":"TOOMANYREQUESTS","message":"Rate exceeded"}]}',
            times=1,
        ),
        exit_code=0,
    ),
    _push(
        "a login to a registry that is ill once (503)",
        Wrong(where=r"^GET /v2/$", how=503, times=1),
        exit_code=0,
        says=("Trying again",),
        alone=True,
    ),
    _push(
        "a login to a registry that is ill (500)",
        Wrong(where=r"^GET /v2/$", how=500),
        exit_code=3,
        code="image-network",
        says=("Trying again",),
        alone=True,
    ),
    _push(
        "a tag that became immutable meanwhile",
        Wrong(where=MANIFEST, how=400, body=IMMUTABLE),
        exit_code=3,
        code="image-registry",
        says=("the tag exists and is immutable",),
    ),
    _push(
        "a repository that was deleted meanwhile",
        Wrong(
            where=UPLOADS,
            how=404,
            body='{"errors":[{"code":"NAME_UNKNOWN","message":"The repository rag does not exist"}]}',
        ),
        exit_code=3,
        code="image-registry",
        says=("the repository does not exist",),
    ),
    _push(
        "a login that is over during the push",
        Wrong(where=UPLOADS, how=403, body=EXPIRED, times=1),
        exit_code=0,
    ),
    _push(
        "a proxy that takes the manifest without a word (201)",
        Wrong(where=MANIFEST, how=201),
        exit_code=3,
        code="image-push",
        says=("The push of", "4 attempts"),
    ),
    Situation(
        told="a repository that is missing and a build that fails",
        creates=True,
        dockerfile=f"{FAILS}exit 1\n",
        exit_code=2,
        code="image-build",
        never=("was created",),
    ),
    Situation(
        told="a repository that is missing and a push that breaks",
        creates=True,
        wrong=(Wrong(where=MANIFEST, how="reset"),),
        exit_code=3,
        code="image-network",
        says=("the repository new-", "was created", "may have been pushed"),
    ),
    Situation(told="a repository that is missing", creates=True, exit_code=0, says=("is created",)),
    Situation(
        told="further tags and an image that no scan has seen",
        flags=(
            "--extra-tags",
            "nightly",
            "--push-latest",
            "true",
            "--fail-on-severity",
            "high",
            "--scan-timeout",
            "1",
        ),
        exit_code=3,
        says=("has no result",),
        never=("nightly was moved",),
    ),
    Situation(
        told="a new image with further tags",
        flags=("--extra-tags", "nightly", "--push-latest", "true"),
        exit_code=0,
        says=("the image is nightly, latest as well",),
    ),
    Situation(
        told="deploy: an image that starts nothing",
        deploys=True,
        dockerfile="COPY app.py /app.py\n",
        exit_code=2,
        code="image-build",
        says=("neither ENTRYPOINT nor CMD",),
        never=("was pushed", "may have been pushed"),
    ),
    Situation(
        told="push: an image that starts nothing",
        dockerfile="COPY app.py /app.py\n",
        exit_code=0,
        says=("has neither ENTRYPOINT nor CMD",),
    ),
    Situation(
        told="deploy: a path that is not in the task definition",
        deploys=True,
        flags=("--set", "volumes[3].name: a"),
        exit_code=2,
        says=("volumes",),
        untouched=True,
    ),
    Situation(
        told="deploy: a container that is not there",
        deploys=True,
        flags=("--container", "nope"),
        exit_code=2,
        says=("nope",),
        untouched=True,
    ),
    Situation(
        told="deploy: a role that is not there",
        deploys=True,
        flags=("--set", "taskRoleArn: arn:aws:iam::123456789012:role/nobody"),
        exit_code=2,
        says=("role/nobody",),
        untouched=True,
    ),
    Situation(
        told="deploy: another deployment is ongoing",
        deploys=True,
        flags=("--ongoing", "refuse", "--service", "busy"),
        exit_code=3,
        says=("is ongoing",),
        untouched=True,
    ),
    Situation(
        told="flags of the builder (build-options), an SSH key and labels",
        dockerfile='RUN --mount=type=ssh test -S "$SSH_AUTH_SOCK"\nRUN grep 10.0.0.1 /etc/hosts\n',
        flags=(
            *("--build-options=--add-host db:10.0.0.1", "--build-options=--no-cache"),
            *("--ssh", "default={key}", "--image-labels", "org.opencontainers.image.title=RAG"),
        ),
        exit_code=0,
        never=("OPENSSH PRIVATE KEY",),
    ),
    Situation(
        told="a flag that has an input of its own",
        flags=("--build-options=--tag x:1",),
        exit_code=2,
        says=("build-options has --tag", "image-tag and extra-tags"),
        untouched=True,
    ),
    Situation(
        told="a flag of buildx without buildx",
        flags=("--build-options=--allow=network.host",),
        exit_code=2,
        says=("which plain Docker does not know: it needs buildx", "setup-buildx-action"),
        untouched=True,
    ),
    Situation(
        told="further contexts without buildx",
        flags=("--build-contexts", "more=context"),
        exit_code=2,
        says=("build-contexts is given, and plain Docker has no --build-context: it needs buildx",),
        untouched=True,
    ),
    Situation(
        told="an SBOM without buildx",
        flags=("--sbom",),
        exit_code=2,
        says=("sbom is given, and plain Docker makes no attestations: it needs buildx",),
        untouched=True,
    ),
    Situation(
        told="SSH without an agent",
        flags=("--ssh", "default"),
        exit_code=2,
        says=("there is no SSH agent",),
        untouched=True,
    ),
    *_others(BUILDX),
    Situation(
        told="an SSH key, flags of the builder and labels",
        builder=BUILDX,
        dockerfile='RUN --mount=type=ssh test -S "$SSH_AUTH_SOCK"\n',
        flags=(
            *("--ssh", "default={key}", "--build-options=--allow=network.host", "--build-options=--no-cache"),
            *("--image-labels", "org.opencontainers.image.title=RAG"),
        ),
        exit_code=0,
    ),
    Situation(
        told="further contexts, and a daemon from before there were such",
        builder=BUILDX,
        flags=("--build-contexts", "more=context"),
        exit_code=2,
        code="image-runner",
        says=("is too old for what is asked: it has no moby.buildkit.frontend.contexts",),
    ),
    Situation(
        told="a flag that nobody has",
        builder=BUILDX,
        flags=("--build-options=--no-cachee",),
        exit_code=2,
        says=("build-options has --no-cachee, which buildx", "Did you mean --no-cache?"),
        untouched=True,
    ),
    Situation(
        told="provenance from the daemon's own builder",
        builder=BUILDX,
        flags=("--provenance", "mode=max"),
        exit_code=2,
        says=("provenance is given, and the builder of Docker's daemon makes no attestations",),
        untouched=True,
    ),
    Situation(
        told="deploy, run again: an image that starts nothing",
        builder=BUILDX,
        deploys=True,
        again=True,
        dockerfile="COPY app.py /app.py\n",
        exit_code=2,
        code="image-build",
        says=("neither ENTRYPOINT nor CMD",),
        never=("was pushed", "may have been pushed", "is in ECR already"),
    ),
    Situation(
        told="a private base image, its login in a key store (credsStore)",
        builder=BUILDX,
        dockerfile='FROM {other}/kept:1\nENTRYPOINT ["/bin/sh"]\n',
        variables={"DOCKER_CONFIG": "{store}"},
        exit_code=0,
        never=("store-got-ours",),
    ),
    *_others(PODMAN),
    Situation(
        told="further contexts, annotations and flags of the builder",
        builder=PODMAN,
        dockerfile="COPY --from=more app.py /b.py\n",
        flags=(
            *("--build-contexts", "more=context", "--annotations", "org.opencontainers.image.title=RAG"),
            "--build-options=--no-cache",
        ),
        exit_code=0,
    ),
    Situation(
        told="a flag of buildx",
        builder=PODMAN,
        flags=("--build-options=--allow network.host",),
        exit_code=2,
        says=("which Podman does not know: it needs buildx",),
        untouched=True,
    ),
    Situation(
        told="provenance",
        builder=PODMAN,
        flags=("--provenance", "true"),
        exit_code=2,
        says=("provenance is given, and Podman makes no attestations: it needs buildx",),
        untouched=True,
    ),
    Situation(
        told="a RUN step prints 100 MB",
        builder=PODMAN,
        dockerfile=f"{FAILS}head -c 100000000 /dev/zero | tr '\\0' x; echo; echo the end; exit 1\n",
        exit_code=2,
        code="image-build",
        says=("the end",),
    ),
)
