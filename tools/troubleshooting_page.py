"""docs/troubleshooting.md: what Amazon ECS says, word by word, and what it means."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from itertools import groupby

from ecs_gpu_deploy.core.diagnose.diagnosis import explanation_of
from ecs_gpu_deploy.core.diagnose.table import codes

_PUBLISHED_BY_AWS = ("https://docs.aws.amazon.com/", "https://repost.aws/")
_LONGEST = 340

_HEAD = """# Troubleshooting: what ECS says

Messages as Amazon ECS, ECR and EC2 print them, from AWS's own pages. Look for a few words of yours on this
page; ids and names differ. Where it is not here, or where your text is longer (a log, all events), ask the
program, which needs no AWS for that:

```sh
ecs-gpu-deploy explain "CannotPullContainerError: no space left on device"
```

The knob to turn for each cause stands in [diagnoses.md](diagnoses.md); in a run it comes with the verdict."""


def troubleshooting_page(messages: Sequence[Mapping[str, str]]) -> str:
    """Return the page; *messages* are those of tests/data/messages.yml: `text`, `source`, `code`."""
    known = [
        message
        for message in messages
        if message["source"].startswith(_PUBLISHED_BY_AWS)
        and len(message["text"]) <= _LONGEST
        and message["code"] in codes()
        and message["code"] != "unknown"
    ]
    order = {code: number for number, code in enumerate(codes())}
    known.sort(key=lambda message: (order[message["code"]], _words(message["text"]).lower()))
    parts = [_HEAD]
    for code, group in groupby(known, key=lambda message: message["code"]):
        rows = dict.fromkeys(_row(message) for message in group)
        parts.append(
            f"## [{code}](diagnoses.md#{code})\n\n| ECS says | It means |\n|---|---|\n" + "\n".join(rows)
        )
    return "\n\n".join(parts) + "\n"


def _row(message: Mapping[str, str]) -> str:
    [first, *_] = explanation_of(message["text"])
    return f"| {_cell(_words(message['text']))} | {_cell(first.message)} [source]({message['source']}) |"


def _words(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return html.escape(text, quote=False).replace("|", "&#124;").replace("*", "&#42;").replace("[", "&#91;")
