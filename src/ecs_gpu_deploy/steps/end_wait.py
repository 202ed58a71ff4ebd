"""What on-timeout, on-failure and on-cancel do with a deployment that still goes on in AWS."""

from __future__ import annotations

import shlex
from contextlib import suppress
from dataclasses import dataclass, replace

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.service_update import ServiceUpdate
from ecs_gpu_deploy.core.judge.observed import History, is_ours
from ecs_gpu_deploy.core.judge.options import RolloutOptions
from ecs_gpu_deploy.core.judge.own_rollback import REFUSED_STOP_SECONDS, rollback_seconds, rollback_sentence
from ecs_gpu_deploy.core.judge.pace import CANCEL_FIND_SECONDS, CANCEL_SECONDS
from ecs_gpu_deploy.core.judge.verdict import Verdict, Waiting
from ecs_gpu_deploy.core.past.ongoing import stop_command
from ecs_gpu_deploy.core.show.progress import hook_of
from ecs_gpu_deploy.core.text import count
from ecs_gpu_deploy.edges.aws.answers import AwsError, Denied, Passing, Unclear, one_line
from ecs_gpu_deploy.edges.aws.codedeploy import CodeDeploy
from ecs_gpu_deploy.edges.machine.signals import Cancelled, CutShort, at_most
from ecs_gpu_deploy.errors import DeployError, InvalidInput, Refused
from ecs_gpu_deploy.facts import Ending, NextCommand, RollbackSent
from ecs_gpu_deploy.model import Service, ServiceDeployment, ServiceDeploymentStatus, short_id
from ecs_gpu_deploy.result import Finding, NextStep, Outcome, Severity
from ecs_gpu_deploy.steps.take_turns import Wait
from ecs_gpu_deploy.steps.watch_rollout import Begun, Later, Watcher

_FIND_PAUSES = (0.0, 1.0, 2.0, 4.0)
"""Seconds before each look for the service deployment: AWS lists it a moment after the update."""


def leave_or_roll_back(
    context: Context, options: RolloutOptions, rollout: Begun, ending: Ending, watcher: Watcher
) -> Wait[Ending]:
    """Do what the option for the verdict of *ending* says, and return how it ended.

    A rollback is watched to its end; where AWS refuses it because it has ended the deployment itself, its
    verdict is the one that counts. How to roll back by hand is recorded, unless we did.
    """
    option, wish = _asked(options, ending.verdict.outcome)
    if not _deployment_of(ending):
        with suppress(CutShort), at_most(CANCEL_FIND_SECONDS):
            ending = replace(ending, service_deployment_arn=_found(context, rollout))
            context.record(ending)
    arn = _deployment_of(ending)
    if wish == "leave":
        left = still_running(context, rollout, ending, why=f"{option}: leave", seen=watcher.deployment)
        context.record(left)
    else:
        request = _Request(context=context, rollout=rollout, arn=arn, option=option, watcher=watcher)
        ended = yield from request.roll_back(ending)
        if ended is not None:
            return ended
    if rollout.is_way_back:
        command = watch_command(context, rollout.service, arn)
    else:
        command = _rollback_command(context, rollout, arn)
    context.record(NextCommand(command=command))
    return ending


def leave_to_aws(context: Context, rollout: Begun) -> Ending:
    """Return the ending of a rollout that began and that nobody waits for: the reason says how to watch."""
    watched = rollout.watch.watched
    arn = watched.codedeploy_id
    for pause in () if arn else _FIND_PAUSES:
        context.clock.sleep(pause)
        if arn := _found(context, rollout):
            break
    name = watched.codedeploy_id or watched.deployment_id
    what = f"Deployment {name} of {short_id(watched.task_definition)} began"
    how = watch_command(context, rollout.service, arn)
    verdict = Verdict(
        outcome=Outcome.STARTED,
        reason=f"{what}; nobody waited, so how it ends is not known. To watch it: {how}",
    )
    return ending_unseen(context, rollout, verdict, arn)


def left_at_stage(context: Context, rollout: Begun, ending: Ending, watcher: Watcher) -> Ending:
    """Return, recorded, the ending of a wait that ended at a stage: the reason says how to go on."""
    how = f"To watch it: {watch_command(context, rollout.service, _deployment_of(ending))}"
    if watcher.deployment is not None and (hook := hook_of(watcher.deployment, rollout.service)) is not None:
        how = f"To let it go on: {hook.continue_command}"
    verdict = replace(ending.verdict, reason=f"{ending.verdict.reason} {how}")
    told = replace(ending, verdict=verdict)
    context.record(told)
    return told


