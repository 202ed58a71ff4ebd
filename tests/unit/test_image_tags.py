"""Tags, and what a repository lets us do with them."""

import pytest

from ecs_gpu_deploy.core.image.image_tags import Mutability, all_tags, check_movable, checked_tag
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.steps.build_image import tags_not_moved


@pytest.mark.parametrize(
    ("setting", "filters", "tag", "movable"),
    [
        ("MUTABLE", (), "v1", True),
        ("IMMUTABLE", (), "latest", False),
        ("IMMUTABLE_WITH_EXCLUSION", ("latest",), "latest", True),
        ("IMMUTABLE_WITH_EXCLUSION", ("latest",), "v1", False),
        ("IMMUTABLE_WITH_EXCLUSION", ("dev-*",), "dev-7", True),
        ("MUTABLE_WITH_EXCLUSION", ("v*",), "v1", False),
        ("MUTABLE_WITH_EXCLUSION", ("v*",), "latest", True),
        ("SOMETHING_NEW", (), "latest", True),
    ],
)
def test_what_may_move(setting, filters, tag, movable):
    assert Mutability(setting=setting, filters=filters).may_move(tag) is movable


def test_the_first_tag_comes_first_and_none_twice():
    assert all_tags("abc", ("v1", "abc", "latest"), latest=True) == ("abc", "v1", "latest")


def test_a_taken_tag_that_cannot_move_is_told_with_the_command():
    with pytest.raises(InvalidInput, match="'latest'") as caught:
        check_movable(("abc", "latest"), {"latest"}, Mutability(setting="IMMUTABLE"), "rag")
    assert "--repository-name rag" in caught.value.hint


@pytest.mark.parametrize(
    ("setting", "filters", "command"),
    [
        ("IMMUTABLE", (), "IMMUTABLE_WITH_EXCLUSION --image-tag-mutability-exclusion-filters W,filter=next"),
        (
            "IMMUTABLE_WITH_EXCLUSION",
            ("latest", "dev-*"),
            "IMMUTABLE_WITH_EXCLUSION --image-tag-mutability-exclusion-filters "
            "W,filter=latest 'W,filter=dev-*' W,filter=next",
        ),
        (
            "MUTABLE_WITH_EXCLUSION",
            ("v*", "ne*"),
            "MUTABLE_WITH_EXCLUSION --image-tag-mutability-exclusion-filters 'W,filter=v*'",
        ),
        ("MUTABLE_WITH_EXCLUSION", ("ne*",), "MUTABLE"),
        (
            "IMMUTABLE_WITH_EXCLUSION",
            ("a", "b", "c", "d", "e"),
            "IMMUTABLE_WITH_EXCLUSION --image-tag-mutability-exclusion-filters "
            "W,filter=a W,filter=b W,filter=c W,filter=d W,filter=e W,filter=next "
            "(AWS takes 5 filters: join some)",
        ),
    ],
    ids=["no tag may move", "some may", "some may not", "none but this may not", "five may"],
)
def test_the_command_that_lets_a_tag_move_keeps_the_other_filters(setting, filters, command):
    mutability = Mutability(setting=setting, filters=filters)
    with pytest.raises(InvalidInput) as caught:
        check_movable(("next",), {"next"}, mutability, "rag")
    wanted = command.replace("W,", "filterType=WILDCARD,")
    assert caught.value.hint.endswith(f"--repository-name rag --image-tag-mutability {wanted}")


@pytest.mark.parametrize("tag", ["v1", "a" * 128, "_x", "1.2.3-rc.1"])
def test_a_tag(tag):
    assert checked_tag(tag, option="image-tag") == tag


@pytest.mark.parametrize("tag", ["", "-x", ".x", "a b", "a/b", "a" * 129, "ä", "a:b"])
def test_no_tag(tag):
    with pytest.raises(InvalidInput, match="no image tag"):
        checked_tag(tag, option="image-tag")


def test_which_tags_have_moved_is_said_of_each():
    told = tags_not_moved("rag", ["v1", "v2", "latest"], 1, why="The job was cancelled")
    assert told.message == "The job was cancelled. Further tags of rag: moved: v1; not moved: v2, latest."
    assert "not moved: v1, v2." in tags_not_moved("rag", ["v1", "v2"], 0, why="AWS refused a tag").message
    unclear = tags_not_moved("rag", ["v1", "v2", "v3"], 1, why="x", unclear=True).message
    assert unclear.endswith(" moved: v1; not known: v2; not moved: v3.")
