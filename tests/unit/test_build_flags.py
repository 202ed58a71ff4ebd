"""Flags that are passed on to the builder, and what each builder can do."""

import pytest

from ecs_gpu_deploy.core.image.build_flags import (
    Builder,
    build_flags,
    check_builder,
    flags_in_help,
    flags_of_push,
)
from ecs_gpu_deploy.errors import InvalidInput

HELP = """
Options:
      --add-host strings              Add a custom host-to-IP mapping (format: "host:ip")
      --no-cache                      Do not use cache when building the image
  -f, --file string                   Name of the Dockerfile (default: "PATH/Dockerfile")
                                      --not-a-flag
      --ssh stringArray               SSH agent socket or keys
"""
KNOWN = flags_in_help(HELP.splitlines())
BUILDX = Builder(name="buildx 0.13", is_buildx=True, known=KNOWN, attests=True)
PLAIN = Builder(name="plain Docker", known=KNOWN)


@pytest.mark.parametrize(
    ("line", "flag"),
    [
        ("--add-host=db:10.0.0.1", "--add-host=db:10.0.0.1"),
        ("--add-host db:10.0.0.1", "--add-host=db:10.0.0.1"),
        ("--no-cache", "--no-cache"),
        ('--ulimit "nofile=1024 2048"', "--ulimit=nofile=1024 2048"),
        ("-m 4g", "--memory=4g"),
        ("-m4g", "--memory=4g"),
        ("--shm-size=", "--shm-size="),
    ],
)
def test_a_flag_is_handed_on_in_one_word(line, flag):
    assert build_flags([line]) == (flag,)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--tag x:1", "Use the inputs image-tag and extra-tags."),
        ("-t=x:1", "build-options has --tag"),
        ("-tx:1", "build-options has --tag"),
        ("-otype=registry", "build-options has --output"),
        ("--tag x --push", "build-options has --tag"),
        ('--build-arg TOKEN "s3cret', "Use the input build-args."),
        ("'--secret id=a", "the inputs build-secrets"),
        ("--arch arm64", "the input platforms"),
        ("--creds user:pw", "the program logs in by itself"),
        ("--manifest x", "where the image goes is this program's part"),
        ("--logfile=x", "reads the builder's progress"),
        ("--push", "where the image goes is this program's part"),
        ("-o type=local,dest=x", "build-options has --output"),
        ("--progress=tty", "reads the builder's progress"),
        ("--check", "with it nothing is built"),
        ("--attest type=sbom", "the inputs provenance and sbom"),
        ("--builder big", "the environment variable BUILDX_BUILDER"),
        ("no-cache", "the line 'no-cache', which is no flag"),
        ("--no-cache --pull", "build-options has the line"),
        ("--add-host=a:1 b:2", "more than one flag and its value"),
        ('--add-host "a', "cannot be split"),
        ("ghp_0123456789012345678901", "the line '***', which is no flag"),
    ],
)
def test_what_is_no_flag_for_the_builder_alone_is_refused(line, says):
    with pytest.raises(InvalidInput) as caught:
        check_builder(BUILDX, {}, build_flags([line]))
    assert says in str(caught.value)


def test_the_push_does_not_build_anew():
    flags = ("--no-cache", "--pull", "--no-cache-filter=a", "--add-host=a:1")
    assert flags_of_push(flags) == ("--add-host=a:1",)


def test_the_help_names_the_flags():
    assert {"add-host", "no-cache", "file", "ssh"} == KNOWN


@pytest.mark.parametrize(
    ("builder", "wanted", "flags", "says"),
    [
        (PLAIN, {"sbom": "sbom"}, (), "sbom is given, and plain Docker makes no attestations"),
        (PLAIN, {"build-context": "build-contexts"}, (), "has no --build-context: it needs buildx"),
        (BUILDX, {"annotation": "annotations"}, (), "has no --annotation: a newer one is needed"),
        (PLAIN, {}, ("--allow=x",), "plain Docker does not know: it needs buildx."),
        (BUILDX, {}, ("--allow=x",), "Use a newer buildx"),
        (BUILDX, {}, ("--memory=4g",), "other builders have it"),
        (BUILDX, {}, ("--add-hosts=4g",), "Did you mean --add-host?"),
        (BUILDX, {}, ("--xyz",), "Write one flag of"),
    ],
)
def test_what_a_builder_cannot_do_is_said_with_what_is_needed(builder, wanted, flags, says):
    with pytest.raises(InvalidInput) as caught:
        check_builder(builder, wanted, flags)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("builder", "wanted", "flags"),
    [
        (BUILDX, {"ssh": "ssh"}, ("--no-cache",)),
        (PLAIN, {"ssh": "ssh"}, ()),
        (Builder(name="silent"), {"annotation": "annotations"}, ("--whatever",)),
    ],
    ids=["buildx", "plain", "a client that shows no help"],
)
def test_what_it_can_do_passes(builder, wanted, flags):
    check_builder(builder, wanted, flags)