def ending_unseen(context: Context, rollout: Begun, verdict: Verdict, arn: str) -> Ending:
    """Return, recorded, the ending of a rollout of which nobody looks on; *arn* as in `watch_command`."""
    watched = rollout.watch.watched
    ending = Ending(
        verdict=verdict,
        diagnoses=(),
        findings=(),
        phases=(),
        service=rollout.service,
        service_deployment_arn="" if watched.codedeploy_id else arn,
        codedeploy_deployment_id=watched.codedeploy_id,
        history=History(started_at=watched.started_at, seen_at=context.clock.now()),
    )
    context.record(ending)
    return ending


def roll_back_left(context: Context, rollout: Begun, ending: Ending) -> Wait[Ending]:
    """Roll back, for rollback-all, a rollout whose end we did not see; return how it ended."""
    request = _Request(
        context=context,
        rollout=rollout,
        arn=_deployment_of(ending),
        option="rollback-all",
        watcher=Watcher(context, rollout),
    )
    return (yield from request.roll_back(ending)) or ending


def end_unclear(
    context: Context, options: RolloutOptions, before: Service, arn: str, *, why: str, cancelled: bool
) -> Verdict:
    """Say that nobody knows whether the service was updated to *arn*, and do what on-cancel says.

    A rollback updates to the revision before: where nothing was carried out, that changes nothing. Raises
    Refused where the job was not cancelled.
    """
    what = f"Whether AWS carried out UpdateService ({short_id(arn)}) is not known: {why.rstrip('.')}."
    place = f"--cluster {shlex.quote(context.ecs.cluster)} --services {shlex.quote(before.name)}"
    back = stop_command(context.ecs.cluster, before.name, arn="", before=before.task_definition)
    steps = (
        NextStep(purpose="To look", command=f"aws ecs describe-services {place}"),
        NextStep(purpose="To roll it back", command=back),
    )
    hint = "\n".join(f"{step.purpose}: {step.command}" for step in steps)
    if not cancelled:
        raise Refused(what, hint=hint)
    context.record(
        Finding(code="update-unclear", severity=Severity.ERROR, message=what, hint=hint, next_steps=steps)
    )
    if options.on_cancel != "rollback" or not _went_back(context, before):
        context.record(NextCommand(command=back))
    reason = (
        "The job was cancelled while UpdateService was under way; whether AWS carried it out is not known."
    )
    return Verdict(outcome=Outcome.CANCELLED, reason=reason)


def _went_back(context: Context, before: Service) -> bool:
    """Update the service to the revision before, where nobody knows what it runs; say how it went."""
    previous = short_id(before.task_definition)
    why = send_back(context, before)
    if not why:
        said = f"on-cancel: the service was told to run {previous}, whatever came of the first update."
        context.record(Finding(code="rollback-requested", severity=Severity.WARNING, message=said))
        return True
    what = f"Whether the service goes back to {previous}, as on-cancel asks, is not known either: {why}"
    context.record(Finding(code="rollback-not-started", severity=Severity.ERROR, message=what))
    return False


def send_back(context: Context, before: Service) -> str:
    """Update a service to what it ran *before*, for a cancelled job; return why that failed, or ""."""
    try:
        with at_most(CANCEL_SECONDS):
            context.ecs.update_service(before, _way_back(before, before.task_definition))
    except CutShort:
        return f"AWS did not answer within {CANCEL_SECONDS:g} s."
    except (AwsError, DeployError) as error:
        return one_line(error)
    return ""


def _way_back(service: Service, to: str) -> ServiceUpdate:
    return ServiceUpdate(service=service.name, task_definition=to, force=False)


def _asked(options: RolloutOptions, outcome: Outcome) -> tuple[str, str]:
    """Return the option that is meant for *outcome*, and its value; rollback-all says who asks by itself."""
    match outcome:
        case Outcome.TIMED_OUT:
            option, wish = "on-timeout", options.on_timeout
        case Outcome.CANCELLED:
            return "on-cancel", options.on_cancel
        case _:
            option, wish = "on-failure", options.on_failure
    return ("rollback-all" if wish == "rollback-all" else option), wish


def _deployment_of(ending: Ending) -> str:
    """Return the ARN of our service deployment, or CodeDeploy's id of ours; "" where it is not known."""
    return ending.codedeploy_deployment_id or ending.service_deployment_arn


