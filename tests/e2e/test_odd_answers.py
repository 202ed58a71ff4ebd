"""Answers that AWS never means: no run ends as a bug, and none is told another verdict than the true one.

Here one run of three; `make reliability` does all, and writes the counts into docs/reliability.md.
"""

import json

import pytest
from scripted_aws import serve
from scripted_run import run
from scripted_state import State
from scripted_worlds import DEFAULTS, merged

from odd_answers import WORLDS, Odd, always_odd, once_odd


@pytest.mark.parametrize(
    ("of", "counts", "least"),
    [
        pytest.param("once", once_odd, 300, id="each answer is odd once"),
        pytest.param("always", always_odd, 15, id="an operation answers oddly from beginning to end"),
    ],
)
def test_an_odd_answer_makes_no_verdict(of, counts, least, capsys):
    found = counts(every=3)
    with capsys.disabled():
        print(f"\nodd answers ({of}): {found.answers} in {found.runs} runs, exits {dict(found.codes)}")
    assert not found.wrongs, "\n".join(found.wrongs)
    assert found.codes[1] == 0
    assert found.answers >= least


@pytest.mark.parametrize(
    ("operation", "how"),
    [
        ("UpdateService", "html"),
        ("UpdateService", "empty"),
        ("DescribeServices", "half"),
        ("DescribeTasks", "list"),
    ],
)
def test_a_process_gets_odd_answers_and_tells_the_truth(operation, how, tmp_path):
    world = merged(DEFAULTS, {"world": how, "service": {"lb": True, "dereg": 30}, **WORLDS["well"]})
    odd, given = Odd(service="ecs", operation=operation, how=how), []

    def mangled(asked, answer):
        if asked.operation != operation or given:
            return answer
        given.append(odd)
        return odd.made_of(answer)

    with serve(State(world)) as aws:
        aws.mangled = mangled
        ended = run(aws, world, tmp_path)
    assert given
    assert ended.code == 0, ended.shown
    assert "Traceback" not in ended.shown
    assert [call.operation for call in aws.calls].count("UpdateService") == 1


def test_an_image_that_an_empty_answer_does_not_show_is_not_called_missing(tmp_path):
    world = merged(DEFAULTS, {"world": "empty", "service": {"lb": True, "dereg": 30}, **WORLDS["well"]})
    with serve(State(world)) as aws:
        aws.mangled = lambda asked, answer: (
            json.dumps({"imageDetails": []}).encode() if asked.operation == "DescribeImages" else answer
        )
        ended = run(aws, world, tmp_path)
    assert ended.code == 0, ended.shown
    assert "is not in ECR" not in ended.shown
    assert "could not be checked" in ended.shown
