"""docs/ci: what stands in each page's blocks is run, by a shell as the CI would, against the sandbox."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from program import image
from sandbox_process import clean_environment, sandbox_thread

PAGES = Path(__file__).parents[2] / "docs" / "ci"
SHA = "0123456789abcdef0123456789abcdef01234567"
VARIABLES = {
    **dict.fromkeys(("CI_COMMIT_SHA", "GIT_COMMIT", "CODEBUILD_RESOLVED_SOURCE_VERSION"), SHA),
    "CLUSTER": "ki-cluster",
    "SERVICE": "ki-rag-api",
    "CI_PIPELINE_ID": "7",
    "REPOSITORY_URI": image("x").rpartition(":")[0],
}
PROGRAM = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m ecs_gpu_deploy "$@"\n'
AS_IMAGE = """#!/bin/sh
while [ $# -gt 0 ] && [ "$1" != registry.example.com/ecs-gpu-deploy:1 ]; do shift; done
shift; exec ecs-gpu-deploy "$@"
"""


def _blocks(page, language):
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def _commands():
    """Yield page and command line for each that starts the program or its image."""
    lines = []
    (gitlab,) = _blocks("gitlab", "yaml")
    for job in yaml.safe_load(gitlab).values():
        lines += [("gitlab", line) for line in (job.get("script", ()) if isinstance(job, dict) else ())]
    whole, part = _blocks("codebuild", "yaml")
    lines += [("codebuild", line) for line in yaml.safe_load(whole)["phases"]["build"]["commands"]]
    lines += [("codebuild", line) for line in yaml.safe_load(part)]
    (jenkins,) = _blocks("jenkins", "groovy")
    steps = re.findall(r"sh (?:'''(.*?)'''|'(.*?)')", jenkins, re.DOTALL)
    lines += [("jenkins", (long or short).replace("\\\n", " ")) for long, short in steps]
    for page, line in lines:
        if re.search(r"ecs-gpu-deploy(?::1)? (?:push|deploy)", line):
            yield pytest.param(" ".join(line.split()), id=f"{page}-{len(line)}")


@pytest.mark.parametrize("line", [*_commands()])
def test_a_block_runs(tmp_path, line):
    for name, text in {"ecs-gpu-deploy": PROGRAM, "docker": AS_IMAGE}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    with sandbox_thread() as sandbox:
        with sandbox.client("ecr") as ecr:
            wanted = {"repositoryName": "ki-rag-api", "imageIds": [{"imageTag": "good"}]}
            (found,) = ecr.batch_get_image(**wanted)["images"]
            ecr.put_image(repositoryName="ki-rag-api", imageManifest=found["imageManifest"], imageTag=SHA)
        variables = clean_environment(sandbox, **VARIABLES, GITHUB_SHA=SHA)
        script = re.sub(r"\S*/bin/ecs-gpu-deploy", "ecs-gpu-deploy", line)
        ran = subprocess.run(
            ["sh", "-ec", f"{script} --result-file told.json"],
            cwd=tmp_path,
            env={**variables, "PATH": f"{tmp_path}:{variables['PATH']}"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert json.loads((tmp_path / "told.json").read_text())["outcome"] == "succeeded"


def test_every_page_has_commands():
    assert {each.id.partition("-")[0] for each in _commands()} == {"gitlab", "codebuild", "jenkins"}
    assert len([*_commands()]) >= 6
