"""rollback: find the target → check that it can run → update (or stop what is ongoing) → watch → report."""

from __future__ import annotations

from dataclasses import replace

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.provenance import tag_value, told_by
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.past.ongoing import Ongoing, ongoing_classic, ongoing_of
from ecs_gpu_deploy.core.past.past_deployments import past_deployments, previous_good
from ecs_gpu_deploy.core.past.revisions import Revision, Rollout, named_images, same_images
from ecs_gpu_deploy.core.show.deployment_record import Deployed
from ecs_gpu_deploy.core.text import markdown
from ecs_gpu_deploy.edges.aws.ecr import find_images
from ecs_gpu_deploy.edges.aws.revisions import revision_of, tag_revision
from ecs_gpu_deploy.edges.machine.signals import held_signals
from ecs_gpu_deploy.errors import Refused
from ecs_gpu_deploy.facts import RevisionChosen, Section, ServiceSeen
from ecs_gpu_deploy.inputs.requests import RollbackRequest
from ecs_gpu_deploy.model import RolloutState, Service, short_id
from ecs_gpu_deploy.result import Finding, Outcome, Severity
from ecs_gpu_deploy.steps.attach_rollout import watch_under_way
from ecs_gpu_deploy.steps.choose_target import Chosen, Past, choose_target, fetch_past
from ecs_gpu_deploy.steps.clean_up_revisions import clean_up_revisions
from ecs_gpu_deploy.steps.follow_rollout import Plan, RecordWish, roll_out, verdict_of
from ecs_gpu_deploy.steps.preflight import preflight
from ecs_gpu_deploy.steps.record_deployment import begin_record
from ecs_gpu_deploy.steps.register_revision import provenance_of_run, recorded
from ecs_gpu_deploy.steps.render_target import register_target, render_target
from ecs_gpu_deploy.steps.see_address import see_address
from ecs_gpu_deploy.steps.start_codedeploy import blue_green_of, ongoing_codedeploy
from ecs_gpu_deploy.steps.start_deployment import check_deployable, check_fit, wait_for_others
from ecs_gpu_deploy.steps.stop_deployment import rolls_back_to, stop_and_watch
from ecs_gpu_deploy.steps.verify_attestation import verify_attestations


def run(context: Context, request: RollbackRequest) -> Verdict:
    """Roll back, and return the verdict. Nothing changes before the target is known to be able to run."""
    service = context.ecs.fetch_service(request.service)
    context.record(ServiceSeen(name=service.name, previous=service.task_definition))
    check_deployable(service, allow_desired_zero=request.rollout.allow_desired_zero)
    blue_green = blue_green_of(context, request.codedeploy, service)
    group = blue_green.group if blue_green is not None else None
    if group is not None and (codedeploy := ongoing_codedeploy(context, group)) is not None:
        # Until it has switched, the service shows what ran before as what it runs.
        service = replace(service, task_definition=codedeploy.task_definition or service.task_definition)
    current = context.ecs.fetch_task_definition(service.task_definition)
    past = fetch_past(context, service, revision_of(current), request.target, group)
    chosen = choose_target(context, service, revision_of(current), request.target, past)
    context.reporter.say(f"target: {short_id(chosen.name)} ({chosen.how})")
    if chosen.name.startswith("arn:"):
        context.record(RevisionChosen(arn=chosen.name))

    ongoing = past.ongoing
    if ongoing is not None and _rolls_out(ongoing, chosen) and not request.force:
        return watch_under_way(context, request.rollout, service, ongoing.arn)
    if ongoing is not None and rolls_back_to(context, service, ongoing, chosen.name):
        left = short_id(ongoing.task_definition)
        if chosen.name.startswith("arn:") and not ongoing.is_going_back:
            with held_signals():
                tag_revision(context.aws, chosen.name, _way_back(left))
        context.record(_section(chosen, request.reason))
        verdict = stop_and_watch(context, request.rollout, service, ongoing, chosen)
        with held_signals():
            arn, number = ongoing.task_definition, ongoing.number
            tag_revision(context.aws, arn, recorded(context, arn, number, "stopped", reason=request.reason))
        return _told(verdict, left, chosen.name)
    if request.ongoing == "wait" and wait_for_others(context, service, request, group) is not service:
        return run(context, request)
    if request.ongoing != "supersede" or blue_green is not None:
        _refuse_others(context, service, past, chosen)
    if ongoing is None and _runs(service, chosen, past) and not request.force:
        return _left_alone(chosen, _further_back(context, chosen, past, revision_of(current)))

    now = short_id(service.task_definition)
    target = render_target(context, service, current, chosen, past)
    check_fit(target.rendering.definition, service)
    if blue_green is not None:
        blue_green.check_fit(target.rendering.definition)
    verify_attestations(context, request.signer, target.rendering)
    rendering = replace(target.rendering, current=current)
    plan = Plan(
        service=service,
        arn=rendering.existing_arn,
        definition=rendering.definition,
        options=request.rollout,
        changes=rendering.changes,
        digests=rendering.digests,
        urgent=True,
        record=RecordWish(kind="rollback", reason=request.reason),
        blue_green=blue_green,
    )
    ahead = preflight(context, request.preflight, plan, service, rendering, command="rollback")
    if isinstance(ahead, Verdict):
        return ahead
    left = now if _number(target.raw.arn) <= _number(now) else ""
    arn = register_target(context, target, reason=request.reason, left=left)
    there = replace(chosen, name=arn)
    if ongoing is None and arn != target.raw.arn and _runs(service, there, past) and not request.force:
        return _left_alone(there, _further_back(context, there, past, revision_of(current)))
    context.record(_section(chosen, request.reason))
    plan = replace(plan, arn=arn, predicted=ahead.plan.predicted if ahead is not None else None)
    going_back = Deployed(
        task="rollback",
        commit=told_by(target.raw.tags).get("commit", ""),
        image=target.rendering.image,
        digest=target.rendering.image_digest,
        task_definition=arn,
        cluster=request.cluster,
        services=[service.name],
    )
    begin_record(context, request.record_in, going_back)
    verdict = verdict_of(roll_out(context, plan))
    if request.reason or left:
        with held_signals():
            _tag(context, request.reason, arn, left)
    if verdict.outcome == Outcome.SUCCEEDED:
        clean_up_revisions(context, [plan], keep=request.keep_revisions)
    return _told(see_address(context, service, verdict), now, arn, target.rendering.image_digest)


