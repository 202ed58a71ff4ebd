"""rollback: find the target → check that it can run → update (or stop what is ongoing) → watch → report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ecs_gpu_deploy.core.definition.diff import difference
from ecs_gpu_deploy.core.definition.provenance import Provenance, tag_value, told_by
from ecs_gpu_deploy.core.definition.task_definition import images, registrable, without_tags
from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.show.report import Details
from ecs_gpu_deploy.core.text import markdown, table_code
from ecs_gpu_deploy.edges.aws.ecr import fetch_image
from ecs_gpu_deploy.edges.aws.ecs import RawTaskDefinition
from ecs_gpu_deploy.edges.aws.prerequisites import fetch_prerequisites, roles_of
from ecs_gpu_deploy.edges.aws.revisions import tag_revision
from ecs_gpu_deploy.edges.machine.signals import held_signals
from ecs_gpu_deploy.errors import InvalidInput, Refused
from ecs_gpu_deploy.inputs.requests import RollbackRequest
from ecs_gpu_deploy.model import RolloutState, Service, short_id
from ecs_gpu_deploy.result import Finding, Outcome, Severity
from ecs_gpu_deploy.steps.choose_target import Chosen, Past, choose_target, fetch_past, runnable
from ecs_gpu_deploy.steps.clean_up_revisions import clean_up_revisions
from ecs_gpu_deploy.steps.context import Context
from ecs_gpu_deploy.steps.follow_rollout import Plan, roll_out
from ecs_gpu_deploy.steps.register_revision import provenance_of_run, register_revision
from ecs_gpu_deploy.steps.render_revision import Rendering
from ecs_gpu_deploy.steps.start_deployment import check_deployable
from ecs_gpu_deploy.steps.stop_deployment import rolls_back_to, stop_and_watch


@dataclass(frozen=True, slots=True, kw_only=True)
class _Images:
    """The images of the target: what runs is `digests`; `pins` are references whose tag points elsewhere."""

    digests: Mapping[str, str]
    pins: Mapping[str, str]
    main: str
    digest: str


def run(context: Context, request: RollbackRequest) -> tuple[Verdict, Details]:
    """Roll back, and return the verdict. Nothing changes before the target is known to be able to run."""
    draft = context.draft
    service = draft.service = context.ecs.fetch_service(request.service)
    draft.previous_task_definition_arn = service.task_definition
    check_deployable(service, allow_desired_zero=request.rollout.allow_desired_zero)
    past = fetch_past(context, service, request.target)
    chosen = choose_target(context, service, request.target, past)
    context.reporter.say(f"target: {short_id(chosen.name)} ({chosen.how})")
    draft.task_definition_arn = chosen.name if chosen.name.startswith("arn:") else ""

    ongoing = past.ongoing
    if ongoing is not None and rolls_back_to(context, ongoing, chosen.name):
        ended = stop_and_watch(context, request.rollout, service, ongoing, chosen.name)
        draft.image, draft.image_digest = chosen.image, next(iter(chosen.digests.values()), "")
        return _told(context, request, ended, service, chosen)
    if ongoing is not None and not request.supersede:
        raise Refused(
            f"Another deployment of the service {service.name!r} is ongoing "
            f"({short_id(ongoing.task_definition)}, {ongoing.status}), and it did not begin from "
            f"{short_id(chosen.name)}.",
            hint="Wait for its end, or set supersede to true.",
        )
    if past.rollouts is None and not request.supersede:
        _refuse_classic(service)
    if ongoing is None and _runs(service, chosen) and not request.force:
        return Verdict(
            outcome=Outcome.SUCCEEDED,
            reason=f"The service runs {short_id(chosen.name)} already: nothing was changed.",
        ), Details()

    raw = _target(context, chosen)
    current = context.ecs.fetch_task_definition(service.task_definition)
    found = _images(context, raw, chosen, past)
    _check_prerequisites(context, raw, current, service)
    draft.image, draft.image_digest = found.main, found.digest
    definition = _definition(raw, found.pins)
    again = bool(found.pins) or raw.body.get("status") == "INACTIVE"
    rendering = Rendering(
        definition=definition,
        existing_arn="" if again else raw.arn,
        changes=difference(registrable({"taskDefinition": current.body}), without_tags(definition)),
        image=found.main,
        image_digest=found.digest,
        digests=found.digests,
        findings=(),
        running_images=images(current.body),
    )
    draft.rendering = rendering
    arn = _register_again(context, request.reason, raw, rendering) if again else raw.arn
    draft.task_definition_arn = arn
    plan = Plan(service=service, rendering=rendering, arn=arn, options=request.rollout, urgent=True)
    verdict, details = roll_out(context, plan)
    if request.reason:
        with held_signals():
            _tag_reason(context, request.reason, arn, service)
    if verdict.outcome == Outcome.SUCCEEDED:
        clean_up_revisions(
            context,
            request.keep_revisions,
            service=service.name,
            current=arn,
            previous=service.task_definition,
        )
    return _told(context, request, (verdict, details), service, chosen)


def _runs(service: Service, chosen: Chosen) -> bool:
    """Say whether the service runs the target already, and not only was to."""
    primary = service.primary
    failed = primary is not None and primary.rollout_state == RolloutState.FAILED
    return short_id(chosen.name) == short_id(service.task_definition) and not failed


def _refuse_classic(service: Service) -> None:
    """Refuse where only the classic deployments tell that another one is ongoing."""
    if any(d.rollout_state == RolloutState.IN_PROGRESS for d in service.deployments):
        raise Refused(
            f"Another deployment of the service {service.name!r} is ongoing.",
            hint="Wait for its end, or set supersede to true.",
        )


def _target(context: Context, chosen: Chosen) -> RawTaskDefinition:
    try:
        raw = context.ecs.fetch_task_definition(chosen.name)
    except InvalidInput as error:
        raise InvalidInput(
            f"There is no revision {short_id(chosen.name)!r}.",
            hint="`ecs-gpu-deploy history` lists those that the service ran.",
        ) from error
    if raw.body.get("status") == "DELETE_IN_PROGRESS":
        raise InvalidInput(f"The revision {short_id(raw.arn)} is being deleted.")
    return raw


def _images(context: Context, raw: RawTaskDefinition, chosen: Chosen, past: Past) -> _Images:
    """Look every image up by the digest that it ran with; a tag may have been moved or expired since."""
    named = images(raw.body)
    tagged = told_by(raw.tags).get("digest", "")
    digests: dict[str, str] = {}
    pins: dict[str, str] = {}
    main, main_digest = "", ""
    for container, image in named.items():
        reference = ImageReference.from_text(image)
        ran = reference.digest or chosen.digests.get(container, "") or ("" if main else tagged)
        wanted = reference.with_digest(ran) if ran else reference
        try:
            seen, finding = fetch_image(context.aws, wanted)
        except InvalidInput as error:
            others = runnable(context, past, but=raw.arn)
            raise InvalidInput(
                f"{short_id(raw.arn)} cannot run any more: {error.message}",
                hint=f"Can still run: {others}." if others else error.hint,
            ) from error
        if finding:
            context.draft.findings.append(finding)
        digest = seen.digest or ran
        if digest and not seen.is_index:
            digests[container] = digest
        if ran and not reference.digest and not finding and reference.tag not in seen.tags:
            pins[container] = str(wanted)
            context.draft.findings.append(
                Finding(
                    code="image-tag-moved",
                    severity=Severity.WARNING,
                    message=f"The tag of {image} names another image by now, so {ran[:19]}… is deployed by "
                    "its digest, in a new revision.",
                )
            )
        if not main:
            main, main_digest = pins.get(container, image), digest
    return _Images(digests=digests, pins=pins, main=main, digest=main_digest)


def _check_prerequisites(
    context: Context, raw: RawTaskDefinition, current: RawTaskDefinition, service: Service
) -> None:
    """Refuse a target whose roles or secrets are gone.

    A role that the running revision names too is proven by its running tasks.
    """
    runs = 0 < service.desired_count <= service.running_count
    seen = fetch_prerequisites(context.aws, raw.body, known=roles_of(current.body) if runs else ())
    if seen.gone:
        raise InvalidInput(
            f"{short_id(raw.arn)} cannot run any more: {', '.join(seen.gone)} "
            f"{'does' if len(seen.gone) == 1 else 'do'} not exist.",
            hint="Create it again, or roll back to a revision that does not need it.",
        )
    if seen.unseen:
        context.draft.findings.append(
            Finding(
                code="prerequisites-not-checked",
                severity=Severity.INFO,
                message=f"Not looked up: {'; '.join(seen.unseen)}",
                hint="Allow iam:GetRole, secretsmanager:DescribeSecret and ssm:DescribeParameters, or do "
                "without this check.",
            )
        )


def _definition(raw: RawTaskDefinition, pins: Mapping[str, str]) -> dict[str, Any]:
    definition = registrable({"taskDefinition": raw.body, "tags": list(raw.tags)})
    for container in definition["containerDefinitions"]:
        container["image"] = pins.get(container["name"], container["image"])
    return definition


def _register_again(context: Context, reason: str, raw: RawTaskDefinition, rendering: Rendering) -> str:
    """Register the old revision once more, with the commit that it was made from."""
    old = told_by(raw.tags)
    run = provenance_of_run(digest=rendering.image_digest)
    provenance: Provenance = replace(
        run,
        commit=old.get("commit", ""),
        repository=old.get("repository", ""),
        reason=reason,
    )
    arn = register_revision(context, rendering.definition, provenance)
    context.reporter.say(f"{short_id(raw.arn)} registered again as {short_id(arn)}")
    return arn


def _tag_reason(context: Context, reason: str, arn: str, service: Service) -> None:
    run = provenance_of_run()
    about = {
        "reason": tag_value(reason),
        "rolled-back-from": tag_value(short_id(service.task_definition)),
        "rolled-back-by": tag_value(run.actor),
    }
    if not tag_revision(context.aws, arn, about):
        context.draft.findings.append(
            Finding(
                code="no-provenance",
                severity=Severity.INFO,
                message="The reason does not stand in the revision's tags: ecs:TagResource is denied.",
            )
        )


def _told(
    context: Context,
    request: RollbackRequest,
    ended: tuple[Verdict, Details],
    service: Service,
    chosen: Chosen,
) -> tuple[Verdict, Details]:
    """Say in the verdict and in the summary from where and to what was rolled back, and why."""
    verdict, details = ended
    digest = context.draft.image_digest if context.draft.rendering else ""
    arn = context.draft.task_definition_arn or chosen.name
    back = f"{short_id(service.task_definition)} → {short_id(arn)}"
    if verdict.outcome == Outcome.SUCCEEDED:
        what = f" ({digest[:19]}…)" if digest else ""
        verdict = replace(verdict, reason=f"Rolled back, {back}{what}. {verdict.reason}")
    rows = [("From", table_code(short_id(service.task_definition))), ("To", table_code(short_id(arn)))]
    rows += [("Chosen", markdown(chosen.how))]
    if request.reason:
        rows.append(("Reason", markdown(request.reason)))
    table = "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
    return verdict, replace(details, sections={**details.sections, "Rollback": table})
