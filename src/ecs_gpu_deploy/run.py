"""Run a command from its settings to its exit code, with a result written in every case."""

from __future__ import annotations

import os
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TextIO, TypeVar

from ecs_gpu_deploy import __version__
from ecs_gpu_deploy.commands import deploy, history, push, rollback, run_task, watch
from ecs_gpu_deploy.core.identity.role_wish import RoleWish
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.show.report import (
    Details,
    annotation,
    log_blocks,
    markdown_view,
    outputs,
    result_json,
    text_view,
)
from ecs_gpu_deploy.core.text import log_line, plain
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.aws.credentials import check_account, session_for
from ecs_gpu_deploy.edges.aws.ecs import Ecs
from ecs_gpu_deploy.edges.ci.github import GitHub
from ecs_gpu_deploy.edges.machine.clock import Clock, WallClock, clock_from_environment
from ecs_gpu_deploy.edges.machine.files import check_writable, write_text
from ecs_gpu_deploy.edges.machine.live import live_frame
from ecs_gpu_deploy.edges.machine.reporter import Reporter, emit
from ecs_gpu_deploy.edges.machine.signals import Cancelled, heed_signals, ignore_signals
from ecs_gpu_deploy.errors import DeployError, InternalError, Refused
from ecs_gpu_deploy.inputs.checks import (
    check_deploy,
    check_history,
    check_push,
    check_role,
    check_rollback,
    check_run_task,
    check_watch,
    run_options,
)
from ecs_gpu_deploy.inputs.requests import RunOptions
from ecs_gpu_deploy.inputs.settings import Settings
from ecs_gpu_deploy.result import Diagnosis, Finding, Outcome, Result, Severity
from ecs_gpu_deploy.steps.context import Context, Draft

Request = TypeVar("Request")
Ready = Callable[[Context], tuple[Verdict, Details]]


def _command(
    check: Callable[[Settings], Request], run: Callable[[Context, Request], tuple[Verdict, Details]]
) -> Callable[[Settings], Ready]:
    """Return what checks the settings and gives the command that only lacks the edges."""

    def ready(settings: Settings) -> Ready:
        request = check(settings)
        return lambda context: run(context, request)

    return ready


COMMANDS: Mapping[str, Callable[[Settings], Ready]] = {
    "deploy": _command(check_deploy, deploy.run),
    "history": _command(check_history, history.run),
    "push": _command(check_push, push.run),
    "rollback": _command(check_rollback, rollback.run),
    "run-task": _command(check_run_task, run_task.run),
    "watch": _command(check_watch, watch.run),
}
_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN")


def run_command(command: str, read_settings: Callable[[], Settings], *, result_file: str) -> int:
    """Run *command*; write result file, outputs, summary and annotation; return the exit code.

    *result_file* is where the result goes even when the settings themselves are wrong.
    """
    github = GitHub()
    for name in _SECRETS:
        github.mask(os.environ.get(name, ""))
    draft = Draft()
    details: Details | None = None
    reporter: Reporter | None = None
    options: RunOptions | None = None
    aws: Aws | None = None
    clock: Clock | None = None
    began = 0.0
    try:
        heed_signals()
        if result_file:
            check_writable(result_file, what="result file")
        clock = clock_from_environment()
        began = clock.now()
        settings = read_settings()
        options = run_options(settings)
        result_file = options.result_file or result_file
        run = COMMANDS[command](settings)
        aws = _connected(options, check_role(settings), clock, github, draft)
        frame = live_frame(sys.stdout, ticks=isinstance(clock, WallClock))
        reporter = Reporter(clock, sys.stdout, groups=github, frame=frame)
        context = Context(
            aws=aws,
            ecs=Ecs(aws, options.cluster or "default"),
            clock=clock,
            reporter=reporter,
            draft=draft,
        )
        verdict, details = run(context)
        result = _result(command, options, draft, aws, outcome=verdict.outcome, reason=verdict.reason)
    except DeployError as error:
        result = _error_result(command, options, draft, aws, error)
    except Cancelled:
        reason = "The job was cancelled before the deployment was started: nothing was changed."
        if draft.task_definition_arn:
            reason = "The job was cancelled before the service was updated; a revision was registered."
        result = _result(command, options, draft, aws, outcome=Outcome.CANCELLED, reason=reason)
    except Exception as error:  # noqa: BLE001  (the last line of defence: a result is written all the same)
        if github.is_debug or (options is not None and options.debug) or "--debug" in sys.argv:
            traceback.print_exc()
        bug = InternalError.of(error, version=__version__)
        result = _error_result(command, options, draft, aws, bug)
    ignore_signals()
    details = details or draft.details
    now = clock.now() if clock is not None else 0.0
    if reporter is not None:
        reporter.close()
        details = _seen(details, draft, reporter, options, now)
        if result.outcome != Outcome.SUCCEEDED:
            for title, text in log_blocks(details):
                reporter.block(text, title=title)
    if clock is not None:
        result = replace(result, duration_seconds=max(now - began, 0.0))
        if close := getattr(clock, "close", None):
            close()
    is_document = options is not None and options.prints_document
    _publish(result, details, github, result_file, log=sys.stderr if is_document else sys.stdout)
    return result.exit_code


