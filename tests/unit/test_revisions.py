"""Revision ↔ image ↔ commit: what `--to` means, what ran before, and what tags carry."""

import pytest

from ecs_gpu_deploy.core.definition.diff import identical
from ecs_gpu_deploy.core.definition.provenance import (
    PREFIX,
    Provenance,
    tag_value,
    tags_of,
    told_by,
    with_provenance,
    without_provenance,
)
from ecs_gpu_deploy.core.image.stored_image import StoredImage
from ecs_gpu_deploy.core.past.past_deployments import (
    commit_url,
    history_markdown,
    history_table,
    past_deployments,
    previous_good,
)
from ecs_gpu_deploy.core.past.retention import superfluous
from ecs_gpu_deploy.core.past.revisions import (
    Revision,
    Rollout,
    TargetKind,
    TargetWish,
    commit_of_image,
    failed_before,
    known_revisions,
    lineage_of,
    of_commit,
    of_digest,
    of_tag,
    previous_by_tags,
    revision_told,
    target_from,
)
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.model import ServiceDeploymentStatus

ARN = "arn:aws:ecs:eu-central-1:123456789012:task-definition/rag"
SHA = "4f2a9c1d8e7b6a5f4e3d2c1b0a9f8e7d6c5b4a39"
DIGEST = "sha256:" + "ab" * 32


def _rollout(number, status="SUCCESSFUL", *, at, tag="", digest=""):
    return Rollout(
        arn=f"d{at}",
        task_definition=f"{ARN}:{number}",
        status=ServiceDeploymentStatus(status),
        created_at=float(at),
        images={"rag": f"repo/rag:{tag or f'v{number}'}"},
        digests={"rag": digest} if digest else {},
    )


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("previous", TargetKind.PREVIOUS, "previous"),
        (" Previous ", TargetKind.PREVIOUS, "previous"),
        ("42", TargetKind.REVISION, "42"),
        ("rag:42", TargetKind.REVISION, "rag:42"),
        (f"{ARN}:42", TargetKind.REVISION, f"{ARN}:42"),
        (SHA, TargetKind.COMMIT, SHA),
        (SHA[:7].upper(), TargetKind.COMMIT, SHA[:7]),
        ("1234567", TargetKind.COMMIT, "1234567"),
        (DIGEST, TargetKind.DIGEST, DIGEST),
        (DIGEST[:20], TargetKind.DIGEST, DIGEST[:20]),
        ("v1.4.1", TargetKind.TAG, "v1.4.1"),
        ("Main", TargetKind.TAG, "Main"),
        ("4f2a9c", TargetKind.TAG, "4f2a9c"),
        ("0", TargetKind.TAG, "0"),
    ],
)
def test_what_to_means(text, kind, value):
    assert target_from(text) == TargetWish(kind=kind, text=value)


@pytest.mark.parametrize(
    "text", ["-1", "rag:0", "sha256:xyz", "sha256:12", "rag:latest", ".v1", "x" * 129, ""]
)
def test_what_to_cannot_mean_is_refused_with_the_forms_that_it_can(text):
    with pytest.raises(InvalidInput) as caught:
        target_from(text)
    assert "commit SHA" in caught.value.hint


