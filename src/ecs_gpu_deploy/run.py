"""Run a command from its settings to its exit code, with a result written in every case."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TextIO, TypeVar

from ecs_gpu_deploy import __version__
from ecs_gpu_deploy.commands import (
    continue_,
    deploy,
    history,
    login,
    plan,
    push,
    register,
    reject,
    render,
    rollback,
    run_task,
    status,
    watch,
)
from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.provenance import Provenance
from ecs_gpu_deploy.core.identity.role_wish import RoleWish
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.show.cancelled import cancelled_reason
from ecs_gpu_deploy.core.show.comment import comment_mark, comment_text
from ecs_gpu_deploy.core.show.console import console_url
from ecs_gpu_deploy.core.show.report import (
    Details,
    annotation,
    annotation_proof,
    log_blocks,
    outputs,
    printed_json,
    result_json,
    text_view,
)
from ecs_gpu_deploy.core.show.summary import markdown_view
from ecs_gpu_deploy.core.show.terminal_view import terminal_view
from ecs_gpu_deploy.core.text import log_line, plain
from ecs_gpu_deploy.edges.aws.answers import one_line
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.aws.credentials import check_account, session_for
from ecs_gpu_deploy.edges.aws.ecs import Ecs, check_region
from ecs_gpu_deploy.edges.ci.github import GitHub
from ecs_gpu_deploy.edges.ci.github_api import GitHubApi, GitHubError
from ecs_gpu_deploy.edges.ci.provenance import provenance_from_environment
from ecs_gpu_deploy.edges.ci.pull_request import put_comment
from ecs_gpu_deploy.edges.machine.clock import Clock, WallClock, clock_from_environment
from ecs_gpu_deploy.edges.machine.files import check_file_name, write_text
from ecs_gpu_deploy.edges.machine.live import is_terminal, live_frame
from ecs_gpu_deploy.edges.machine.reporter import Reporter, emit
from ecs_gpu_deploy.edges.machine.signals import Cancelled, heed_signals, ignore_signals
from ecs_gpu_deploy.errors import DeployError, as_told
from ecs_gpu_deploy.facts import Fact, Known, known_from
from ecs_gpu_deploy.inputs.checks import (
    check_answer,
    check_deploy,
    check_history,
    check_login,
    check_plan,
    check_push,
    check_register,
    check_render,
    check_role,
    check_rollback,
    check_run_task,
    check_status,
    check_watch,
    run_options,
)
from ecs_gpu_deploy.inputs.requests import RunOptions
from ecs_gpu_deploy.inputs.settings import Settings
from ecs_gpu_deploy.result import Diagnosis, Finding, Outcome, Result, Severity
from ecs_gpu_deploy.steps.record_deployment import end_record, is_worth_waiting

Request = TypeVar("Request")
Ready = Callable[[Context], Verdict]


def _command(
    check: Callable[[Settings], Request], run: Callable[[Context, Request], Verdict]
) -> Callable[[Settings], Ready]:
    """Return a function that checks the settings and gives the command, which then lacks the edges only."""

    def ready(settings: Settings) -> Ready:
        request = check(settings)
        return lambda context: run(context, request)

    return ready


_COMMANDS: Final = {
    "continue": _command(check_answer, continue_.run),
    "deploy": _command(check_deploy, deploy.run),
    "history": _command(check_history, history.run),
    "login": _command(check_login, login.run),
    "plan": _command(check_plan, plan.run),
    "push": _command(check_push, push.run),
    "register": _command(check_register, register.run),
    "reject": _command(check_answer, reject.run),
    "render": _command(check_render, render.run),
    "rollback": _command(check_rollback, rollback.run),
    "run-task": _command(check_run_task, run_task.run),
    "status": _command(check_status, status.run),
    "watch": _command(check_watch, watch.run),
}
_ANY_REGION = "us-east-1"
"""For a command that asks AWS nothing, and needs botocore's model of it."""
_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GITHUB_TOKEN")


