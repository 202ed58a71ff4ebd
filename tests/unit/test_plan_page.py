"""docs/plan.md shows what the program prints today."""

from tools.plan_page import PAGE, page


def test_the_outputs_of_the_page_are_what_the_program_prints():
    assert PAGE.read_text(encoding="utf-8") == page(), "docs/plan.md is stale: make plan-page"
