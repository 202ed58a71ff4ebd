"""Twenty rows of a service's history: who did each deployment, in which run, what it was and why."""

import json

import pytest

from program import image
from program_here import run_here
from sandbox_process import clean_environment, sandbox_thread
from worlds import default_world

SERVICE = ("--cluster=ki-cluster", "--service=ki-rag-api")
NAME = {"cluster": "ki-cluster", "service": "ki-rag-api"}
NOBODY = "not recorded"
SERVER = "https://github.com/acme/rag/actions/runs"


def _world():
    world = default_world()
    [service] = world["services"]
    service["desiredCount"] = 1
    del service["loadBalancers"], service["healthCheckGracePeriodSeconds"]
    for each in world["images"]:
        each["load_seconds"] = None if each["image"].endswith(":bad") else 5
        each["layers"] = [{"name": each["image"], "mb": 10}]
    return json.dumps(world)


class _Day:
    """A day of deployments: each step says what its row must tell."""

    def __init__(self, sandbox, folder):
        self.sandbox, self.folder, self.rows, self.runs = sandbox, folder, [], 0

    def program(self, actor, *arguments, revision, kind="", outcome="succeeded", why="", by=None):
        """Run the program as *actor*; the row tells of that run, or of *by*."""
        self.runs += 1
        job = {
            "GITHUB_TRIGGERING_ACTOR": actor,
            "GITHUB_REPOSITORY": "acme/rag",
            "GITHUB_RUN_ID": str(self.runs),
        }
        code, shown = run_here([*arguments, *SERVICE], clean_environment(self.sandbox, **job), self.folder)
        assert code == {"succeeded": 0, "rolled back": 5}[outcome], shown
        self.rows.append((revision, kind or "deploy", actor, f"{SERVER}/{self.runs}", why, outcome))

    def console(self, revision, *, kind, force=False, seconds=400, outcome="succeeded", why=""):
        """Update the service as nobody who leaves a word would."""
        with self.sandbox.client() as ecs:
            ecs.update_service(**NAME, taskDefinition=f"ki-rag-api:{revision}", forceNewDeployment=force)
        self.sandbox.advance(seconds)
        self.rows.append((revision, kind, NOBODY, "", why, outcome))

    def image(self, tag):
        """Return the flags that deploy an image."""
        return ["deploy", f"--image={image(tag)}"]

    def history(self, *flags):
        """Return the exit code, what is shown, and the result of history."""
        arguments = ["history", *SERVICE, "--result-file=result.json", *flags]
        code, shown = run_here(arguments, clean_environment(self.sandbox), self.folder)
        assert code == 0, shown
        return shown, json.loads((self.folder / "result.json").read_text(encoding="utf-8"))


def _rows(result):
    return [
        (
            int(row["task_definition_arn"].rpartition(":")[2]),
            *(row[name] for name in ("kind", "by", "run_url", "why", "outcome")),
        )
        for row in reversed(result["history"])
    ]


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    """Give a day of twenty-one deployments: the world's first one, and those of people and programs."""
    with sandbox_thread(_world()) as sandbox:
        day = _Day(sandbox, tmp_path_factory.mktemp("day"))
        day.rows.append((1, "deploy", "user/moto", "", "", "succeeded"))
        day.program("ann", *day.image("good"), revision=2)
        day.program(
            "bob",
            "rollback",
            "--to=previous",
            "--reason=slow answers",
            revision=1,
            kind="rollback",
            why="slow answers",
        )
        day.program("cyd", *day.image("good"), revision=2)
        day.console(1, kind="rollback")
        day.console(1, kind="redeploy", force=True)
        day.program("dan", "deploy", "--task-definition=ki-rag-api:1", revision=1, kind="redeploy")
        day.program("eve", "rollback", "--to=2", revision=2, kind="rollback")
        day.program("ann", *day.image("bad"), revision=3, outcome="rolled back")
        day.console(2, kind="redeploy", force=True)
        day.program("bob", *day.image("v1"), "--environment=A=1", revision=4)
        day.console(2, kind="rollback")
        day.program(
            "fay",
            "rollback",
            "--to=1",
            "--reason=the night shift asked: v1, now",
            revision=1,
            kind="rollback",
            why="the night shift asked: v1_ now",
        )
        day.console(4, kind="rollback")
        day.program("gil", *day.image("good"), "--environment=A=2", revision=5)
        day.program("hal", *day.image("good"), "--environment=A=2", revision=5, kind="redeploy")
        day.console(3, kind="redeploy", seconds=3600, outcome="rolled back")
        day.program(
            "ida",
            "rollback",
            "--to=4",
            "--reason=A=2 was wrong",
            revision=4,
            kind="rollback",
            why="A=2 was wrong",
        )
        day.console(5, kind="rollback")
        day.program("ann", *day.image("good"), "--environment=A=3", revision=6)
        day.program("jo", "rollback", "--to=previous", revision=5, kind="rollback")
        yield day


def test_each_of_twenty_rows_says_who_did_this_deployment(day):
    _, result = day.history("--all")
    found = _rows(result)
    wrong = [
        (number, is_so, told)
        for number, (is_so, told) in enumerate(zip(day.rows, found, strict=True))
        if is_so != told
    ]
    assert len(found) >= 20
    assert wrong == []


def test_the_table_marks_rollbacks_and_what_is_not_recorded(day):
    shown, _ = day.history("--limit=5")
    rows = [line.split() for line in shown.splitlines() if "ki-rag-api:" in line and "succeeded" in line]
    assert len(rows) >= 4
    text = "\n".join(" ".join(row) for row in rows)
    assert "rollback succeeded" in text
    assert "not recorded" in text
    assert "A=2 was wrong" in text


def test_of_a_list_that_is_cut_off_nobody_is_named_on_a_guess(day):
    """The newest row of a revision whose first deployment may lie before the list is nobody's."""
    _, result = day.history("--limit=3")
    oldest, *rest = day.rows[-3:]
    assert _rows(result) == [(oldest[0], "", *oldest[2:]), *rest]


def test_an_image_that_is_gone_is_not_the_previous_good_one(day):
    with day.sandbox.client("ecr") as ecr:
        ecr.batch_delete_image(repositoryName="ki-rag-api", imageIds=[{"imageTag": "v1"}])
    _, result = day.history("--all")
    [before] = [row for row in result["history"] if row["role"] == "previous"]
    assert (before["task_definition_arn"].rpartition(":")[2], before["in_ecr"]) == ("4", "gone")
    assert (
        "an image of ki-rag-api:4, which ran before, is gone; the previous good one is ki-rag-api:2"
        in result["reason"]
    )
    assert result["previous_task_definition_arn"].endswith(":2")


def test_a_service_does_not_run_what_is_being_deployed(day):
    with day.sandbox.client() as ecs:
        ecs.update_service(
            cluster="ki-cluster", service="ki-rag-api", taskDefinition="ki-rag-api:1", forceNewDeployment=True
        )
    _, result = day.history("--limit=5")
    assert result["history"][0]["outcome"] == "in progress"
    assert result["reason"].startswith("ki-rag-api is being deployed to ki-rag-api:1")