def _seen(
    details: Details, draft: Draft, reporter: Reporter, options: RunOptions | None, now: float
) -> Details:
    """Return *details* with what was seen during the wait."""
    return replace(
        details,
        spans=reporter.timeline.spans,
        ended_at=now,
        log_tails=draft.ending.log_tails if draft.ending else details.log_tails,
        gpus=draft.ending.gpus if draft.ending else (),
        gpu_hourly_cost=options.gpu_hourly_cost if options else None,
    )


def _connected(options: RunOptions, wish: RoleWish, clock: Clock, github: GitHub, draft: Draft) -> Aws:
    trace = None
    if options.debug or github.is_debug:

        def trace(name: str) -> None:
            emit(f"debug: {name}", sys.stderr)

    # AWS's other tools read AWS_REGION; botocore itself reads AWS_DEFAULT_REGION only.
    region = options.region or os.environ.get("AWS_REGION") or None
    calls = Counter[str]()
    draft.findings += wish.findings()

    def say(text: str) -> None:
        emit(log_line(text), sys.stdout)

    session = session_for(wish, region=region, clock=clock, mask=github.mask, say=say, calls=calls)
    aws = Aws(region=region, clock=clock, botocore_session=session, trace=trace, calls=calls, say=say)
    check_account(aws, wish)
    return aws


def _result(
    command: str, options: RunOptions | None, draft: Draft, aws: Aws | None, *, outcome: Outcome, reason: str
) -> Result:
    ending, rendering = draft.ending, draft.rendering
    return Result(
        command=command,
        outcome=outcome,
        exit_code=outcome.exit_code if draft.exit_code is None else draft.exit_code,
        reason=reason,
        cluster=options.cluster if options else "",
        service=draft.service.name if draft.service else options.service if options else "",
        image=rendering.image if rendering else draft.image,
        image_digest=rendering.image_digest if rendering else draft.image_digest,
        task_definition_arn=draft.task_definition_arn,
        previous_task_definition_arn=draft.previous_task_definition_arn,
        service_deployment_arn=ending.service_deployment_arn if ending else "",
        diagnoses=ending.diagnoses if ending else draft.diagnoses,
        findings=(*draft.findings, *(ending.findings if ending else ())),
        phases=ending.phases if ending else draft.phases,
        api_calls=dict(aws.calls) if aws else {},
        services=draft.services,
        tasks=draft.tasks,
        history=draft.history,
    )


def _error_result(
    command: str, options: RunOptions | None, draft: Draft, aws: Aws | None, error: DeployError
) -> Result:
    reason = plain(error.message, limit=4000)
    result = _result(command, options, draft, aws, outcome=Outcome(error.outcome), reason=reason)
    code = error.diagnosis_code if isinstance(error, Refused) else ""
    own = (Diagnosis(code=code, message=reason, hint=error.hint),) if code else ()
    finding = Finding(code=code or error.outcome, severity=Severity.ERROR, message=reason, hint=error.hint)
    return replace(
        result,
        exit_code=error.exit_code,
        diagnoses=(*own, *result.diagnoses),
        findings=(finding, *result.findings),
    )


def _publish(result: Result, details: Details, github: GitHub, result_file: str, *, log: TextIO) -> None:
    is_error = result.outcome in {Outcome.INVALID, Outcome.REFUSED}
    emit(text_view(result, details).rstrip("\n"), sys.stderr if is_error else log)
    level, title, message = annotation(result)
    if level == "error":
        github.annotate(level, message, title=title)
    github.summarize(markdown_view(result, details))
    values = outputs(result)
    if result_file:
        try:
            write_text(result_file, result_json(result))
        except OSError as error:
            emit(f"error: the result file could not be written: {error.strerror}", sys.stderr)
        else:
            emit(f"result: {result_file}", log)
    github.set_outputs({**values, "result-file": result_file})
