"""Answers that never come, requests that are throttled, jobs that are cancelled in the middle of one."""

import time

import pytest

from forked_program import forking_server
from kill_matrix import bench, run
from toxic_proxy import Script, Toxic

LOST, HALF = Toxic(cut_after=0), Toxic(cut_after=300)


@pytest.fixture(scope="module")
def server():
    with forking_server() as running:
        yield running


@pytest.fixture(scope="module")
def made(server):
    with bench(server) as running:
        yield running


@pytest.fixture
def place(made):
    made.sandbox.ask("DELETE", "faults")
    return made.place("deploy")


def once(operation, toxic):
    """Return the script that treats the first *operation* so."""
    return Script(once={operation: toxic})


def faults(made, *faults):
    status, answer = made.sandbox.ask("POST", "faults", list(faults))
    assert status == 200, answer


def codes(ran):
    return {finding["code"] for finding in ran.result["findings"]}


def done_since(made, before):
    return [call["operation"] for call in made.sandbox.calls()[before:] if call["status"] == 200]


def test_an_update_whose_answer_comes_too_late_for_a_cancelled_job_is_found_and_rolled_back(made, place):
    before = len(made.sandbox.calls())
    ran = run(
        made,
        place,
        "--on-cancel=rollback",
        script=lambda strike: once("UpdateService", Toxic(on_request=strike, delay=12)),
        signals="INT twice",
    )
    assert ran.exit_code == 10, ran.log
    assert ran.seconds < 10, ran.log
    assert "rollback-requested" in codes(ran)
    assert "StopServiceDeployment" in done_since(made, before)


@pytest.mark.parametrize("option", ["leave", "rollback"])
def test_an_update_that_nobody_knows_of_is_told_so_with_the_commands_to_look_and_to_go_back(
    option, made, place
):
    ran = run(
        made,
        place,
        f"--on-cancel={option}",
        script=lambda strike: once("UpdateService", Toxic(on_request=strike, late=12, lost=True)),
        signals="TERM",
    )
    assert ran.exit_code == 10, ran.log
    assert ran.seconds < 10, ran.log
    assert "is not known" in ran.result["reason"]
    assert "aws ecs describe-services --cluster" in ran.log
    assert "aws ecs update-service --cluster" in ran.log
    assert ("rollback-requested" in codes(ran)) == (option == "rollback")


def test_a_job_that_is_cancelled_while_a_revision_is_registered_claims_nothing(made, place):
    ran = run(
        made,
        place,
        script=lambda strike: once("RegisterTaskDefinition", Toxic(on_request=strike, late=12, lost=True)),
        signals="INT twice",
    )
    assert ran.exit_code == 10, ran.log
    assert ran.seconds < 10, ran.log
    assert "whether a revision was registered is not known" in ran.result["reason"]


@pytest.mark.parametrize("operation", ["RegisterTaskDefinition", "UpdateService"])
@pytest.mark.parametrize("toxic", [pytest.param(LOST, id="none"), pytest.param(HALF, id="half")])
def test_what_was_carried_out_but_never_answered_is_not_done_twice(operation, toxic, made, place):
    before, revisions = len(made.sandbox.calls()), place.revisions()
    ran = run(made, place, script=lambda _: once(operation, toxic))
    assert ran.exit_code == 0, ran.log
    assert done_since(made, before).count(operation) == 1
    assert place.revisions() == revisions + 1


@pytest.mark.parametrize("operation", ["RegisterTaskDefinition", "UpdateService"])
def test_what_never_came_to_aws_is_sent_again(operation, made, place):
    before = len(made.sandbox.calls())
    ran = run(made, place, script=lambda _: once(operation, Toxic(reset=True)))
    assert ran.exit_code == 0, ran.log
    assert done_since(made, before).count(operation) == 1


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        pytest.param("UpdateService", {"error": "ThrottlingException"}, id="UpdateService"),
        pytest.param(
            "RegisterTaskDefinition",
            {
                "error": "ClientException",
                "message": "Too many concurrent attempts to create a new revision of the specified family.",
            },
            id="RegisterTaskDefinition",
        ),
    ],
)
def test_a_throttled_change_gets_the_back_off_that_reads_get(operation, error, made, place):
    faults(made, {"operation": operation, "count": 6, **error})
    before = len(made.sandbox.calls())
    ran = run(made, place)
    assert ran.exit_code == 0, ran.log
    calls = [call for call in made.sandbox.calls()[before:] if call["operation"] == operation]
    assert [call["status"] for call in calls].count(200) == 1
    assert len(calls) == 7
    assert calls[-1]["at"] - calls[0]["at"] > 1


@pytest.mark.parametrize("operation", ["ListServiceDeployments", "DescribeServiceDeployments"])
def test_what_does_not_answer_costs_one_call_a_look_and_not_the_verdict(operation, made, place):
    faults(made, {"operation": operation, "error": "ServiceUnavailable", "skip": 1})
    before = len(made.sandbox.calls())
    ran = run(made, place)
    assert ran.exit_code == 0, ran.log
    looks = [c["at"] for c in made.sandbox.calls()[before:] if c["operation"] == operation][1:]
    assert len(looks) <= 2 * len(set(looks))


def test_a_revision_that_nobody_can_look_for_is_not_registered_again(made, place):
    revisions = place.revisions()
    faults(made, {"operation": "ListTaskDefinitions", "error": "ServiceUnavailable", "skip": 1})
    ran = run(made, place, script=lambda _: once("RegisterTaskDefinition", LOST))
    made.sandbox.ask("DELETE", "faults")
    assert ran.exit_code == 3, ran.log
    assert "is not known" in ran.result["reason"]
    assert place.revisions() == revisions + 1
    again = run(made, place, attempt=2)
    assert again.exit_code == 0, again.log
    assert place.revisions() == revisions + 1


def test_the_timeout_holds_at_one_byte_a_second(server):
    with bench(server, speed=1.0) as made:
        place = made.place("deploy")
        ran = run(
            made,
            place,
            "--timeout=6",
            "--poll-interval=1",
            "--ongoing=supersede",
            script=lambda _: Script(after="UpdateService", then=Toxic(drip=1.0)),
        )
        took = made.sandbox.now() - made.sandbox.calls("UpdateService")[0]["at"]
    assert ran.exit_code == 6, ran.log
    assert took < 6 + 10


@pytest.mark.parametrize("answered", [0, 3])
def test_the_timeout_holds_at_one_byte_a_second_before_the_wait_too(answered, made, place):
    slowly = [*[Toxic()] * answered, *[Toxic(drip=1.0)] * 100]
    began = time.monotonic()
    ran = run(made, place, "--timeout=4", script=lambda _: Script(numbered=slowly))
    assert time.monotonic() - began < 4 + 10
    assert ran.exit_code == 3, ran.log


def test_a_rollback_to_a_deregistered_revision_registers_it_once(made):
    made.sandbox.ask("DELETE", "faults")
    place = made.place("rollback")
    with made.sandbox.client() as ecs:
        ecs.deregister_task_definition(taskDefinition=f"{place.name}:1")
    first = run(
        made,
        place,
        "--to=1",
        script=lambda strike: once("TagResource", Toxic(on_request=strike)),
        signals="KILL",
    )
    assert first.exit_code == -9, first.log
    made.sandbox.advance(1800)
    revisions = place.revisions()
    again = run(made, place, "--to=1", attempt=2)
    assert again.exit_code == 0, again.log
    assert place.revisions() == revisions
    assert place.image_tag() == "v1"