def _runs(service: Service, chosen: Chosen, past: Past) -> bool:
    """Say whether all tasks of the service run the target already, with its digests where those are meant."""
    if short_id(chosen.name) != short_id(service.task_definition):
        return False
    primary, current = service.primary, past.lineage.current
    if primary is not None and primary.rollout_state == RolloutState.FAILED:
        return False
    if chosen.by_digest and not _has(chosen, current):
        return False
    return (primary or service).running_count >= service.desired_count


def _rolls_out(ongoing: Rollout, chosen: Chosen) -> bool:
    """Say whether the ongoing deployment brings the target, and is not on its way back."""
    if short_id(ongoing.task_definition) != short_id(chosen.name) or ongoing.is_going_back:
        return False
    return not chosen.by_digest or _has(chosen, ongoing)


def _has(chosen: Chosen, rollout: Rollout | None) -> bool:
    """Say whether the digests of a rollout are known, and are those of the target."""
    return rollout is not None and bool(rollout.digests) and same_images(chosen.digests, rollout.digests)


def _further_back(context: Context, chosen: Chosen, past: Past, current: Revision) -> str:
    """Return the revision, family:N, before one that was gone back to, that can run; "" for none."""
    if not chosen.left or past.lineage.previous is None:
        return ""
    stored = find_images(context.aws, named_images(past.known))
    rows = past_deployments(past.known, {current.arn: current}, stored, task_definition=current.arn)
    row = previous_good(rows)
    return short_id(row.task_definition_arn) if row else ""


def _left_alone(chosen: Chosen, further: str) -> Verdict:
    """Return the verdict where the target runs, and how to go *further* where it was gone back to before."""
    name = short_id(chosen.name)
    reason = f"The service runs {name} already: nothing was changed."
    if chosen.left:
        on = f" To go further back: --to {further}." if further else ""
        reason = f"{chosen.how[0].upper()}{chosen.how[1:]}: the service runs {name}, nothing was changed.{on}"
    return Verdict(outcome=Outcome.SUCCEEDED, reason=reason)


def _number(name: str) -> int:
    return int(name.rpartition(":")[2])


def _refuse_others(context: Context, service: Service, past: Past, chosen: Chosen) -> None:
    """Refuse to go over another deployment; where AWS lists none, the classic deployments tell of it."""
    rollout = past.ongoing
    if rollout is not None:
        ongoing: Ongoing | None = ongoing_of(rollout)
        of = f"of {short_id(rollout.task_definition)}, "
        why = f", and it did not begin from {short_id(chosen.name)}"
    else:
        ongoing = ongoing_classic(context.ecs.cluster, service) if past.rollouts is None else None
        of = why = ""
    if ongoing is not None:
        raise Refused(
            f"Another deployment of the service {service.name!r} is ongoing "
            f"({of}{ongoing.told(context.clock.now())}){why}.",
            hint=f"Set ongoing to wait, or to supersede. {ongoing.hint}".strip(),
        )


def _way_back(left: str) -> dict[str, str]:
    by = tag_value(provenance_of_run().actor)
    return {"rolled-back-from": tag_value(left), "rolled-back-by": by} if left else {}


def _tag(context: Context, reason: str, arn: str, left: str) -> None:
    """Write on the revision why it runs again and what was left; only a lost reason is worth a word."""
    about = {"reason": tag_value(reason), **_way_back(left)}
    if not tag_revision(context.aws, arn, about) and reason:
        context.record(
            Finding(
                code="no-provenance",
                severity=Severity.INFO,
                message="The reason does not stand in the revision's tags: ecs:TagResource is denied.",
            )
        )


def _section(chosen: Chosen, reason: str) -> Section:
    """Return the summary's part on how the target was chosen, and why somebody wanted it."""
    why = [f"Reason: {markdown(reason)}"] if reason else []
    return Section(title="Rollback", text="\n\n".join([f"Chosen: {markdown(chosen.how)}", *why]))


def _told(verdict: Verdict, left: str, arn: str, digest: str = "") -> Verdict:
    """Say in the verdict from where and to what was rolled back."""
    if verdict.outcome != Outcome.SUCCEEDED:
        return verdict
    back = f"{left} → {short_id(arn)}"
    what = f" ({digest[:19]}…)" if digest else ""
    return replace(verdict, reason=f"Rolled back, {back}{what}. {verdict.reason}")
