"""Write lines of JSON to stdout: the access log, and the metric that CloudWatch reads there."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import suppress


def write_line(members: Mapping[str, object]) -> None:
    """Write one line in ASCII, so that nothing in a value can begin another; a closed stdout fails nobody."""
    with suppress(OSError, ValueError):
        sys.stdout.write(f"{json.dumps(members)}\n")
        sys.stdout.flush()