@pytest.mark.parametrize(
    ("rollouts", "runs", "wanted"),
    [
        ([_rollout(2, at=2), _rollout(1, at=1)], 2, 1),
        ([_rollout(3, "ROLLBACK_SUCCESSFUL", at=3), _rollout(2, at=2), _rollout(1, at=1)], 2, 1),
        ([_rollout(2, at=4), _rollout(2, at=3), _rollout(1, at=1)], 2, 1),
        ([_rollout(2, at=4), _rollout(3, at=3), _rollout(2, at=2), _rollout(1, at=1)], 2, 1),
        ([_rollout(1, at=3), _rollout(2, at=2), _rollout(1, at=1)], 1, None),
        ([_rollout(3, at=5), _rollout(2, at=4), _rollout(3, at=3), _rollout(2, at=2)], 3, 2),
        ([_rollout(1, "IN_PROGRESS", at=3), _rollout(2, at=2), _rollout(1, at=1)], 1, None),
        ([_rollout(4, at=4), _rollout(1, at=3), _rollout(2, at=2), _rollout(1, at=1)], 4, 1),
        ([_rollout(3, "IN_PROGRESS", at=3), _rollout(2, at=2), _rollout(1, at=1)], 3, 2),
        ([_rollout(3, "STOPPED", at=3), _rollout(2, at=2)], 3, 2),
        ([_rollout(1, at=1)], 1, None),
        ([_rollout(3, at=3), _rollout(2, "STOPPED", at=2), _rollout(1, "ROLLBACK_FAILED", at=1)], 3, None),
        ([], 1, None),
    ],
    ids=[
        "the one before",
        "what was rolled back is passed over",
        "the same revision deployed again is no other one",
        "after a rollback it is what ran before both",
        "after a rollback to the first there is none",
        "rolled forward again by name, it is where it was before",
        "a rollback that is ongoing is one already",
        "what was left by a rollback is passed over later too",
        "while one is ongoing, the last good one",
        "after one that failed and stayed, the last good one",
        "there is none before the first",
        "what never succeeded is none",
        "nothing is known",
    ],
)
def test_previous_is_the_newest_before_the_current_one_that_succeeded(rollouts, runs, wanted):
    found = lineage_of(rollouts, f"{ARN}:{runs}").previous
    assert (found.task_definition if found else None) == (f"{ARN}:{wanted}" if wanted else None)


def test_the_current_rollout_is_the_newest_that_succeeded_with_what_runs():
    rollouts = [_rollout(3, "ROLLBACK_SUCCESSFUL", at=3), _rollout(2, at=2), _rollout(2, at=1)]
    found = lineage_of(rollouts, f"{ARN}:2").current
    assert found is not None
    assert found.arn == "d2"


A, B = "sha256:" + "aa" * 32, "sha256:" + "bb" * 32


@pytest.mark.parametrize(
    ("rollouts", "runs", "told_from", "left", "previous"),
    [
        ([_rollout(1, at=2, digest=B), _rollout(1, at=1, digest=A)], 1, "", None, "d1"),
        ([_rollout(1, at=3, digest=A), _rollout(1, at=2, digest=B), _rollout(1, at=1, digest=A)],
         1, "", "d2", None),
        ([_rollout(1, at=3, digest=B), _rollout(1, at=2, digest=B), _rollout(1, at=1)], 1, "", None, None),
        ([_rollout(2, at=4), _rollout(3, at=3), _rollout(2, at=2), _rollout(1, at=1)], 2, "", "d3", "d1"),
        ([_rollout(2, at=5), _rollout(2, at=4), _rollout(3, at=3), _rollout(2, at=2)], 2, "", "d3", None),
        ([_rollout(3, at=5), _rollout(2, at=4), _rollout(3, at=3), _rollout(2, at=2)], 3, "", None, "d4"),
        ([_rollout(2, at=3, digest=A), _rollout(1, at=2, digest=B), _rollout(1, at=1, digest=A)],
         2, "rag:1", "d2", None),
        ([_rollout(2, at=3, digest=A), _rollout(1, at=2, digest=B), _rollout(1, at=1, digest=A)],
         2, "", None, "d2"),
        ([_rollout(3, "ROLLBACK_SUCCESSFUL", at=3), _rollout(2, at=2), _rollout(1, at=1)],
         2, "rag:3", "d3", "d1"),
        ([_rollout(3, "ROLLBACK_SUCCESSFUL", at=3), _rollout(2, at=2), _rollout(1, at=1)],
         2, "", None, "d1"),
        ([_rollout(2, at=2), _rollout(1, at=1)], 1, "", "d2", None),
        ([], 1, "rag:2", None, None),
    ],
    ids=[
        "the same revision ran another digest before",
        "the old digest of the same revision runs again",
        "a digest that is not known is no other one",
        "rolled back from 3 to 2",
        "rolled back, and deployed anew since",
        "rolled forward again by name is no way back",
        "registered again for the old digest, and its tags tell",
        "a new revision, and no tag tells",
        "a deployment that we stopped, and the tags tell",
        "one that AWS rolled back itself",
        "the deployment that went back is not listed",
        "nothing is listed",
    ],
)  # fmt: skip
def test_what_was_left_by_a_rollback_is_no_previous_one(rollouts, runs, told_from, left, previous):
    found = lineage_of(rollouts, f"{ARN}:{runs}", told_from=told_from)
    assert (found.left.arn if found.left else None) == left
    assert (found.previous.arn if found.previous else None) == previous


