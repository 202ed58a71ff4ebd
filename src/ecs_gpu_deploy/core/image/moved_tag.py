"""Why a task runs another image than the one that its tag named when it was looked up."""

from __future__ import annotations

from ecs_gpu_deploy.result import Finding, Severity

_PIN = "Set pin to digest (pin: digest): then the revision names the image itself, and no tag decides."


def moved_tag(image: str, *, container: str, wanted: str, runs: str, names_now: str) -> Finding:
    """Return what became of the tag of *image*, which named the digest *wanted* before the rollout.

    *names_now* is the digest that the tag names in ECR by now, "" where that is not shown. A tag that still
    names *wanted* was not moved: the instance had an older image under it (Developer Guide, "Amazon ECS
    container agent configuration", ECS_IMAGE_PULL_BEHAVIOR).
    """
    told = f"{container} runs {_short(runs)}, and {_short(wanted)} was checked"
    hint = _PIN
    if names_now == wanted:
        message = f"The tag of {image} was not moved, but {told}: the instance had another image of this tag."
        hint = f"{_PIN} Or set ECS_IMAGE_PULL_BEHAVIOR of the instances to default or always."
    elif names_now:
        message = f"The tag of {image} was moved during the rollout: {told}."
    else:
        message = f"The tag of {image} was probably moved during the rollout: {told}."
    return Finding(code="image-tag-moved", severity=Severity.WARNING, message=message, hint=hint)


def _short(digest: str) -> str:
    return f"{digest[:19]}…"