def run_command(
    command: str, read_settings: Callable[[], Settings], *, result_file: str, prints_json: bool = False
) -> int:
    """Run *command*; write result file, outputs, summary and annotation; return the exit code.

    *result_file* and *prints_json* say where the result goes even when the settings themselves are wrong.
    """
    github = GitHub(stream=_log_of(prints_json=prints_json))
    for name in _SECRETS:
        github.mask(os.environ.get(name, ""))
    facts: list[Fact] = []
    options = RunOptions(command=command, result_file=result_file, prints_json=prints_json)
    calls: Counter[str] = Counter()
    reporter: Reporter | None = None
    clock: Clock | None = None
    api: GitHubApi | None = None
    began, region, role_arn = 0.0, "", ""
    try:
        heed_signals()
        if result_file:
            check_file_name(result_file, what="result file")
        clock = clock_from_environment()
        began = clock.now()
        settings = read_settings()
        options = run_options(settings, result_file=result_file, prints_json=prints_json)
        log = _log_of(prints_json=options.prints_json)
        github = GitHub(stream=log)
        run, role = _COMMANDS[command](settings), check_role(settings)
        facts += role.findings()
        role_arn = (role.role_arn, *role.chain)[-1]
        api = GitHubApi.from_environment(
            os.environ, given=options.github_token, clock=clock, mask=github.mask
        )
        aws = _connect(options, role, clock, github, calls)
        region = aws.region if options.asks_aws else ""
        frame = live_frame(log, ticks=isinstance(clock, WallClock))
        reporter = Reporter(clock, log, groups=github, frame=frame, began=began)
        check_region(options.cluster, "cluster", aws.region)
        ecs = Ecs(aws, options.cluster or "default")
        try:
            verdict = run(
                Context(
                    aws=aws,
                    ecs=ecs,
                    clock=clock,
                    reporter=reporter,
                    record=facts.append,
                    github=api,
                    mask=github.mask,
                )
            )
        finally:
            ignore_signals()
        result = _result(options, known_from(facts), verdict)
    except Cancelled:
        result = _result(options, known_from(facts), _cancelled(command, known_from(facts)))
    except Exception as error:  # noqa: BLE001 - a result is written all the same
        as_error = as_told(
            error, version=__version__, debug=options.debug or github.is_debug or "--debug" in sys.argv
        )
        result = _error_result(options, known_from(facts), as_error)
    ignore_signals()
    recorded = known_from(facts).recorded
    if api is not None and recorded is not None and is_worth_waiting(result):
        told = end_record(api, recorded, result, region=region)
        result = replace(result, findings=(*result.findings, *told))
    if reporter is not None:
        reporter.close()
    now = clock.now() if clock is not None else 0.0
    details = _details(options, known_from(facts), now)
    result = replace(result, console_url=_console_url(result, known_from(facts), region))
    if reporter is not None and result.outcome != Outcome.SUCCEEDED:
        for title, text in log_blocks(details):
            reporter.block(text, title=title)
    if clock is not None:
        result = replace(result, duration_seconds=max(now - began, 0.0))
    result = replace(result, api_calls=dict(calls))
    _publish(result, details, github, options)
    if options.comments and api is not None:
        mark = comment_mark(result, region=region, role_arn=role_arn)
        text = comment_text(result, details, mark=mark)
        _comment(api, github, mark=mark, text=text, log=_log_of(prints_json=options.prints_json))
    if api is not None and recorded is not None and not is_worth_waiting(result):
        end_record(api, recorded, result, region=region)
    if close := getattr(clock, "close", None):
        close()
    return result.exit_code


def _comment(api: GitHubApi, github: GitHub, *, mark: str, text: str, log: TextIO) -> None:
    """Show the result in the pull request's comment; where that cannot be, a warning says why."""
    try:
        if not put_comment(api, os.environ, mark=mark, text=text):
            emit("no comment: no pull request has this commit", log)
    except GitHubError as error:
        told = log_line(f"The pull request's comment could not be written: {error}. {error.hint}".rstrip())
        emit(f"warning: {told}", sys.stderr)
        github.annotate("warning", told, title="No comment")


def _log_of(*, prints_json: bool) -> TextIO:
    """Return where people read: standard output, unless that holds the result as JSON."""
    return sys.stderr if prints_json else sys.stdout


def _connect(options: RunOptions, role: RoleWish, clock: Clock, github: GitHub, calls: Counter[str]) -> Aws:
    trace = None
    if options.debug or github.is_debug:

        def trace(name: str) -> None:
            emit(f"debug: {name}", sys.stderr)

    # AWS's other tools read AWS_REGION; botocore itself reads AWS_DEFAULT_REGION only.
    region = options.region or os.environ.get("AWS_REGION") or None

    def say(text: str) -> None:
        emit(log_line(text), _log_of(prints_json=options.prints_json))

    if not options.asks_aws:
        return Aws(region=region or _ANY_REGION, clock=clock, trace=trace, calls=calls)
    session = session_for(
        role,
        region=region,
        clock=clock,
        mask=github.mask,
        say=say,
        calls=calls,
        profile=options.profile,
    )
    aws = Aws(
        region=region,
        clock=clock,
        botocore_session=session,
        patience=options.timeout,
        trace=trace,
        calls=calls,
        say=say,
    )
    aws.check_region()
    check_account(aws, role)
    return aws


def _cancelled(command: str, known: Known) -> Verdict:
    """Return the verdict over a job that was cancelled while nothing was waited for."""
    if known.verdict is not None:
        return known.verdict
    reason = cancelled_reason(command, tuple(known.changed.values()))
    if known.is_rollback_sent:
        reason = "The job was cancelled after the ongoing deployment was told to roll back."
    return Verdict(outcome=Outcome.CANCELLED, reason=reason)


