"""Untrusted text: escape sequences, workflow commands and Markdown stay text."""

import pytest

from ecs_gpu_deploy.core.text import fenced, log_line, markdown, markdown_code, plain, span


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("title\x1b]0;pwned\x07end", "titleend"),
        ("a\rb\x00c\x7fd", "abcd"),
        ("two\nlines", "two ⏎ lines"),
        ("bidi \u202egnp.exe", "bidi gnp.exe"),
        ("tab\there", "tab here"),
    ],
    ids=["ANSI colour", "terminal title", "control characters", "line end", "text direction", "tab"],
)
def test_plain_leaves_one_printable_line(text, shown):
    assert plain(text) == shown


def test_plain_cuts_a_megabyte_and_says_so():
    cut = plain("x" * 1_000_000, limit=50)
    assert len(cut) == 50
    assert cut.endswith("…")


@pytest.mark.parametrize(
    "text", ["::set-output name=a::b", "::error::x", "\x1b[0m::stop-commands::t", "##[error]x"]
)
def test_a_log_line_is_never_a_workflow_command(text):
    assert not log_line(text).startswith("::")
    assert "##[" not in log_line(text) or "\u200b" in log_line(text)


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
    shown = markdown(text)
    assert "<" not in shown
    for character in "[](`|#":
        assert shown.count(character) == shown.count("\\" + character)


def test_inline_code_cannot_be_left():
    assert markdown_code("a`b|c</code><b>") == "<code>a&#96;b&#124;c&lt;/code&gt;&lt;b&gt;</code>"


def test_a_fence_is_longer_than_any_in_it():
    block = fenced(["```", "````js"])
    assert block.startswith("`````text\n")
    assert block.endswith("\n`````")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59.6, "1m"), (372, "6m12s"), (3900, "1h05m"), (7200, "2h00m")]
)
def test_spans_read_as_people_write_them(seconds, text):
    assert span(seconds) == text
