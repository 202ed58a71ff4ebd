"""The steps of a release, on real git repositories: what agrees, what never moves, what moves forward."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tools import release


def git(at: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", at, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def named(at: Path, version: str) -> None:
    """Have each place in a checkout name *version*."""
    (at / "pyproject.toml").write_text(f'[project]\nversion = "{version}"\n')
    (at / "src" / "ecs_gpu_deploy").mkdir(parents=True, exist_ok=True)
    (at / "src" / "ecs_gpu_deploy" / "__init__.py").write_text(f'__version__ = "{version}"\n')
    (at / "CHANGELOG.md").write_text(f"# Changelog\n\n## {version}\n\n- New.\n\n## 0.0.1\n\n- Old.\n")
    (at / "dist").mkdir(exist_ok=True)
    (at / "dist" / "manifest.json").write_text(f'{{\n "version": "{version}",\n "pythons": []\n}}\n')


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a clone with one commit on main and its dist/, which git ignores, beside it."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "a")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@example.com")
    origin, at = tmp_path / "origin", tmp_path / "checkout"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", origin], check=True)
    subprocess.run(["git", "clone", "--quiet", origin, at], check=True, capture_output=True)
    git(at, "checkout", "--quiet", "-B", "main")
    named(at, "1.2.0")
    (at / ".gitignore").write_text("/dist/\n")
    git(at, "add", ".")
    git(at, "commit", "--quiet", "-m", "main")
    git(at, "push", "--quiet", "origin", "main")
    return at


def test_what_names_one_version_is_released_with_its_notes(checkout: Path) -> None:
    release.check(checkout, "1.2.0")
    assert release.notes(checkout, "1.2.0") == "- New."


@pytest.mark.parametrize(
    "place", ["pyproject.toml", "src/ecs_gpu_deploy/__init__.py", "dist/manifest.json", "CHANGELOG.md"]
)
def test_a_place_that_names_another_version_is_named(place: str, checkout: Path) -> None:
    file = checkout / place
    file.write_text(file.read_text().replace("1.2.0", "1.1.9"))
    with pytest.raises(SystemExit, match=place):
        release.check(checkout, "1.2.0")


@pytest.mark.parametrize("text", ["1.2", "v1.2.3", "1.2.3-rc1", "01.2.3", "1.2.3\n", ""])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(SystemExit, match="no version"):
        release.main(["check", text])


def test_the_tag_has_dist_and_the_branch_has_not(checkout: Path) -> None:
    main = git(checkout, "rev-parse", "main")
    commit = release.tag(checkout, "1.2.0")
    assert git(checkout, "ls-remote", "origin", "refs/tags/v1.2.0").startswith(commit)
    assert git(checkout, "rev-parse", f"{commit}^") == main
    assert git(checkout, "ls-tree", "--name-only", commit, "dist/") == "dist/manifest.json"
    assert git(checkout, "ls-remote", "origin", "main").startswith(main)


def test_a_tag_that_is_there_is_never_moved(checkout: Path) -> None:
    first = release.tag(checkout, "1.2.0")
    (checkout / "dist" / "manifest.json").write_text("{}")
    with pytest.raises(SystemExit, match="never moved"):
        release.tag(checkout, "1.2.0")
    named(checkout, "1.2.0")
    git(checkout, "commit", "--quiet", "--allow-empty", "-m", "one more")
    with pytest.raises(SystemExit, match="never moved"):
        release.tag(checkout, "1.2.0")
    assert git(checkout, "ls-remote", "origin", "refs/tags/v1.2.0").startswith(first)


def test_a_second_attempt_finds_the_tag_of_the_first_and_goes_on(checkout: Path, tmp_path: Path) -> None:
    first = release.tag(checkout, "1.2.0")
    again = tmp_path / "again"
    source = f"file://{tmp_path / 'origin'}"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", "--no-tags", source, again], check=True)
    named(again, "1.2.0")
    assert release.tag(again, "1.2.0") == first
    assert release.forward(again, "1.2.0") == "v1 is v1.2.0 now"


def test_a_push_that_failed_leaves_nothing_in_the_way_of_the_next(checkout: Path) -> None:
    git(checkout, "remote", "set-url", "--push", "origin", "/nowhere")
    with pytest.raises(SystemExit, match="git push"):
        release.tag(checkout, "1.2.0")
    git(checkout, "remote", "set-url", "--delete", "--push", "origin", "/nowhere")
    commit = release.tag(checkout, "1.2.0")
    assert git(checkout, "ls-remote", "origin", "refs/tags/v1.2.0").startswith(commit)


@pytest.mark.parametrize("staged", [False, True])
def test_what_is_not_committed_is_refused(staged: bool, checkout: Path) -> None:
    (checkout / "CHANGELOG.md").write_text("## 1.2.0\n\n- Nobody has seen this.\n")
    if staged:
        git(checkout, "add", "CHANGELOG.md")
    with pytest.raises(SystemExit, match=r"CHANGELOG\.md"):
        release.tag(checkout, "1.2.0")
    assert git(checkout, "ls-remote", "origin", "refs/tags/v1.2.0") == ""


def test_a_release_without_dist_is_refused(checkout: Path) -> None:
    (checkout / "dist" / "manifest.json").unlink()
    with pytest.raises(SystemExit, match=r"dist/manifest\.json"):
        release.check(checkout, "1.2.0")
    with pytest.raises(SystemExit, match="dist"):
        release.tag(checkout, "1.2.0")
    assert git(checkout, "ls-remote", "origin", "refs/tags/v1.2.0") == ""


def test_v1_moves_forward_only(checkout: Path) -> None:
    commits = {}
    for version in ("1.9.0", "1.10.0", "1.9.1", "2.0.0"):
        named(checkout, version)
        git(checkout, "commit", "--quiet", "--all", "-m", version)
        commits[version] = release.tag(checkout, version)
        told = release.forward(checkout, version)
        assert told == {"1.9.1": "v1 stays: v1.10.0 is later than v1.9.1"}.get(
            version, f"v{version[0]} is v{version} now"
        )
    assert git(checkout, "ls-remote", "origin", "refs/tags/v1").startswith(commits["1.10.0"])
    assert git(checkout, "ls-remote", "origin", "refs/tags/v2").startswith(commits["2.0.0"])


def test_v1_is_not_taken_back_from_a_release_that_moved_it_meanwhile(checkout: Path, tmp_path: Path) -> None:
    release.tag(checkout, "1.2.0")
    later = git(checkout, "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "Release 1.3.0")
    git(checkout, "push", "--quiet", "origin", f"{later}:refs/heads/later")
    hook = checkout / ".git" / "hooks" / "reference-transaction"  # runs as v1 is moved here, before the push
    origin = tmp_path / "origin"
    hook.write_text(f"#!/bin/sh\nexec git --git-dir {origin} update-ref refs/tags/v1 {later}\n")
    hook.chmod(0o755)
    with pytest.raises(SystemExit, match="git push"):
        release.forward(checkout, "1.2.0")
    assert git(checkout, "ls-remote", "origin", "refs/tags/v1").startswith(later)


def test_v1_waits_for_the_tag_itself(checkout: Path) -> None:
    with pytest.raises(SystemExit, match=r"v1\.2\.0 is not there"):
        release.forward(checkout, "1.2.0")