@pytest.mark.parametrize(
    ("rollouts", "wanted"),
    [
        ([_rollout(2, "ROLLBACK_SUCCESSFUL", at=2), _rollout(1, at=1)], "d2"),
        ([_rollout(2, "STOPPED", at=3), _rollout(2, "ROLLBACK_FAILED", at=2)], "d3"),
        ([_rollout(2, "ROLLBACK_SUCCESSFUL", at=3), _rollout(2, at=2)], None),
        ([_rollout(2, "ROLLBACK_SUCCESSFUL", at=3, digest=B)], None),
        ([_rollout(2, "IN_PROGRESS", at=3)], None),
        ([_rollout(1, at=1)], None),
    ],
    ids=[
        "rolled back",
        "the newest",
        "it succeeded once",
        "with another digest",
        "ongoing",
        "never deployed",
    ],
)
def test_a_revision_failed_before_where_no_deployment_of_it_ended_well(rollouts, wanted):
    found = failed_before(rollouts, f"{ARN}:2", {"rag": A})
    assert (found.arn if found else None) == wanted


def test_tags_that_say_good_win_over_newer_ones_that_do_not():
    revisions = [
        revision_told(f"{ARN}:4", {"commit": "c4"}),
        revision_told(f"{ARN}:3", {"commit": "c3", "succeeded": "2026-01-01T00:00:00Z rag"}),
        revision_told(f"{ARN}:6", {"commit": "c6", "succeeded": "2026-01-01T00:00:00Z rag"}),
    ]
    assert previous_by_tags(revisions, 5) == revisions[1]
    assert previous_by_tags(revisions[:1], 5) == revisions[0]
    assert previous_by_tags([revision_told(f"{ARN}:4", {})], 5) is None


@pytest.mark.parametrize(
    ("image", "commit"),
    [
        (f"repo/rag:{SHA}", SHA),
        ("repo/rag:4f2a9c1", "4f2a9c1"),
        ("repo/rag:main-4f2a9c1d", "4f2a9c1d"),
        ("repo/rag:v1.2.3", ""),
        ("repo/rag:20261123", ""),
        ("repo/rag:latest", ""),
        ("repo/rag", ""),
        ("localhost:5000/rag", ""),
        (f"repo/rag:4f2a9c1@{DIGEST}", "4f2a9c1"),
    ],
)
def test_the_commit_in_an_images_tag(image, commit):
    assert commit_of_image(image) == commit


def test_a_commit_is_found_by_its_prefix_in_tags_and_images():
    known = known_revisions(
        [_rollout(2, at=2, tag="4f2a9c1d"), _rollout(1, at=1, digest=DIGEST)],
        [revision_told(f"{ARN}:1", {"commit": SHA.replace("4f2a", "beef")})],
    )
    assert of_commit(known, "4f2a9c1").known.number == 2
    assert of_commit(known, "4f2a9c1d8e7b").known.number == 2
    assert of_commit(known, "beef9c1").known.number == 1


def test_the_same_commit_deployed_twice_means_the_one_that_succeeded():
    known = known_revisions(
        [_rollout(3, "ROLLBACK_SUCCESSFUL", at=3, tag="4f2a9c1d"), _rollout(2, at=2, tag="4f2a9c1d")], []
    )
    assert of_commit(known, "4f2a9c1").known.number == 2


def test_a_commit_of_several_revisions_is_named_with_all_of_them():
    known = known_revisions(
        [_rollout(3, at=3, tag="4f2a9c1d"), _rollout(2, at=2, tag="4f2a9c1d")],
        [revision_told(f"{ARN}:3", {"commit": "beefbeef"})],
    )
    found = of_commit(known, "4f2a9c1")
    assert (found.known.number, found.text, found.others) == (3, "4f2a9c1d", ("rag:2",))


def test_a_tag_finds_what_ran_an_image_of_exactly_this_tag():
    known = known_revisions([_rollout(2, at=2, tag="v1.4.10"), _rollout(1, at=1, tag="v1.4.1")], [])
    assert of_tag(known, "v1.4.1").known.number == 1
    assert of_tag(known, "v1.4") is None


