"""Text that holds a secret: found by its shape, by its name, or in a URL; shown without it.

The shapes are what those who give the keys out write of them, for AWS's (AKIA, ASIA): IAM User Guide, IAM
identifiers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

MASK: Final = "***"

_SHAPE: Final = re.compile(
    r"""
    (?<![A-Za-z0-9_])
    (?: gh[pousr]_[A-Za-z0-9]{20,} | github_pat_\w{20,} | glpat-[\w-]{16,} | hf_[A-Za-z0-9]{20,}
      | sk-[\w-]{16,} | xox[abeprs]-[\w-]{10,} | npm_[A-Za-z0-9]{20,} | pypi-[\w-]{20,} | nvapi-[\w-]{20,}
      | (?:AKIA|ASIA)[A-Z0-9]{16} | AIza[\w-]{30,} | eyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?
      | (?<![/+])(?=[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=._-]))
        (?=[A-Za-z0-9/+]{0,39}[A-Z])(?=[A-Za-z0-9/+]{0,39}[a-z])(?=[A-Za-z0-9/+]{0,39}[0-9])[A-Za-z0-9/+]{40}
    )
    """,
    re.X,
)
"""Keys of GitHub, GitLab, Hugging Face, OpenAI and the like, Slack, npm, PyPI, NVIDIA, AWS, Google; JWTs."""
_PRIVATE_KEY: Final = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)", re.S)
_NAME: Final = (
    r"(?:[A-Za-z0-9]+[-_.])*(?:[A-Za-z0-9]*token|password|passwd|passphrase|pwd|secret|credentials?"
    r"|(?:api|access|secret|private|auth|signing|encryption|account|license)[-_]?key)"
)
_ASSIGNED: Final = re.compile(
    rf"(?P<before>(?<![A-Za-z0-9_.-])-{{0,2}}{_NAME}(?:[\"']?\s*=\s*|[\"']?:\s+|[\"']\s*:\s*)[\"']?)"
    r"(?P<value>[^\s\"'&;,]+)",
    re.I,
)
_FLAG: Final = re.compile(rf"--?{_NAME}", re.I)
_FLAG_IN_TEXT: Final = re.compile(
    rf"(?P<before>(?<!\S)--?{_NAME}\s+[\"']?)(?P<value>[^\s\"'-][^\s\"']*)", re.I
)
_BEARER: Final = re.compile(r"(?P<before>\b(?:bearer|basic)\s+)(?P<value>[A-Za-z0-9+/=._~-]{8,})", re.I)
_IN_URL: Final = re.compile(
    r"(?P<before>(?<![a-z0-9+.-])[a-z][a-z0-9+.-]*://[^\s/:@]*:)(?P<value>[^\s/@]+)(?=@)", re.I
)
_REFERENCE: Final = re.compile(r"\$(?:\w+|\{[^{}]*\}|\([^()]*\))|%\w+%|arn:\S+|\*+")
"""A value that only names where the secret is."""


def looks_secret(text: str) -> bool:
    """Tell whether a text, as it stands, has the shape of a key, a token or a password in a URL."""
    return any(pattern.search(text) for pattern in (_PRIVATE_KEY, _SHAPE, _IN_URL))


def hidden(text: str) -> str:
    """Return a text with its secrets as `***`: keys by their shape, `token=…`, a password in a URL."""
    text = _SHAPE.sub(MASK, _PRIVATE_KEY.sub(MASK, text))
    for pattern in (_IN_URL, _BEARER, _ASSIGNED, _FLAG_IN_TEXT):
        text = pattern.sub(_masked, text)
    return text


def hidden_words(words: Sequence[object]) -> list[object]:
    """Return the words of a command with their secrets hidden, that after `--password` too."""
    shown: list[object] = []
    follows = False
    for word in words:
        secret = follows and isinstance(word, str) and not word.startswith("-")
        if secret and not _REFERENCE.fullmatch(str(word)):
            shown.append(MASK)
        else:
            shown.append(hidden(word) if isinstance(word, str) else word)
        follows = isinstance(word, str) and bool(_FLAG.fullmatch(word))
    return shown


def _masked(match: re.Match[str]) -> str:
    return match[0] if _REFERENCE.fullmatch(match["value"]) else match["before"] + MASK
