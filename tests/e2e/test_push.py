"""push without Docker: what is there is taken, and what is wrong is said before anything is built."""

import json
import signal
import sys
import threading

import pytest
from moto.backends import get_backend

from forked_program import started
from program import act, deploy, image, run
from sandbox_process import clean_environment, sandbox_thread
from toxic_proxy import Script, Toxic, toxic_proxy
from worlds import default_world

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "bin").mkdir()
    return tmp_path


@pytest.fixture
def sandbox():
    with sandbox_thread() as running:
        yield running


def push(sandbox, folder, *flags, **environment):
    """Push as a runner without Docker would."""
    variables = {"PATH": str(folder / "bin"), "GITHUB_SHA": SHA, **environment}
    return run(sandbox, folder, "push", "--repository", "ki-rag-api", *flags, **variables)


def _digest(sandbox, tag):
    with sandbox.client("ecr") as ecr:
        answer = ecr.describe_images(repositoryName="ki-rag-api", imageIds=[{"imageTag": tag}])
    return answer["imageDetails"][0]["imageDigest"]


def _set_mutability(sandbox, setting, *filters):
    with sandbox.client("ecr") as ecr:
        more = {}
        if filters:
            more["imageTagMutabilityExclusionFilters"] = [
                {"filterType": "WILDCARD", "filter": one} for one in filters
            ]
        ecr.put_image_tag_mutability(repositoryName="ki-rag-api", imageTagMutability=setting, **more)


def test_an_image_that_is_there_is_taken_with_two_calls_and_without_docker(sandbox, folder):
    ran = push(sandbox, folder, "--image-tag", "good")
    assert ran.exit_code == 0, ran.shown
    assert ran.result["image_digest"] == _digest(sandbox, "good")
    assert ran.result["image"].endswith("/ki-rag-api:good")
    assert "nothing is built" in ran.shown
    assert sum(ran.result["api_calls"].values()) == 2


def test_the_action_pushes_whatever_inputs_are_not_set(sandbox, folder):
    unset = dict.fromkeys(("service", "cluster", "timeout", "on-timeout", "image"), "")
    inputs = {
        "command": "push",
        "repository": "ki-rag-api",
        "image-tag": "good",
        "result-file": "result.json",
    }
    ran = act(
        sandbox, folder, {**unset, **inputs, "build-secrets": "TOKEN=x-y-z", "result-file": "result.json"}
    )
    assert ran.exit_code == 0, ran.shown
    assert "x-y-z" not in ran.shown
    assert ran.result["command"] == "push"


def test_the_tag_is_the_commit(sandbox, folder):
    with sandbox.client("ecr") as ecr:
        found = ecr.batch_get_image(repositoryName="ki-rag-api", imageIds=[{"imageTag": "good"}])["images"][0]
        ecr.put_image(repositoryName="ki-rag-api", imageManifest=found["imageManifest"], imageTag=SHA)
    ran = push(sandbox, folder)
    assert ran.exit_code == 0, ran.shown
    assert ran.result["image"].endswith(f"/ki-rag-api:{SHA}")


@pytest.mark.parametrize("setting", ["MUTABLE", "IMMUTABLE_WITH_EXCLUSION"])
def test_latest_is_moved_without_docker(sandbox, folder, setting):
    _set_mutability(sandbox, setting, *(["latest"] if setting != "MUTABLE" else []))
    for tag in ("v1", "good"):
        ran = push(sandbox, folder, "--image-tag", tag, "--push-latest", "true")
        assert ran.exit_code == 0, ran.shown
        assert _digest(sandbox, "latest") == _digest(sandbox, tag)
    assert sum(ran.result["api_calls"].values()) <= 5


def test_a_rerun_on_immutable_tags_takes_what_is_there(sandbox, folder):
    _set_mutability(sandbox, "IMMUTABLE")
    assert push(sandbox, folder, "--image-tag", "good").exit_code == 0


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--image-tag", "good", "--rebuild", "true"], "'good'"),
        (["--image-tag", "good", "--extra-tags", "v1"], "'v1'"),
        (["--extra-tags", "v1"], "'v1'"),
    ],
    ids=["built again", "a further tag of an image that is there", "a further tag of a new image"],
)
def test_a_tag_that_cannot_move_is_refused_before_anything_is_built(sandbox, folder, flags, sentence):
    _set_mutability(sandbox, "IMMUTABLE")
    ran = push(sandbox, folder, *flags)
    assert ran.exit_code == 2
    assert f"The tag {sentence}" in ran.shown
    assert "IMMUTABLE_WITH_EXCLUSION" in ran.shown
    assert ran.changes == []