def test_the_digest_on_the_tags_is_known_although_the_rollouts_show_another():
    known = known_revisions([_rollout(1, at=2, digest=B)], [revision_told(f"{ARN}:1", {"digest": A})])
    assert of_digest(known, A).known.number == 1


def test_an_ambiguous_commit_is_refused_with_both():
    known = known_revisions([_rollout(2, at=2, tag="4f2a9c1d"), _rollout(1, at=1, tag="4f2a9c1e")], [])
    with pytest.raises(InvalidInput, match=r"4f2a9c1d \(rag:2\), 4f2a9c1e \(rag:1\)"):
        of_commit(known, "4f2a9c1")


def test_a_commit_never_deployed_is_refused_with_the_nearest():
    known = known_revisions([_rollout(2, at=2, tag="4f2a9c1d"), _rollout(1, at=1, tag="beefbeef")], [])
    with pytest.raises(InvalidInput, match="never deployed") as caught:
        of_commit(known, "4f2a9c1f")
    assert caught.value.hint.startswith("Known commits: 4f2a9c1d (rag:2)")


def test_a_digest_finds_the_run_with_it_where_one_revision_ran_two():
    other = "sha256:" + "cd" * 32
    known = known_revisions(
        [_rollout(1, at=2, tag="latest", digest=other), _rollout(1, at=1, tag="latest", digest=DIGEST)], []
    )
    assert of_digest(known, DIGEST).known.digests == {"rag": DIGEST}
    assert of_digest(known, other[:15]).known.digests == {"rag": other}
    with pytest.raises(InvalidInput, match="No revision"):
        of_digest(known, "sha256:" + "ef" * 32)


# Provenance

WHO = Provenance(
    commit=SHA, repository="acme/rag", run="https://github.com/acme/rag/actions/runs/1", actor="eva"
)


def test_what_is_unknown_makes_no_tag():
    assert [tag["key"] for tag in tags_of(WHO)] == [
        f"{PREFIX}{n}" for n in ("commit", "repository", "run", "actor")
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("dependabot[bot]", "dependabot_bot_"),
        ("slow; see <INC-7>\nnow", "slow_ see _INC-7__now"),
        ("Zoë ß 東京", "Zoë ß 東京"),
        ("x" * 300, "x" * 256),
        ("  a@b:c/d=e+f_g.h-i  ", "a@b:c/d=e+f_g.h-i"),
        ("{}" * 3, "______"),
    ],
)
def test_a_tags_value_holds_to_the_characters_and_the_length_of_aws(text, value):
    assert tag_value(text) == value


def test_provenance_replaces_an_older_one_and_leaves_other_tags():
    own = {
        "family": "rag",
        "tags": [{"key": "team", "value": "ki"}, {"key": f"{PREFIX}commit", "value": "old"}],
    }
    tagged = with_provenance(own, WHO)
    assert tagged["tags"][0] == {"key": "team", "value": "ki"}
    assert told_by(tagged["tags"])["commit"] == SHA
    assert len(tagged["tags"]) == 5
    assert without_provenance(tagged) == {"family": "rag", "tags": [{"key": "team", "value": "ki"}]}
    assert own["tags"][1]["value"] == "old"


def test_a_revision_with_49_tags_gets_one_more_and_one_with_50_none():
    tags = [{"key": f"k{n}", "value": "v"} for n in range(50)]
    assert len(with_provenance({"tags": tags}, WHO)["tags"]) == 50
    assert len(with_provenance({"tags": tags[:49]}, WHO)["tags"]) == 50


def test_only_tags_of_ours_tell_and_odd_ones_are_left_alone():
    tags = [{"key": f"{PREFIX}later"}, {"value": "x"}, {"key": "team", "value": "ki"}]
    assert told_by(tags) == {"later": ""}
    odd = ["odd", {"value": "x"}]
    assert without_provenance({"tags": [*odd, {"key": f"{PREFIX}commit", "value": "x"}]}) == {"tags": odd}
    assert with_provenance({"family": "rag", "tags": odd}, Provenance()) == {"family": "rag", "tags": odd}
    assert with_provenance({"family": "rag"}, Provenance()) == {"family": "rag"}


