"""A release: the versions agree, dist/ on a commit of its own, tags that are never moved back.

    python -m tools.release check 1.2.3        the version stands in the package, its module and the changelog
    python -m tools.release notes 1.2.3        what the changelog says of it
    python -m tools.release tag 1.2.3          commit dist/ and push it as the tag v1.2.3, which must be new
    python -m tools.release forward 1.2.3      move v1 there, unless v1 is at a later version already

`.github/workflows/release.yml` calls these; `make release-rehearsal` does too, in clones of its own.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

DIST = "dist"
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one step of a release in the checkout *at*."""
    parser = argparse.ArgumentParser(prog="tools.release", description=__doc__)
    parser.add_argument("step", choices=("check", "notes", "tag", "forward"))
    parser.add_argument("version")
    parser.add_argument("--at", type=Path, default=Path())
    options = parser.parse_args(arguments)
    if not _VERSION.fullmatch(options.version):
        raise SystemExit(f"{options.version!r} is no version such as 1.2.3.")
    match options.step:
        case "check":
            check(options.at, options.version)
        case "notes":
            print(notes(options.at, options.version))
        case "tag":
            print(tag(options.at, options.version))
        case "forward":
            print(forward(options.at, options.version))
    return 0


def check(at: Path, version: str) -> None:
    """Raise SystemExit where a place names another version, or the changelog has nothing of it."""
    places = {
        "pyproject.toml": rf'^version = "{re.escape(version)}"$',
        "src/ecs_gpu_deploy/__init__.py": rf'^__version__ = "{re.escape(version)}"$',
        f"{DIST}/manifest.json": rf'^ "version": "{re.escape(version)}",$',
    }
    for place, line in places.items():
        if not (at / place).is_file():
            raise SystemExit(f"{place} is not there.")
        if not re.search(line, (at / place).read_text(encoding="utf-8"), re.MULTILINE):
            raise SystemExit(f"{place} does not name version {version}.")
    notes(at, version)


def notes(at: Path, version: str) -> str:
    """Return the section of the changelog; SystemExit where there is none, or nothing in it."""
    text = (at / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(version)}(?: .*)?\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None or not found[1].strip():
        raise SystemExit(f"CHANGELOG.md has no section ## {version}: name the one of what is unreleased so.")
    return found[1].strip()


def tag(at: Path, version: str) -> str:
    """Commit dist/ on the commit that is checked out, push it as the tag v*version*, and return that commit.

    Checkout and branch stay where they are. A tag that is there already is never moved; where an earlier
    attempt at this very release has pushed it, its commit is returned.
    """
    name = f"refs/tags/v{version}"
    if changed := git(at, "status", "--porcelain", "--untracked-files=no"):
        raise SystemExit(f"What is not committed is in no release: {', '.join(changed.splitlines())}.")
    head = git(at, "rev-parse", "HEAD")
    git(at, "add", "--force", "--", DIST)
    tree = git(at, "write-tree")
    git(at, "reset", "--quiet")
    if tree == git(at, "rev-parse", "HEAD^{tree}"):
        raise SystemExit(f"There is nothing in {DIST}/ to release: make bundle.")
    if git(at, "ls-remote", "origin", name):
        git(at, "fetch", "--quiet", "origin", name)
        if git(at, "rev-parse", "FETCH_HEAD^{tree}", "FETCH_HEAD^").split() != [tree, head]:
            raise SystemExit(f"The tag v{version} is there, and a tag is never moved: name the next version.")
        return git(at, "rev-parse", "FETCH_HEAD")
    commit = git(at, "commit-tree", tree, "-p", head, "-m", f"Release {version}")
    git(at, "push", "--quiet", "origin", f"{commit}:{name}")
    return commit


def forward(at: Path, version: str) -> str:
    """Have v1 (of v1.2.3) name this release, unless a later one of it is out; say which it names.

    SystemExit where another release has moved it since this one looked.
    """
    major = f"v{version.partition('.')[0]}"
    listed = git(at, "ls-remote", "--tags", "--refs", "origin", f"refs/tags/{major}", f"refs/tags/{major}.*")
    tags = {name.removeprefix("refs/tags/v"): found for found, name in map(str.split, listed.splitlines())}
    if version not in tags:
        raise SystemExit(f"The tag v{version} is not there.")
    versions = filter(_VERSION.fullmatch, tags)
    latest = max(versions, key=lambda text: [int(part) for part in text.split(".")])
    if latest != version:
        return f"{major} stays: v{latest} is later than v{version}"
    git(at, "fetch", "--quiet", "origin", f"refs/tags/v{version}:refs/tags/v{version}")
    git(at, "tag", "--force", major, f"v{version}^{{commit}}")
    seen = f"--force-with-lease=refs/tags/{major}:{tags.get(major[1:], '')}"
    git(at, "push", "--quiet", seen, "origin", f"refs/tags/{major}")
    return f"{major} is v{version} now"


def git(at: Path, *arguments: str) -> str:
    """Run git and return what it prints; SystemExit with its own words where it fails."""
    done = subprocess.run(  # noqa: S603
        ["git", "-C", str(at), *arguments],  # noqa: S607
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
    )
    if done.returncode:
        raise SystemExit(f"git {arguments[0]}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
