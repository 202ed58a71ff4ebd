"""Which repositories ECR fills itself, on the first pull of an image.

Neither the repository nor the image exists before that pull, so what ECR does not show may well run.
Source: docs/aws-facts.md#pull-through-cache.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

ROOT: Final = "ROOT"


def caching_prefix(prefixes: Iterable[str], repository: str) -> str:
    """Return the prefix of the rule that fills the *repository*, the longest one; "" where none does.

    A slash is assumed after every prefix; ROOT is for all repositories without another rule.
    """
    known = set(prefixes)
    covering = [prefix for prefix in known if repository.startswith(f"{prefix}/")]
    return max(covering, key=len, default=ROOT if ROOT in known else "")
