"""The pull request that a run is about, and its one comment: found, made, kept up to date."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ecs_gpu_deploy.core.show.comment import is_comment_of, pull_request_in
from ecs_gpu_deploy.edges.ci.github_api import GitHubApi, GitHubError

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_LARGEST_EVENT = 8 * 1024 * 1024


def put_comment(api: GitHubApi, environment: Mapping[str, str], *, mark: str, text: str) -> bool:
    """Have the run's pull request show *text* in the comment with *mark*: made, or written anew.

    Return whether there is a pull request; raise GitHubError, whose hint says what the token lacks.
    """
    repository = environment.get("GITHUB_REPOSITORY", "")
    if not _REPOSITORY.fullmatch(repository) or not api.token:
        what = "there is no token" if repository else "this is no job of GitHub Actions"
        raise GitHubError(what, hint="A comment needs github-token, and a repository (GITHUB_REPOSITORY).")
    home = f"/repos/{repository}"
    with _odd_as_error():
        number = pull_request_in(_event(environment.get("GITHUB_EVENT_PATH", "")))
        number = number or _of_commit(api, home, environment.get("GITHUB_SHA", ""))
        if number is None:
            return False
        comments = f"{home}/issues/{number}/comments"
        there = (each["id"] for each in api.listed(comments) if is_comment_of(each, mark))
        found = next(there, None)
        if found is None:
            api.post(comments, {"body": text})
        else:
            api.patch(f"{home}/issues/comments/{int(found)}", {"body": text})
    return True


def _of_commit(api: GitHubApi, home: str, commit: str) -> int | None:
    """Return the pull request that brought *commit*, the open one first; None for none."""
    if not _COMMIT.fullmatch(commit):
        return None
    found = sorted(api.get(f"{home}/commits/{commit}/pulls"), key=lambda each: each.get("state") != "open")
    return next((int(each["number"]) for each in found), None)


def _event(path: str) -> Any:
    """Return the event that began the run, None where its file is missing or no JSON."""
    file = Path(path)
    try:
        if not path or not file.is_file() or file.stat().st_size > _LARGEST_EVENT:
            return None
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


@contextmanager
def _odd_as_error() -> Iterator[None]:
    """Turn what cannot be sent or read into GitHubError; Python's own text may hold the token."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"a request or its answer has another shape than GitHub documents ({type(error).__name__})"
        raise GitHubError(what) from error