def still_running(
    context: Context, rollout: Begun, ending: Ending, *, why: str, seen: ServiceDeployment | None = None
) -> Finding:
    """Return what still runs in AWS, and the commands to go on watching it and to roll it back.

    Where *seen*, the deployment as it was last seen, waits at a hook, there is one that lets it go on.
    """
    arn, watched = _deployment_of(ending), rollout.watch.watched
    deployments = ending.service.deployments
    ours = next((d for d in deployments if is_ours(watched, d)), None)
    old = sum(d.running_count for d in deployments if not is_ours(watched, d))
    running = (
        f"{ours.running_count} of {count(ours.desired_count, 'new task')} and {count(old, 'old task')} run"
        if ours
        else f"{count(old, 'task')} of the service run"
    )
    looked = ending.history.seen_at > (watched.watched_from or watched.started_at)
    phase = f"phase {ending.history.phase}, " if looked else ""
    hook = hook_of(seen, rollout.service) if seen is not None and not watched.codedeploy_id else None
    goes_on = [NextStep(purpose="To let it go on", command=hook.continue_command)] if hook else []
    steps = [
        *goes_on,
        NextStep(purpose="To go on watching", command=watch_command(context, rollout.service, arn)),
    ]
    if arn:
        describe = f"aws ecs describe-service-deployments --service-deployment-arns {arn}"
        if watched.codedeploy_id:
            describe = f"aws deploy get-deployment --deployment-id {arn}"
        steps.append(NextStep(purpose="or", command=describe))
    if not rollout.is_way_back:
        steps.append(NextStep(purpose="To roll it back", command=_rollback_command(context, rollout, arn)))
    return Finding(
        code="still-running",
        severity=Severity.WARNING,
        message=f"{_goes_on(rollout, why)}: {phase}{running}.",
        hint="\n".join(f"{step.purpose}: {step.command}" for step in steps),
        next_steps=tuple(steps),
        until_taken_back=True,
    )


def _goes_on(rollout: Begun, why: str) -> str:
    """Return what AWS goes on with; nobody asks an option *why* a way back is left to it."""
    if rollout.is_way_back:
        return "The rollback goes on in AWS"
    return f"The deployment goes on in AWS ({why})"


def watch_command(context: Context, service: Service, arn: str) -> str:
    """Return the command that watches the service deployment *arn*, or where that is "", the service."""
    cluster, name = shlex.quote(context.ecs.cluster), shlex.quote(service.name)
    if arn:
        return f"ecs-gpu-deploy watch --cluster {cluster} --service {name} --service-deployment {arn}"
    return f"aws ecs describe-services --cluster {cluster} --services {name}"


