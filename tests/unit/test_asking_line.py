"""An error stands at the line of the workflow that asked for the run, or at none."""

import io

import pytest

from ecs_gpu_deploy.core.show.asking_line import asking_line
from ecs_gpu_deploy.edges.ci.github import GitHub

ONE = """\
on: push
jobs:
  test:
    steps:
      - uses: org/ecs-gpu-deploy@v1
  deploy:
    steps:
      - uses: actions/checkout@v5
      - name: Deploy
        uses: org/ecs-gpu-deploy@v1
        with: {service: rag}
"""
TWO = ONE + "      - id: back\n        uses: org/ecs-gpu-deploy@0123abc # v1.2.3\n"
CALLS = """\
jobs:
  ship:
    uses: org/ecs-gpu-deploy/.github/workflows/deploy.yml@v1
"""
SHELL = "jobs:\n  deploy:\n    steps:\n      - run: |\n          cd x && ecs-gpu-deploy deploy -x\n"


@pytest.mark.parametrize(
    ("workflow", "step", "repository", "line"),
    [
        (ONE, "__org_ecs-gpu-deploy", "", 10),
        (TWO, "back", "", 13),
        (TWO, "__org_ecs-gpu-deploy", "", 10),
        (TWO.replace("id: back", "name: Back"), "__org_ecs-gpu-deploy", "", None),
        (ONE, "__run", "", None),
        (ONE, "smoke", "", None),
        (ONE, "__self", "", None),
        (ONE, "", "", 10),
        (TWO.replace("- name: Deploy", "- id: there"), "smoke", "", None),
        (CALLS, "run", "", 3),
        (SHELL, "__run", "", 4),
        (ONE.replace("org/ecs-gpu-deploy", "me/renamed"), "__me_renamed", "me/renamed", 10),
        (ONE.replace("org/ecs-gpu-deploy", "me/renamed"), "x", "", None),
        (ONE.replace("org/ecs-gpu-deploy", "org/not-ecs-gpu-deploy"), "x", "", None),
        ("jobs: {deploy: {steps: {a: 1}}}", "x", "", None),
        ("jobs: [1, 2]\n", "x", "", None),
        ("- &a [*a]\n", "x", "", None),
        ("[" * 5000, "x", "", None),
        ("a: b: c", "x", "", None),
        ("\0", "x", "", None),
        ("", "x", "", None),
    ],
    ids=[
        "the job's only step with the action",
        "of two the one with the step's id",
        "of two the one without an id",
        "which of two is not known",
        "a script that runs the program beside the action's step",
        "another step, by its id",
        "an action of the checkout that uses it",
        "a step that nobody names",
        "a step that has another id than both",
        "a call of a reusable workflow",
        "the program on the command line",
        "an action of another name that GitHub tells",
        "which nobody tells",
        "another action",
        "steps that are none",
        "jobs that are none",
        "an alias of itself",
        "endless nesting",
        "no YAML",
        "no text",
        "nothing",
    ],
)
def test_the_line(workflow, step, repository, line):
    assert asking_line(workflow, job="deploy", step=step, repository=repository) == line


def _annotated(folder, **environment):
    stream = io.StringIO()
    here = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_REPOSITORY": "acme/rag",
        "GITHUB_WORKFLOW_REF": "acme/rag/.github/workflows/ship.yml@refs/heads/main",
        "GITHUB_WORKSPACE": str(folder),
        "GITHUB_JOB": "deploy",
        "GITHUB_ACTION": "__org_ecs-gpu-deploy",
    }
    GitHub({**here, **environment}, stream, stream).annotate("error", "x", title="a,b")
    return stream.getvalue()


def test_the_annotation_names_file_and_line(tmp_path):
    file = tmp_path / ".github" / "workflows" / "ship.yml"
    file.parent.mkdir(parents=True)
    assert _annotated(tmp_path) == "::error title=a%2Cb::x\n", "no checkout"
    file.write_text(ONE, encoding="utf-8")
    assert _annotated(tmp_path) == "::error file=.github/workflows/ship.yml,line=10,title=a%2Cb::x\n"
    other = "acme/rag/.github/workflows/../../ship.yml@x"
    assert _annotated(tmp_path, GITHUB_WORKFLOW_REF=other) == "::error title=a%2Cb::x\n"
    theirs = "other/rag/.github/workflows/ship.yml@x"
    assert _annotated(tmp_path, GITHUB_WORKFLOW_REF=theirs) == "::error title=a%2Cb::x\n"
    file.write_bytes(b"\xff\xfe" + b"#" * 700_000)
    assert _annotated(tmp_path) == "::error title=a%2Cb::x\n", "a huge file of no text"
    file.unlink()
    file.mkdir()
    assert _annotated(tmp_path) == "::error title=a%2Cb::x\n", "a folder"
