"""The pictures of the README are there, small, and drawn from what the program prints today."""

import re
from pathlib import Path

from tools.draw_pictures import FOLDER, texts

README = Path(__file__).resolve().parents[2] / "README.md"
LARGEST = 200_000


def test_the_pictures_that_the_readme_shows_are_there_and_small():
    named = re.findall(r"!\[[^\]]+\]\(([^)]+\.png)\)", README.read_text(encoding="utf-8"))
    assert named
    for name in named:
        assert (README.parent / name).stat().st_size < LARGEST, name


def test_what_they_were_drawn_from_is_what_the_program_prints():
    for name, text in texts().items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, f"{name} is stale: make pictures"
