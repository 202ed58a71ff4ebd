"""What mypy says of a few lines of code."""

import sys

import mypy.api


def type_errors(folder, lines):
    """Return what mypy --strict prints of *lines* as snippet.py in *folder*, and its exit status."""
    snippet = folder / "snippet.py"
    snippet.write_text("\n".join(lines) + "\n", encoding="utf-8")
    limit = sys.getrecursionlimit()
    try:
        told, _, status = mypy.api.run(["--strict", "--cache-dir", str(folder / "cache"), str(snippet)])
    finally:
        # mypy raises it for the whole process, and other tests are about where it is.
        sys.setrecursionlimit(limit)
    return told, status