def _result(options: RunOptions, known: Known, verdict: Verdict) -> Result:
    ending, batch = known.ending, known.batch
    exit_code = batch.exit_code if batch else None
    return Result(
        command=options.command,
        outcome=verdict.outcome,
        exit_code=verdict.outcome.exit_code if exit_code is None else exit_code,
        reason=verdict.reason,
        cluster=options.cluster,
        service=known.service or options.service,
        image=known.image,
        image_digest=known.image_digest,
        task_definition_arn=known.task_definition_arn,
        previous_task_definition_arn=known.previous_task_definition_arn,
        service_deployment_arn=ending.service_deployment_arn if ending else "",
        codedeploy_deployment_id=ending.codedeploy_deployment_id if ending else "",
        diagnoses=ending.diagnoses if ending else batch.diagnoses if batch else (),
        findings=(*known.findings, *(ending.findings if ending else ())),
        phases=ending.phases if ending else batch.phases if batch else (),
        services=tuple(known.services.values()),
        tasks=batch.tasks if batch else (),
        history=known.history,
        task_definition=known.task_definition,
        status=known.status,
        registry=known.registry,
        plan=known.plan,
        predicted=known.predicted,
        track_record=known.track_record,
        service_url=known.service_url,
    )


def _console_url(result: Result, known: Known, region: str) -> str:
    """Return the console's page of what was seen: nothing that was only asked for has one."""
    return console_url(
        region,
        cluster=result.cluster,
        service=known.service,
        tasks=[end.task_arn for end in result.tasks],
        codedeploy_id=result.codedeploy_deployment_id,
    )


def _origin(commit: str) -> Provenance:
    """Return where the run comes from; the *commit* that was given as input is what is meant."""
    told = provenance_from_environment()
    return replace(told, commit=commit) if commit else told


def _show_end(text: str, result: Result, stream: TextIO) -> None:
    """Write the end of the log; on a terminal it is wrapped, and in colour unless NO_COLOR is set."""
    if is_terminal(stream):
        text = terminal_view(
            text,
            columns=shutil.get_terminal_size().columns,
            is_good=result.exit_code == 0,
            has_colour=not os.environ.get("NO_COLOR"),
        )
    emit(text.rstrip("\n"), stream)


def _error_result(options: RunOptions, known: Known, error: DeployError) -> Result:
    reason = plain(error.message, limit=4000)
    result = _result(options, known, Verdict(outcome=Outcome(error.outcome), reason=reason))
    code, proof = error.diagnosis_code, error.evidence
    own = (
        (Diagnosis(code=code, message=reason, hint=error.hint, evidence=proof, is_reason=True),)
        if code
        else ()
    )
    finding = Finding(
        code=code or error.outcome, severity=Severity.ERROR, message=reason, hint=error.hint, is_reason=True
    )
    changed = () if known.ending else tuple(known.changed.values())
    left = Finding(
        code="changed-before",
        severity=Severity.INFO,
        message=f"What was changed before: {'; '.join(changed)}.",
    )
    return replace(
        result,
        exit_code=error.exit_code,
        diagnoses=(*own, *result.diagnoses),
        findings=(finding, *result.findings, *((left,) if changed else ())),
    )


def _details(options: RunOptions, known: Known, now: float) -> Details:
    ending, batch, shown = known.ending, known.batch, known.shown
    return Details(
        changes=shown.changes if shown else (),
        links=shown.links if shown else None,
        next_command=known.next_command,
        sections=known.sections,
        stays=ending.history.stays if ending else (),
        gpus=ending.gpus if ending else (),
        task_pages=batch.pages if batch else {},
        origin=_origin(options.commit),
        log_tails=ending.log_tails if ending else batch.log_tails if batch else (),
        ended_at=now,
        gpu_hourly_cost=options.gpu_hourly_cost,
        is_taken_back=known.is_rollback_sent,
    )


def _publish(result: Result, details: Details, github: GitHub, options: RunOptions) -> None:
    problems: list[str] = []

    def written(what: str, write: Callable[[], None]) -> bool:
        """Write to a place that may fail: that costs a warning, and never the verdict."""
        try:
            write()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", "") or one_line(error)
            problems.append(f"warning: the {what} could not be written: {why}")
            return False
        return True

    path = options.result_file
    kept = bool(path) and written(
        f"result file {path[:200]!r}", lambda: write_text(path, result_json(result))
    )
    values = {**outputs(result), "result-file": path if kept else ""}
    written("step's outputs", lambda: github.set_outputs(values))
    log = _log_of(prints_json=options.prints_json)
    is_error = result.outcome in {Outcome.INVALID, Outcome.REFUSED}
    _show_end(text_view(result, details), result, sys.stderr if is_error else log)
    level, title, message = annotation(result)
    if level == "error":
        github.annotate(level, message, title=title, proof=annotation_proof(result))
    written("job summary", lambda: github.summarize(markdown_view(result, details)))
    if kept:
        emit(f"result: {path}", log)
    for problem in problems:
        emit(problem, sys.stderr)
    if options.prints_json:
        emit(printed_json(result).rstrip("\n"), sys.stdout)