def test_a_missing_repository_is_told_with_what_creates_it(sandbox, folder):
    ran = run(sandbox, folder, "push", "--repository", "ki-rag", "--image-tag", "a")
    assert ran.exit_code == 2
    for sentence in ("no ECR repository 'ki-rag' in eu-central-1", "create-repository", "aws_ecr_repository"):
        assert sentence in ran.shown


def test_a_region_without_the_repository(sandbox, folder):
    ran = push(sandbox, folder, "--region", "us-east-1")
    assert ran.exit_code == 2
    assert "in us-east-1" in ran.shown


def _archived(status):
    detail = {"imageDigest": "sha256:" + "a" * 64, "imageTags": ["good"], "imageStatus": status}
    return json.dumps({"imageDetails": [detail]})


def test_an_archived_image_is_explained(folder):
    world = default_world()
    world["faults"] = [{"operation": "ecr:DescribeImages", "body": _archived("ARCHIVED")}]
    with sandbox_thread(json.dumps(world)) as sandbox:
        ran = push(sandbox, folder, "--image-tag", "good")
        assert ran.exit_code == 2
        assert "archived" in ran.shown
        assert "restore-archived" in ran.shown
        assert ran.changes == []


def test_an_archived_image_is_restored_when_asked(folder):
    world = default_world()
    world["faults"] = [
        {"operation": "ecr:DescribeImages", "body": _archived("ARCHIVED"), "count": 1},
        {"operation": "ecr:DescribeImages", "body": _archived("ACTIVATING"), "until_seconds": 600},
        {"operation": "ecr:UpdateImageStorageClass", "body": "{}"},
    ]
    with sandbox_thread(json.dumps(world)) as sandbox:
        ran = push(sandbox, folder, "--image-tag", "good", "--restore-archived", "true")
        assert ran.exit_code == 0, ran.shown
        asked = sandbox.calls("UpdateImageStorageClass")[0]["parameters"]
        assert asked["targetStorageClass"] == "STANDARD"
        assert ran.result["duration_seconds"] >= 600


def _scan(status, **counts):
    findings = {"findingSeverityCounts": {name.upper(): count for name, count in counts.items()}}
    return json.dumps({"imageScanStatus": {"status": status}, "imageScanFindings": findings})


SCANS = {
    "clean": (_scan("COMPLETE", low=3), "critical", 0, ""),
    "critical, and that is refused": (
        _scan("COMPLETE", critical=1, high=4),
        "critical",
        3,
        "found 1 critical",
    ),
    "high, and critical is refused": (_scan("COMPLETE", high=4), "critical", 0, "4 high"),
    "high, and high is refused": (_scan("ACTIVE", critical=2, high=4), "high", 3, "2 critical, 4 high"),
    "never ended": (_scan("IN_PROGRESS"), "high", 3, "its status is IN_PROGRESS"),
    "impossible": (_scan("UNSUPPORTED_IMAGE"), "high", 3, "its status is UNSUPPORTED_IMAGE"),
}


@pytest.mark.parametrize("case", SCANS)
def test_the_scan_is(folder, case):
    body, limit, exit_code, sentence = SCANS[case]
    world = default_world()
    world["faults"] = [{"operation": "ecr:DescribeImageScanFindings", "body": body}]
    with sandbox_thread(json.dumps(world)) as sandbox:
        ran = push(sandbox, folder, "--image-tag", "good", "--fail-on-severity", limit)
        assert ran.exit_code == exit_code, ran.shown
        assert sentence in ran.shown


def test_a_repository_without_scans_cannot_satisfy_the_limit(sandbox, folder):
    ran = push(sandbox, folder, "--image-tag", "good", "--fail-on-severity", "high")
    assert ran.exit_code == 3
    assert "there is none" in ran.shown
    assert "scan on push" in ran.shown


