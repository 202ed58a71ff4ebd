"""Move further tags (`latest`, extra-tags) to an image: last, and one after the other."""

from __future__ import annotations

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.edges.aws.answers import Unclear
from ecs_gpu_deploy.edges.aws.ecr_repository import fetch_taggable, put_tag
from ecs_gpu_deploy.edges.machine.signals import Cancelled, heed_held, held_signals
from ecs_gpu_deploy.errors import DeployError
from ecs_gpu_deploy.facts import Changed
from ecs_gpu_deploy.result import Outcome
from ecs_gpu_deploy.steps.build_image import BuiltImage, tags_not_moved


def move_tags(context: Context, built: BuiltImage) -> None:
    """Give the image its further tags; where that ends early, record which it has and which it lacks."""
    tags, name = built.further_tags, built.repository.name
    if not tags:
        return
    done = 0
    try:
        manifest = fetch_taggable(context.aws, built.repository, built.digest)
        for tag in tags:
            heed_held()
            with held_signals():
                subject = f"tag {tag}"
                context.record(Changed(subject=subject, what=f"the tag {tag} may have been moved"))
                put_tag(context.aws, built.repository, built.digest, tag, manifest=manifest)
                context.record(Changed(subject=subject, what=f"the tag {tag} was moved"))
            done += 1
        heed_held()
    except (Cancelled, DeployError) as end:
        if done < len(tags):
            unclear = isinstance(end.__cause__, Unclear)
            why = "AWS did not say whether it set a tag" if unclear else "AWS refused a tag"
            if isinstance(end, Cancelled):
                why = "The job was cancelled"
            context.record(tags_not_moved(name, tags, done, why=why, unclear=unclear))
        raise
    context.reporter.say(f"the image is {', '.join(tags)} as well")


def move_tags_after(context: Context, built: BuiltImage | None, verdict: Verdict) -> None:
    """Move the further tags where the deployment succeeded, for they say what runs; else say they stayed.

    Raise the refusal, which says that the deployment itself succeeded.
    """
    if built is None or not built.further_tags:
        return
    if verdict.outcome != Outcome.SUCCEEDED:
        why = f"The deployment ended as {verdict.outcome}"
        hint = "They say what runs: the next deployment that succeeds moves its own."
        context.record(tags_not_moved(built.repository.name, built.further_tags, 0, why=why, hint=hint))
        return
    try:
        move_tags(context, built)
    except DeployError as error:
        raise error.with_message(
            f"The deployment succeeded, but its tags did not move: {error.message}"
        ) from error
