"""What a container logs is shown as text: no terminal, runner, Markdown viewer or reader executes it."""

import re

import pytest
import yaml

from program import deploy, image
from sandbox_process import sandbox_thread
from worlds import default_world

HOSTILE = [
    "\x1b[2J\x1b]0;title\x07\x1b[31mred",
    "::error title=forged::the deployment succeeded",
    "   ::set-output name=outcome::succeeded",
    "##[error]forged",
    "::stop-commands::pause",
    "</details></pre><script>alert(1)</script><img src=x onerror=alert(1)>",
    "```",
    "# [click](https://evil.example) ![x](https://evil.example/x.png) @team",
    "left \u202e right \u200b zero",
    "x" * 200_000,
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate <b>3.5 GiB</b> ``` ::error::x",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    world = default_world()
    world["images"].append(
        {
            "image": "ki-rag-api:hostile",
            "load_seconds": None,
            "exit_code": 1,
            "exit_after": 20,
            "logs": [{"after": 10, "text": line} for line in HOSTILE],
        }
    )
    with sandbox_thread(yaml.safe_dump(world)) as sandbox:
        yield (
            deploy(
                sandbox,
                folder,
                "--image",
                image("hostile"),
                GITHUB_ACTIONS="true",
                GITHUB_STEP_SUMMARY=str(folder / "summary.md"),
                GITHUB_OUTPUT=str(folder / "output"),
            ),
            (folder / "summary.md").read_text(encoding="utf-8"),
        )


def test_the_cause_is_found_all_the_same(run):
    assert run[0].exit_code == 5
    assert [d["code"] for d in run[0].result["diagnoses"]] == ["cuda-out-of-memory"]


def test_the_runner_sees_no_command_but_ours(run):
    commands = {line.split("::")[1].split(" ")[0] for line in run[0].shown.splitlines() if "::" in line[:4]}
    assert commands <= {"add-mask", "group", "endgroup", "error"}
    assert sum(line.startswith("::error ") for line in run[0].shown.splitlines()) == 1
    assert "##[" not in run[0].shown


def test_the_terminal_sees_no_escape_and_no_endless_line(run):
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202e]", run[0].shown)
    assert max(map(len, run[0].shown.splitlines())) < 5000


def test_the_summary_keeps_foreign_text_inside_its_fences(run):
    outside, fence = [], ""
    for line in run[1].splitlines():
        run_of_ticks = re.match(r"`{3,}", line)
        if fence and line == fence:
            fence = ""
        elif not fence and run_of_ticks:
            fence = run_of_ticks[0]
        elif not fence:
            outside.append(re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", line))
    assert not fence
    assert not re.search(r"<(?!details>|/details>|summary>|/summary>|!-- -->)", "\n".join(outside))
    assert "evil" not in "\n".join(outside)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u200b\u202e]", run[1])