BAD = {
    "a tag with illegal characters": (["--image-tag", "feature/x y"], "'feature-x-y' would do"),
    "a further tag with illegal characters": (["--extra-tags", ".x"], "extra-tags is '.x'"),
    "a tag that is too long": (["--image-tag", "x" * 129], "no image tag"),
    "a build argument without =": (["--build-args", "VERSION"], "'VERSION', which is not NAME=VALUE"),
    "a context that is not there": (["--context", "srv"], "no folder 'srv'"),
    "a Dockerfile that is not there": (["--dockerfile", "Dockerfile.gpu"], "no Dockerfile 'Dockerfile.gpu'"),
    "a secret on the command line": (["--build-secrets", "TOKEN=abc"], "every process can read"),
    "a secret that is not in the environment": (
        ["--build-secrets", "TOKEN"],
        "no environment variable TOKEN",
    ),
    "a secret file that is not there": (["--build-secret-files", "pip=pip.conf"], "no file 'pip.conf'"),
    "a repository elsewhere": (["--repository", "ghcr.io/acme/rag"], "not in Amazon ECR"),
    "a repository with a tag": (["--repository", "ki-rag-api:v1"], "names an image"),
    "a severity that is none": (["--fail-on-severity", "bad"], "one of off, critical, high, medium"),
    "no Docker": ([], "Docker is missing"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_one_sentence(sandbox, folder, case):
    flags, sentence = BAD[case]
    ran = push(sandbox, folder, *flags)
    assert ran.exit_code == 2, ran.shown
    assert sentence in ran.shown
    assert ran.changes == []


def test_docker_missing_is_said_before_a_repository_is_created(sandbox, folder):
    variables = {"PATH": str(folder / "bin"), "GITHUB_SHA": SHA}
    ran = run(sandbox, folder, "push", "--repository", "new", "--create-repository", "true", **variables)
    assert ran.exit_code == 2
    assert "Docker is missing" in ran.shown
    assert ran.changes == []


def test_a_disk_that_may_be_too_small_is_warned_of(folder):
    docker = folder / "bin" / "docker"
    docker.write_text('#!/bin/sh\n[ "$1" = info ] && echo / && exit 0\n[ "$1" = buildx ] && exit 1\nexit 0\n')
    docker.chmod(0o755)
    world = default_world()
    running = next(one for one in world["images"] if one["image"] == "ki-rag-api:v1")
    running["layers"] = [{"name": "huge", "mb": 500_000_000}]
    with sandbox_thread(json.dumps(world)) as sandbox:
        path = f"{folder / 'bin'}:/usr/bin:/bin"
        ran = deploy(sandbox, folder, "--context", ".", "--image-tag", "new", PATH=path)
        assert ran.exit_code == 3, ran.shown
        assert "ECR has no ki-rag-api:new" in ran.shown, "the stand-in pushes nothing"
        finding = next(one for one in ran.result["findings"] if one["code"] == "low-disk")
        assert "may need 1500000 GB" in finding["message"]
        assert "docker system prune" in finding["hint"]
        assert ran.changes == []


BUILDER_THAT_KEEPS_IMAGES = """#!{python}
import json, os, sys
import boto3

asked = sys.argv[1:]
if asked[:2] == ["buildx", "version"]:
    print("github.com/docker/buildx v0.17.1 x")
elif asked[:2] == ["buildx", "inspect"]:
    print("Name:   b0\\nDriver: docker-container\\n\\nNodes:")
elif asked[:2] == ["image", "inspect"]:
    sys.exit(1)
elif asked[:3] == ["buildx", "imagetools", "inspect"]:
    print(json.dumps({config}))
elif asked[:1] == ["info"]:
    print("/nowhere")
elif "--metadata-file" in asked:
    assert "push-by-digest=true" in asked[asked.index("--output") + 1], asked
    assert "--tag" not in asked, asked
    ecr = boto3.client("ecr", endpoint_url={endpoint!r}, region_name="eu-central-1",
                       aws_access_key_id="x", aws_secret_access_key="x")
    manifest = {{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                 "config": {{"size": 7}}, "layers": []}}
    import hashlib
    text = json.dumps(manifest)
    digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    try:
        ecr.put_image(repositoryName="ki-rag-api", imageManifest=text, imageDigest=digest)
    except ecr.exceptions.ImageAlreadyExistsException:
        pass
    with open(asked[asked.index("--metadata-file") + 1], "w") as file:
        json.dump({{"containerimage.digest": digest}}, file)
"""


@pytest.mark.parametrize(
    ("config", "exit_codes"),
    [({"Cmd": ["serve"]}, [0, 0]), ({"Labels": {}}, [2, 2])],
    ids=["that starts something", "that starts nothing"],
)
def test_a_builder_that_keeps_what_it_built_pushes_an_image_which_gets_its_tag_last(
    sandbox, folder, config, exit_codes
):
    docker = folder / "bin" / "docker"
    endpoint = sandbox.announcement["endpoint"]
    docker.write_text(
        BUILDER_THAT_KEEPS_IMAGES.format(python=sys.executable, config=config, endpoint=endpoint)
    )
    docker.chmod(0o755)
    path = f"{folder / 'bin'}:/usr/bin:/bin"
    runs = [deploy(sandbox, folder, "--context", ".", "--image-tag", "new", PATH=path) for _ in range(2)]
    assert [ran.exit_code for ran in runs] == exit_codes, runs[0].shown + runs[1].shown
    with sandbox.client("ecr") as ecr:
        images = ecr.describe_images(repositoryName="ki-rag-api")["imageDetails"]
    assert any("new" in each.get("imageTags", ()) for each in images) == (exit_codes[0] == 0)
    if exit_codes[0]:
        assert all("neither ENTRYPOINT nor CMD" in ran.shown for ran in runs)
        assert "an image without a tag was pushed to ki-rag-api" in runs[0].shown


BUILDER_THAT_ATTESTS = """#!{python}
import hashlib, json, sys
import boto3

asked = sys.argv[1:]
if asked[:2] == ["buildx", "version"]:
    print("github.com/docker/buildx v0.17.1 x")
elif asked[:2] == ["buildx", "inspect"]:
    print("Name:   b0\\nDriver: docker-container\\n\\nNodes:")
elif asked[:2] == ["image", "inspect"]:
    sys.exit(1)
elif asked[-1:] == ["--help"]:
    print("      --annotation a\\n      --sbom b\\n      --provenance c")
elif asked[:1] == ["info"]:
    print("/nowhere")
elif "--metadata-file" in asked:
    assert {{"--provenance=mode=max", "--sbom=true", "--annotation"}} <= set(asked), asked
    ecr = boto3.client("ecr", endpoint_url={endpoint!r}, region_name="eu-central-1",
                       aws_access_key_id="x", aws_secret_access_key="x")
    OCI = "application/vnd.oci.image"

    def put(manifest):
        text = json.dumps(manifest)
        digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        ecr.put_image(repositoryName="ki-rag-api", imageManifest=text, imageDigest=digest)
        return digest

    def manifest(size):
        return {{"schemaVersion": 2, "mediaType": f"{{OCI}}.manifest.v1+json", "config": {{"size": size}},
                 "layers": [{{"digest": "sha256:1", "size": size}}]}}

    children = [
        {{"mediaType": f"{{OCI}}.manifest.v1+json", "digest": put(manifest(number)),
          "platform": {{"os": system, "architecture": machine}}}}
        for number, (system, machine) in enumerate([("linux", "amd64"), ("unknown", "unknown")], 7)
    ]
    index = put({{"schemaVersion": 2, "mediaType": f"{{OCI}}.index.v1+json", "manifests": children}})
    with open(asked[asked.index("--metadata-file") + 1], "w") as file:
        json.dump({{"containerimage.digest": index}}, file)
"""


def test_attestations_make_an_index_which_gets_the_tag_is_deployed_and_compared(sandbox, folder):
    docker = folder / "bin" / "docker"
    endpoint = sandbox.announcement["endpoint"]
    docker.write_text(BUILDER_THAT_ATTESTS.format(python=sys.executable, endpoint=endpoint))
    docker.chmod(0o755)
    attested = ("--provenance", "mode=max", "--sbom", "--annotations", "index:a.b=c")
    path = f"{folder / 'bin'}:/usr/bin:/bin"
    ran = deploy(sandbox, folder, "--context", ".", "--image-tag", "new", *attested, PATH=path)
    assert ran.exit_code == 0, ran.shown
    assert ran.result["image_digest"] == _digest(sandbox, "new")
    with sandbox.client("ecr") as ecr:
        kinds = ["application/vnd.oci.image.index.v1+json"]
        asked = {"imageIds": [{"imageTag": "new"}], "acceptedMediaTypes": kinds}
        [image] = ecr.batch_get_image(repositoryName="ki-rag-api", **asked)["images"]
    assert [image["imageManifestMediaType"]] == kinds
    assert "not shown" not in ran.result["reason"], "what the tasks run was compared"


def test_the_layers_of_an_image_with_several_tags_are_found(sandbox, folder):
    assert push(sandbox, folder, "--image-tag", "v1", "--push-latest", "true").exit_code == 0
    ran = deploy(sandbox, folder, "--image", image("good"))
    assert "a warm GPU host pulls 2 MB, a fresh one 4.9 GB" in ran.shown


def test_image_and_context_exclude_each_other(sandbox, folder):
    ran = deploy(sandbox, folder, "--image", image("good"), "--context", ".")
    assert ran.exit_code == 2
    assert "something to build it from" in ran.shown


def test_deploy_takes_the_image_of_the_commit_and_weighs_its_layers(sandbox, folder):
    ran = deploy(sandbox, folder, "--context", ".", "--image-tag", "good", PATH=str(folder / "bin"))
    assert ran.exit_code == 0, ran.shown
    assert ran.result["image"] == image("good")
    sentence = "new layers 2 MB of 4.9 GB: a warm GPU host pulls 2 MB, a fresh one 4.9 GB"
    assert sentence in ran.shown
    assert "image-layers" in {finding["code"] for finding in ran.result["findings"]}


def test_a_lifecycle_policy_that_takes_a_running_image_is_warned_of(sandbox, folder):
    rule = {
        "rulePriority": 1,
        "description": "one",
        "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1},
        "action": {"type": "expire"},
    }
    with sandbox.client("ecr") as ecr:
        ecr.put_lifecycle_policy(
            repositoryName="ki-rag-api", lifecyclePolicyText=json.dumps({"rules": [rule]})
        )
    repository = get_backend("ecr")["123456789012"]["eu-central-1"].repositories["ki-rag-api"]
    for stored in repository.images:
        stored.image_pushed_at -= 1000 * ("v1" in stored.image_tags)
    ran = deploy(sandbox, folder, "--context", ".", "--image-tag", "good", PATH=str(folder / "bin"))
    assert ran.exit_code == 0, ran.shown
    messages = [f["message"] for f in ran.result["findings"] if f["code"] == "lifecycle-policy"]
    assert len(messages) == 1
    assert "ki-rag-api:v1 by its rule 1 (one)" in messages[0]
    assert "ki-rag-api:1, which runs, needs it" in messages[0]


def test_a_tag_of_which_aws_does_not_say_whether_it_moved(folder):
    world = default_world()
    world["faults"] = [{"operation": "ecr:PutImage", "where": "weekly", "error": "ServerException"}]
    with sandbox_thread(json.dumps(world)) as sandbox:
        flags = ("--image-tag=good", "--extra-tags=nightly\nweekly\nmonthly")
        ran = push(sandbox, folder, "--repository", "ki-rag-api", *flags)
    assert ran.exit_code == 3, ran.shown
    found = {each["code"]: each for each in ran.result["findings"]}
    assert found["tags-not-moved"]["message"] == (
        "AWS did not say whether it set a tag. Further tags of ki-rag-api: "
        "moved: nightly; not known: weekly; not moved: monthly."
    )
    assert {each["hint"].split(":")[0] for each in found.values() if each["hint"]} == {"Run the job again"}


@pytest.mark.parametrize(
    ("under_way", "moved", "stayed"),
    [(1, ["nightly"], ["weekly", "latest"]), (2, ["nightly", "weekly"], ["latest"])],
    ids=["the first", "the second"],
)
def test_a_push_cancelled_while_a_tag_moves_says_which_tags_are_there(folder, under_way, moved, stayed):
    """SIGTERM comes while AWS is asked to move that tag; the request is let end."""
    process, is_there = [], threading.Event()

    def cancel():
        assert is_there.wait(20)
        process[0].send_signal(signal.SIGTERM)

    before = ["DescribeRepositories", "DescribeImages", "BatchGetImage"] + ["PutImage"] * (under_way - 1)
    script = Script(numbered=[*(Toxic() for _ in before), Toxic(on_request=cancel, late=0.2)])
    flags = ("--image-tag=good", "--extra-tags=nightly\nweekly", "--push-latest=true")
    command = ["push", "--repository=ki-rag-api", *flags, "--result-file=result.json"]
    with sandbox_thread() as sandbox, toxic_proxy(sandbox.endpoint, []) as (address, toxics):
        toxics.begin(script)
        environment = {**clean_environment(sandbox), "AWS_ENDPOINT_URL": address}
        with started(command, folder, environment) as one:
            process.append(one)
            is_there.set()
            ended = one.wait(60)
        tags = {tag for tag in ("nightly", "weekly", "latest") if _has(sandbox, tag)}
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert ended.code == result["exit_code"] == 10, ended.shown
    [told] = [one["message"] for one in result["findings"] if one["code"] == "tags-not-moved"]
    assert told == (
        "The job was cancelled. Further tags of ki-rag-api: "
        f"moved: {', '.join(moved)}; not moved: {', '.join(stayed)}."
    )
    assert tags == set(moved)


def _has(sandbox, tag):
    with sandbox.client("ecr") as ecr:
        asked = {"repositoryName": "ki-rag-api", "imageIds": [{"imageTag": tag}]}
        return bool(ecr.batch_get_image(**asked)["images"])