def test_another_provenance_is_no_reason_for_another_revision():
    definition = {"family": "rag", "containerDefinitions": [{"name": "a", "image": "x:1"}]}
    assert identical(with_provenance(definition, WHO), definition)
    assert identical(
        with_provenance(definition, WHO), with_provenance(definition, Provenance(commit="other"))
    )
    assert not identical({**definition, "tags": [{"key": "team", "value": "ki"}]}, definition)


# History

GOOD = revision_told(
    f"{ARN}:2",
    {
        "commit": SHA,
        "repository": "acme/rag",
        "run": "https://github.com/acme/rag/actions/runs/7",
        "actor": "eva|`",
    },
)


def test_the_table_names_current_and_previous():
    rollouts = [
        _rollout(3, "ROLLBACK_SUCCESSFUL", at=1_795_420_990),
        _rollout(2, at=1_795_420_800, digest=DIGEST),
        _rollout(1, at=1_795_413_600),
    ]
    rows = past_deployments(
        rollouts,
        {GOOD.arn: GOOD},
        {DIGEST: StoredImage(digest=DIGEST, status="ARCHIVED")},
        task_definition=f"{ARN}:2",
    )
    assert [row.role for row in rows] == ["", "current", "previous"]
    assert [row.outcome for row in rows] == ["rolled back", "succeeded", "succeeded"]
    assert history_table(rows).splitlines()[2].split() == [
        "current", "rag:2", SHA[:12], DIGEST[:19], "succeeded", "2026-11-23", "08:00", "eva|`", "archived",
    ]  # fmt: skip
    shown = history_markdown(rows)
    assert f"[`{SHA[:12]}`](https://github.com/acme/rag/commit/{SHA})" in shown
    assert "eva\\|\\`" in shown


@pytest.mark.parametrize(
    ("status", "number"), [("ACTIVE", "2"), ("ARCHIVED", "1"), (None, "1")], ids=["there", "archived", "gone"]
)
def test_what_can_be_gone_back_to_is_the_newest_before_that_can_be_pulled(status, number):
    rollouts = [_rollout(3, at=30), _rollout(2, at=20, digest=DIGEST), _rollout(1, at=10)]
    stored = {DIGEST: StoredImage(digest=DIGEST, status=status) if status else None}
    row = previous_good(past_deployments(rollouts, {}, stored, task_definition=f"{ARN}:3"))
    assert row is not None
    assert row.task_definition_arn == f"{ARN}:{number}"


@pytest.mark.parametrize(
    ("about", "url"),
    [
        (
            {"repository": "a/b", "run": "https://ghe.example/a/b/actions/runs/1"},
            "https://ghe.example/a/b/commit/c",
        ),
        ({"repository": "a/b", "run": ""}, ""),
        ({"repository": "a/b/c", "run": "https://gitlab/a/b/c/-/jobs/1"}, ""),
        ({"repository": "a/b", "run": "javascript:/a/b/actions/"}, ""),
    ],
)
def test_a_commit_is_a_link_where_the_server_is_known(about, url):
    assert commit_url(revision_told(f"{ARN}:1", about), "c") == url


# Clean-up

REVISIONS = [f"{ARN}:{n}" for n in range(9, 0, -1)]


def _numbers(arns):
    return [int(arn.rpartition(":")[2]) for arn in arns]


@pytest.mark.parametrize(
    ("in_use", "keep", "rollouts", "gone"),
    [
        ((), 2, (), [1, 2, 3, 4, 5]),
        ((), 1, (_rollout(2, at=2), _rollout(1, at=1)), [1, 3, 4, 5, 6]),
        ((f"{ARN}:3", "rag:1"), 1, (), [2, 4, 5, 6]),
        (("rag",), 1, (), [1, 2, 3, 4, 5, 6]),
        ((), 20, (), []),
    ],
    ids=[
        "by number",
        "rollback targets first",
        "used by a service or schedule",
        "a family is its newest",
        "all",
    ],
)
def test_only_what_nothing_needs_is_superfluous(in_use, keep, rollouts, gone):
    found = superfluous(
        REVISIONS, current=f"{ARN}:8", previous=f"{ARN}:7", rollouts=rollouts, in_use=in_use, keep=keep
    )
    assert _numbers(found) == gone


def test_a_revision_is_data_only():
    assert Revision(arn=f"{ARN}:1", number=1).commit == ""
