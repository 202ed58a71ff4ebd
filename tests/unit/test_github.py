"""GitHub's side: commands are escaped, outputs cannot be broken out of, limits hold."""

import io

import pytest

from ecs_gpu_deploy.edges.ci.github import SUMMARY_LIMIT, GitHub


@pytest.fixture
def here(tmp_path):
    stream = io.StringIO()
    environment = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
    }
    return GitHub(environment, stream, stream), stream, tmp_path


def test_an_annotation_is_one_escaped_line(here):
    github, stream, _ = here
    github.annotate("error", "100% of\ntasks ::error::x", title="a:b,c\r\nd")
    assert stream.getvalue() == "::error title=a%3Ab%2Cc ⏎ d::100%25 of ⏎ tasks ::error::x\n"


def test_of_each_level_ten_annotations_are_shown(here):
    github, stream, _ = here
    for number in range(30):
        github.annotate(("error", "warning")[number % 2], str(number))
    assert [stream.getvalue().count(level) for level in ("::error::", "::warning::")] == [10, 10]


def test_an_annotation_has_at_most_4096_characters(here):
    github, stream, _ = here
    github.annotate("error", "x" * 1_000_000)
    assert len(stream.getvalue()) == len("::error::\n") + 4096


def test_a_secret_of_several_lines_is_masked_line_by_line(here):
    github, stream, _ = here
    github.mask("the first\nthe second%")
    assert stream.getvalue() == "::add-mask::the first\n::add-mask::the second%25\n"


@pytest.mark.parametrize("secret", ["", "yes", "1234567", "a\nb\n", "   no     "])
def test_a_word_is_not_masked(here, secret):
    github, stream, _ = here
    github.mask(secret)
    assert stream.getvalue() == ""


def test_no_mask_is_written_where_no_runner_reads_it(tmp_path):
    masks, elsewhere = io.StringIO(), io.StringIO()
    GitHub({}, elsewhere, masks).mask("a long secret")
    GitHub({"GITHUB_ACTIONS": "true"}, elsewhere, masks).mask("another secret")
    assert masks.getvalue() == "::add-mask::another secret\n"
    with (tmp_path / "log").open("w+") as file:
        GitHub({"GITHUB_ACTIONS": "true"}, elsewhere, file).mask("a long secret")
        assert file.tell() == 0
    assert elsewhere.getvalue() == ""


def test_outputs_stand_between_delimiters_that_the_value_cannot_know(here):
    github, _, folder = here
    github.set_outputs({"reason": "a\nEOF\nreason<<EOF\nb", "outcome": "failed"})
    lines = (folder / "output").read_text().splitlines()
    name, end = lines[0].split("<<")
    assert name == "reason"
    assert len(end) > 30
    assert lines[1:6] == ["a", "EOF", "reason<<EOF", "b", end]


def test_the_summary_is_cut_at_github_s_limit_and_says_so(here):
    github, _, folder = here
    github.summarize("ä" * 99 + "\n<details>\n" + "ä\n" * SUMMARY_LIMIT)
    data = (folder / "summary").read_bytes()
    assert len(data) <= SUMMARY_LIMIT
    assert data.endswith(b"has everything.\n")
    assert b"<details>" not in data  # no part is left open, with the note inside
    assert data.startswith("ä".encode())


def test_the_summary_leaves_room_for_what_the_step_wrote_before(here):
    github, _, folder = here
    for before, told in ((0, 2), (SUMMARY_LIMIT - 90, 1), (SUMMARY_LIMIT - 10, 0)):
        (folder / "summary").write_bytes(b"x" * before)
        github.summarize("one\n" + "." * 92 + "two\n")
        data = (folder / "summary").read_bytes()[before:]
        assert before + len(data) <= SUMMARY_LIMIT
        assert (b"one" in data) == (told > 0)
        assert (b"two" in data) == (told > 1)


def test_outside_of_actions_nothing_is_printed():
    stream = io.StringIO()
    github = GitHub({}, stream)
    github.annotate("error", "x")
    github.mask("secret")
    github.group("g")
    github.end_group()
    github.set_outputs({"a": "b"})
    github.summarize("x")
    assert stream.getvalue() == ""
