"""Deploy one revision to several services: in the order given, or together; stop at the first bad verdict.

All services are checked before anything changes, and one revision is registered for all of them
(https://github.com/aws-actions/amazon-ecs-deploy-task-definition/issues/420).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ecs_gpu_deploy.core.definition.diff import diff_text, difference
from ecs_gpu_deploy.core.definition.task_definition import registrable, without_tags
from ecs_gpu_deploy.core.image.layers import LayerDelta
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.text import markdown, table_code
from ecs_gpu_deploy.edges.machine.signals import Cancelled, held_signals, is_cancelled
from ecs_gpu_deploy.errors import DeployError
from ecs_gpu_deploy.inputs.requests import DeployRequest
from ecs_gpu_deploy.model import Service, short_id
from ecs_gpu_deploy.result import Finding, Outcome, ServiceEnd, Severity
from ecs_gpu_deploy.steps.build_image import compare_layers, with_built_image
from ecs_gpu_deploy.steps.clean_up_revisions import clean_up_revisions
from ecs_gpu_deploy.steps.context import Context
from ecs_gpu_deploy.steps.facts import Fact, Section, ServiceSeen, ServicesEnded, known_from
from ecs_gpu_deploy.steps.follow_rollout import Begun, Plan, begin_rollout, follow_rollout, roll_out
from ecs_gpu_deploy.steps.register_revision import register_rendering
from ecs_gpu_deploy.steps.render_revision import Rendering, render_revision
from ecs_gpu_deploy.steps.start_deployment import check_deployable, check_fit, wait_for_others


@dataclass(slots=True, kw_only=True)
class _Part:
    """One of the services: what it ran before, what was recorded of it, and how it ended."""

    context: Context
    facts: list[Fact]
    request: DeployRequest
    service: Service
    rendering: Rendering
    to_pull: LayerDelta | None
    begun: Begun | None = None
    verdict: Verdict | None = None
    error: DeployError | None = None

    @property
    def name(self) -> str:
        return self.service.name

    def plan(self, arn: str) -> Plan:
        """Return the rollout of the revision *arn* to this service."""
        return Plan(
            service=self.service,
            rendering=self.rendering,
            arn=arn,
            options=self.request.rollout,
            to_pull=self.to_pull,
            force_new_deployment=self.request.force_new_deployment,
        )

    @property
    def is_bad(self) -> bool:
        return self.verdict is not None and self.verdict.outcome != Outcome.SUCCEEDED


def deploy_several(context: Context, request: DeployRequest) -> Verdict:
    """Deploy to all services of the request, and return the verdict over all of them."""
    reporter = context.reporter
    services = [context.ecs.fetch_service(name) for name in request.services]
    for service in services:
        check_deployable(service, allow_desired_zero=request.rollout.allow_desired_zero)
    first = services[0]
    context.record(ServiceSeen(name=first.name, previous=first.task_definition))
    overrides = with_built_image(context, request, first)
    rendering = render_revision(context, request, first, overrides)
    for service in services:
        check_fit(rendering.definition, service)
    to_pull = compare_layers(context, rendering, platform=request.platform)
    parts = [_part(context, request, service, rendering, to_pull) for service in services]
    for part in parts:
        part.service = wait_for_others(part.context, part.service, request)
    reporter.say(f"services {', '.join(part.name for part in parts)}: one revision for all")
    if rendering.changes:
        reporter.block(diff_text(rendering.changes), title="what changes in the task definition")
    arn = register_rendering(context, rendering, first, commit=request.commit)
    try:
        if request.parallel:
            with held_signals():
                _together(parts, arn)
        else:
            _one_by_one(parts, arn)
        return _ended(context, request, parts, arn)
    finally:
        context.record(ServicesEnded(services=tuple(_end(part) for part in parts)))
        for part in parts:
            for fact in part.facts:
                if isinstance(fact, Finding):
                    context.record(replace(fact, message=f"{part.name}: {fact.message}"))


def _part(
    context: Context,
    request: DeployRequest,
    service: Service,
    rendering: Rendering,
    to_pull: LayerDelta | None,
) -> _Part:
    """Return a service with a record of its own; its diff is to what it runs itself."""
    running = context.ecs.fetch_task_definition(service.task_definition)
    changes = difference(registrable({"taskDefinition": running.body}), without_tags(rendering.definition))
    facts: list[Fact] = []
    return _Part(
        context=replace(context, record=facts.append),
        facts=facts,
        request=request,
        service=service,
        rendering=replace(rendering, changes=changes),
        to_pull=to_pull,
    )


def _one_by_one(parts: Sequence[_Part], arn: str) -> None:
    for part in parts:
        part.context.reporter.say(f"service {part.name}")
        try:
            part.verdict = roll_out(part.context, part.plan(arn))
        except Cancelled:
            part.verdict = _not_updated()
            return
        except DeployError as error:
            part.verdict = Verdict(outcome=Outcome(error.outcome), reason=error.message)
            part.error = error
            return
        if part.is_bad:
            return


def _not_updated() -> Verdict:
    return Verdict(outcome=Outcome.CANCELLED, reason="The job was cancelled before this service was updated.")


def _together(parts: Sequence[_Part], arn: str) -> None:
    """Start all, then follow each to its verdict. A cancelled job is cancelled for all of them."""
    for part in parts:
        part.context.reporter.say(f"service {part.name}")
        try:
            begun = begin_rollout(part.context, part.plan(arn))
        except Cancelled:
            part.verdict = _not_updated()
            break
        if isinstance(begun, Verdict):
            part.verdict = begun
        else:
            part.begun = begun
        if is_cancelled():
            break
    cancelled = is_cancelled()
    for part in parts:
        if part.begun is None:
            continue
        part.context.reporter.say(f"service {part.name}: waiting for the verdict")
        own = replace(part.begun, cancelled=cancelled)
        part.verdict = follow_rollout(part.context, part.plan(arn), own)
        cancelled = cancelled or part.verdict.outcome == Outcome.CANCELLED


def _ended(context: Context, request: DeployRequest, parts: Sequence[_Part], arn: str) -> Verdict:
    bad = next((part for part in parts if part.is_bad), None)
    shown = bad or parts[-1]
    for fact in shown.facts:
        if not isinstance(fact, Finding):
            context.record(fact)
    if bad is None or bad.verdict is None:
        those = ", ".join(part.name for part in parts)
        verdict = Verdict(
            outcome=Outcome.SUCCEEDED, reason=f"{len(parts)} services run {short_id(arn)}: {those}."
        )
        clean_up_revisions(context, parts[0].plan(arn), keep=request.keep_revisions)
    else:
        context.record(ServiceSeen(name=bad.name, previous=bad.service.task_definition))
        rest = [part.name for part in parts if part.verdict is None]
        after = f" Not deployed: {', '.join(rest)}." if rest else ""
        verdict = replace(bad.verdict, reason=f"{bad.name}: {bad.verdict.reason}{after}")
        if request.rollout.on_failure == "rollback-all" and bad.verdict.outcome != Outcome.CANCELLED:
            _roll_back_done(parts)
        if bad.error is not None:
            raise bad.error
    rows = ["| Service | Outcome | Reason |", "|---|---|---|"]
    rows += [
        f"| {table_code(end.service)} | {end.outcome} | {markdown(end.reason)} |"
        for end in (_end(part) for part in parts)
    ]
    context.record(Section(title="Services", text="\n".join(rows)))
    return verdict


def _roll_back_done(parts: Sequence[_Part]) -> None:
    """Bring the services that were done back to what they ran before, the last one first."""
    for part in reversed(parts):
        if part.verdict is None or part.is_bad:
            continue
        before = part.service.task_definition
        part.context.reporter.say(f"on-failure: {part.name} goes back to {short_id(before)}")
        try:
            now = part.context.ecs.fetch_service(part.name)
            raw = part.context.ecs.fetch_task_definition(before)
            back = replace(
                part.rendering,
                definition=registrable({"taskDefinition": raw.body}),
                existing_arn=before,
                changes=(),
                digests={},
            )
            plan = replace(part.plan(before), service=now, rendering=back)
            verdict = roll_out(part.context, plan)
        except DeployError as error:
            message, hint = f"{part.name} could not be rolled back: {error.message}", error.hint
            part.context.record(
                Finding(code="rollback-not-started", severity=Severity.ERROR, message=message, hint=hint)
            )
            continue
        well = verdict.outcome == Outcome.SUCCEEDED
        part.verdict = Verdict(
            outcome=Outcome.ROLLED_BACK if well else verdict.outcome,
            reason=f"Rolled back to {short_id(before)}, because another service failed."
            if well
            else f"Its rollback to {short_id(before)} did not succeed: {verdict.reason}",
        )


def _end(part: _Part) -> ServiceEnd:
    ending = known_from(part.facts).ending
    verdict = part.verdict or Verdict(outcome=Outcome.CANCELLED, reason="It was not deployed.")
    return ServiceEnd(
        service=part.name,
        outcome=verdict.outcome,
        reason=verdict.reason,
        previous_task_definition_arn=part.service.task_definition,
        service_deployment_arn=ending.service_deployment_arn if ending else "",
    )