def _rollback_command(context: Context, rollout: Begun, arn: str) -> str:
    return stop_command(context.ecs.cluster, rollout.service.name, arn=arn, before=rollout.previous)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """The rollback that *option* asks for, of the service deployment `arn` ("" where it is unknown)."""

    context: Context
    rollout: Begun
    arn: str
    option: str
    watcher: Watcher

    def roll_back(self, ending: Ending) -> Wait[Ending | None]:
        """Send the rollback and watch it; return the ending with its end, None where it did not begin."""
        previous = short_id(self.rollout.previous)
        began = self.context.clock.now()
        is_ours = True
        try:
            if self.option == "on-cancel":
                with at_most(CANCEL_SECONDS):
                    self._send()
            else:
                self._send()
        except CutShort:
            self._record_unsent(f"AWS did not answer within {CANCEL_SECONDS:g} s.")
            return None
        except Cancelled:
            self._record_unsent("the job was cancelled while AWS throttled it.")
            return None
        except (AwsError, Refused, InvalidInput) as error:
            answer = yield from self._answer_to_refused_stop(error, until=began + REFUSED_STOP_SECONDS)
            if isinstance(answer, Verdict):
                return (yield from self._by_aws(answer))
            if answer is None or not answer.rolling_back:
                self._record_unsent(one_line(error), denied=isinstance(error, Denied))
                return None
            is_ours = isinstance(error, Passing | Unclear)
        if is_ours:
            self.context.record(RollbackSent())
            self.context.reporter.say(f"{self.option}: rollback to {previous} requested")
        later = yield from self._watched(ending, began)
        if isinstance(later.answer, Verdict) and (later.answer.outcome == Outcome.SUCCEEDED or not is_ours):
            return (yield from self._by_aws(later.answer))
        return self._told(ending, later, began=began)

    def _send(self) -> None:
        """Stop our service deployment with a rollback; where it is unknown, update to the revision before.

        A cancelled job's deployment that AWS has ended well meanwhile is updated to it too. An update whose
        answer tells nothing may have begun: what AWS shows then tells, where there is time.
        """
        ecs, rollout = self.context.ecs, self.rollout
        if rollout.watch.watched.codedeploy_id:
            CodeDeploy(self.context.aws).stop(self.arn)
            return
        if self.arn:
            try:
                ecs.stop_deployment(self.arn)
            except AwsError as error:
                if self.option != "on-cancel" or isinstance(error, Denied | Passing | Unclear):
                    raise
                if ecs.observe_deployment(self.arn).status != ServiceDeploymentStatus.SUCCESSFUL:
                    raise
                self.context.reporter.say("AWS had ended the deployment well before the cancellation")
            else:
                return
        try:
            ecs.update_service(rollout.service, _way_back(rollout.service, rollout.previous))
        except Unclear:
            if self.option == "on-cancel":
                raise

    def _answer_to_refused_stop(self, error: Exception, *, until: float) -> Wait[Verdict | Waiting | None]:
        """Return what AWS shows of a deployment that it refuses to stop; None where that says nothing.

        It refuses what has ended or goes back already, and its views may show that later than it knows.
        """
        if not self.arn or self.option == "on-cancel" or isinstance(error, Denied | Refused | InvalidInput):
            return None
        self.context.reporter.say(f"AWS does not stop the deployment: {one_line(error)}")
        later = yield from self.watcher.wait_for_aws(until)
        return None if later.unseen else later.answer

    def _watched(self, ending: Ending, began: float) -> Wait[Later]:
        """Return the end of the rollback as AWS shows it, or why it was not seen."""
        watch = self.rollout.watch
        if self.option == "on-cancel":
            return Later(
                answer=Waiting(rolling_back=True),
                service=ending.service,
                history=ending.history,
                gpus=ending.gpus,
                unseen="a cancelled job is given no time for it",
            )
        until = max(began + rollback_seconds(watch.facts), watch.watched.started_at + watch.watched.timeout)
        going_back_to = "" if self.arn else self.rollout.previous
        return (yield from self.watcher.wait_for_aws(until, going_back_to=going_back_to))

    def _by_aws(self, verdict: Verdict) -> Wait[Ending]:
        try:
            ending = yield from self.watcher.explained(verdict)
        except Cancelled:
            ending = self.watcher.ending(verdict)
        self.context.record(ending)
        return ending

    def _told(self, ending: Ending, later: Later, *, began: float) -> Ending:
        """Record how the rollback went, and return the ending whose reason says it."""
        rollout, answer = self.rollout, later.answer
        known = {event.id for event in ending.history.events}
        said = rollback_sentence(
            rollout.watch.watched,
            later.service,
            answer,
            asked_for=short_id(rollout.previous),
            option=self.option,
            seconds=self.context.clock.now() - began,
            events=[event for event in later.history.events if event.id not in known],
            unseen=later.unseen,
        )
        well = isinstance(answer, Waiting) or answer.outcome == Outcome.ROLLED_BACK
        self.context.record(
            Finding(
                code="rollback-requested",
                severity=Severity.WARNING if well else Severity.ERROR,
                message=said,
                hint=""
                if isinstance(answer, Verdict)
                else watch_command(self.context, rollout.service, self.arn),
            )
        )
        verdict = replace(ending.verdict, reason=f"{ending.verdict.reason} {said}")
        told = replace(ending, verdict=verdict, gpus=later.gpus)
        self.context.record(told)
        return told

    def _record_unsent(self, why: str, *, denied: bool = False) -> None:
        previous = short_id(self.rollout.previous)
        is_codedeploy = self.rollout.watch.watched.codedeploy_id
        stop = "codedeploy:StopDeployment" if is_codedeploy else "ecs:StopServiceDeployment"
        needs = f"; the permission is {stop}" if denied and self.arn else ""
        self.context.record(
            Finding(
                code="rollback-not-started",
                severity=Severity.ERROR,
                message=f"The rollback that {self.option} asks for could not be started: {why}",
                hint=f"Roll back by hand to {previous}{needs}.",
                until_taken_back=True,
            )
        )


def _found(context: Context, rollout: Begun) -> str:
    """Return the ARN of our service deployment, "" where AWS does not show it: we may be early, or denied."""
    number = short_id(rollout.watch.watched.deployment_id)
    with suppress(AwsError, DeployError):
        for brief in context.ecs.fetch_deployments(rollout.service.name):
            if short_id(brief.target_revision_arn) == number:
                return brief.arn
    return ""
