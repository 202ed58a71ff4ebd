"""Untrusted text: escape sequences, workflow commands and Markdown stay text."""

import re

import pytest

from ecs_gpu_deploy.core.text import (
    count,
    fenced,
    harmless,
    log_line,
    markdown,
    plain,
    short_arns,
    span,
    table_code,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("title\x1b]0;pwned\x07end", "titleend"),
        ("a\rb\x00c\x7fd", "abcd"),
        ("two\nlines", "two ⏎ lines"),
        ("bidi \u202egnp.exe", "bidi gnp.exe"),
        ("zero\u200bwidth\u2060", "zerowidth"),
        ("half a pair \ud83d", "half a pair"),
        ("tab\there", "tab here"),
    ],
    ids=[
        "ANSI colour",
        "terminal title",
        "control characters",
        "line end",
        "text direction",
        "zero width",
        "lone surrogate, which no UTF-8 stream takes",
        "tab",
    ],
)
def test_plain_leaves_one_printable_line(text, shown):
    assert plain(text) == shown


def test_plain_cuts_a_megabyte_and_says_so():
    cut = plain("x" * 1_000_000, limit=50)
    assert len(cut) == 50
    assert cut.endswith("…")


@pytest.mark.parametrize(
    "text",
    [
        "::set-output name=a::b",
        "::error::x",
        "\x1b[0m::stop-commands::t",
        "\u200b::error::x",
        " " * 60 + "::error::x",
        "\u3000::error::x",
        "##[error]x",
        "a ##[group]b",
    ],
)
def test_a_log_line_is_never_a_workflow_command(text):
    for shown in (log_line(text), harmless(plain(text)), harmless(text.replace("\u200b", ""))):
        assert not shown.strip().removeprefix("\x1b[0m").startswith("::") or "\x1b" in shown
        assert "##[" not in shown


def test_a_log_line_shows_no_invisible_characters_of_ours():
    assert log_line("::error::x ##[y]") == ": :error::x ## [y]"


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "[click](javascript:alert(1))",
        "![x](http://evil)",
        "`code`",
        "|cell|",
        "# head",
    ],
)
def test_markdown_stays_text(text):
    shown = markdown(text).replace("<!-- -->", "")
    assert "<" not in shown
    for character in "[](`|#":
        assert shown.count(character) == shown.count("\\" + character)


@pytest.mark.parametrize(
    "text",
    [
        "see https://evil.example",
        "WWW.evil.example",
        "@team fix",
        "a@b.example",
        "mailto:a@b.c",
        "o/r#12",
        "GH-7",
    ],
)
def test_nothing_becomes_a_link_or_a_mention(text):
    assert not re.search(
        r"://|www\.\w|@\w|mailto:\w|#\d|GH-\d", re.sub(r":<!-- -->//", "", markdown(text)), re.I
    )
    assert markdown(text).replace("<!-- -->", "").replace("\\", "") == text


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("repo/rag:v1", "`repo/rag:v1`"),
        ("a|b", "`a\\|b`"),
        ("a`b", "``a`b``"),
        ("``", "``` `` ```"),
        ("</code><b>*x*", "`</code><b>*x*`"),
    ],
)
def test_inline_code_cannot_be_left(text, cell):
    assert table_code(text) == cell


def test_a_fence_is_longer_than_any_in_it():
    block = fenced(["```", "````js"])
    assert block.startswith("`````text\n")
    assert block.endswith("\n`````")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "registered 1 targets in (target-group arn:aws:elasticloadbalancing:eu-central-1:123456789012:"
            "targetgroup/ki-rag/6d0ecf831eec9f09).",
            "registered 1 targets in (target-group ki-rag).",
        ),
        (
            "(task 0123456789abcdef) on arn:aws-cn:ecs:cn-north-1:123456789012:container-instance/ki/"
            "fedcba9876543210:",
            "(task 0123456789abcdef) on container-instance fedcba98:",
        ),
        ("arn:aws:ecs:eu-central-1:123456789012:task-definition/rag:8", "rag:8"),
        ("arn:aws:ecs:eu-central-1:123456789012:task/ki/fedcba9876543210, again", "task fedcba98, again"),
        ("secret arn:aws:secretsmanager:x:123456789012:secret:ki/key-AbCdEf.", "secret ki/key-AbCdEf."),
        ("arn:aws:logs:x:123456789012:log-group:/ecs/rag:*", "/ecs/rag:*"),
        ("role arn:aws:iam::123456789012:role/deploy", "role deploy"),
        ("no ARN, not even arn:aws", "no ARN, not even arn:aws"),
    ],
)
def test_an_arn_is_cut_to_what_a_person_recognises(text, shown):
    assert short_arns(text) == shown


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59.6, "1m"), (372, "6m12s"), (3900, "1h05m"), (7200, "2h00m")]
)
def test_spans_read_as_people_write_them(seconds, text):
    assert span(seconds) == text


def test_one_is_singular():
    assert (count(1, "task"), count(0, "task"), count(2, "task")) == ("1 task", "0 tasks", "2 tasks")
