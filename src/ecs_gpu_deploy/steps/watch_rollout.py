"""Watch a rollout to its verdict: look → observed → judge → show, until it is over."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ecs_gpu_deploy.core.diagnose.rollout_causes import diagnoses_at_end, phases_at_end
from ecs_gpu_deploy.core.judge.observed import History, Watched, history_at_start, observed, ours_of
from ecs_gpu_deploy.core.judge.pace import seconds_to_next_look
from ecs_gpu_deploy.core.judge.rollout import judge
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.show.progress import TaskGpus, gpus_of, progress_of
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.aws.ecs import Ecs
from ecs_gpu_deploy.edges.machine.clock import Clock
from ecs_gpu_deploy.edges.machine.reporter import Reporter
from ecs_gpu_deploy.model import Diagnosis, Finding, LogTail, Outcome, Phase, Service
from ecs_gpu_deploy.steps.observe_rollout import Looker, Watch
from ecs_gpu_deploy.steps.showing import Shower

__all__ = ["Ending", "Watch", "Watcher"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How the wait ended, with everything that explains it."""

    verdict: Verdict
    diagnoses: tuple[Diagnosis, ...]
    findings: tuple[Finding, ...]
    phases: tuple[Phase, ...]
    service: Service
    service_deployment_arn: str
    history: History
    log_tails: tuple[LogTail, ...] = ()
    gpus: tuple[TaskGpus, ...] = ()


class Watcher:
    """The loop."""

    def __init__(
        self, aws: Aws, ecs: Ecs, clock: Clock, reporter: Reporter, *, watch: Watch, service: Service
    ) -> None:
        watch = self._watch = replace(watch, watched=_knowing_events(watch.watched, service))
        self._clock = clock
        self._looker = Looker(aws, ecs, reporter, watch=watch, service=service)
        self._shower = Shower(reporter, service)
        self._key: tuple[object, ...] = ()
        self._changed_at = watch.watched.started_at
        self.history = history_at_start(watch.watched)

    @property
    def arn(self) -> str:
        """Return the ARN of our service deployment, "" while it is unknown."""
        return self._looker.arn

    @property
    def watched(self) -> Watched:
        """Return what is waited for."""
        return self._watch.watched

    @property
    def service(self) -> Service:
        """Return the service as it was last seen."""
        return self._looker.service

    def wait(self) -> Ending:
        """Look at AWS until there is a verdict. Refused where the credentials end or AWS says no."""
        watch = self._watch
        while True:
            now = self._clock.now()
            snapshot = self._looker.look(self.history, now)
            self.history = observed(watch.watched, self.history, snapshot)
            answer = judge(watch.watched, snapshot, self.history, now, watch.facts)
            self._shower.show_seen(self.history, self.service, now)
            if isinstance(answer, Verdict):
                if answer.outcome != Outcome.SUCCEEDED:
                    self._looker.look_at_instances_of((*self.history.live, *self.history.since_healthy))
                return self.ending(answer)
            progress = progress_of(
                watch.watched, watch.facts, self.history, snapshot, answer, service=self.service
            )
            if progress.key != self._key:
                self._key, self._changed_at = progress.key, now
            self._shower.show_progress(progress)
            self._clock.sleep(
                seconds_to_next_look(
                    watch.watched,
                    watch.facts,
                    self.history,
                    snapshot,
                    interval=watch.poll_interval,
                    given=watch.keeps_interval,
                    quiet=now - self._changed_at,
                )
            )

    def ending(self, verdict: Verdict) -> Ending:
        """Return what is known now, with *verdict* over it. Asks AWS for nothing more."""
        looker, history = self._looker, self.history
        succeeded = verdict.outcome == Outcome.SUCCEEDED
        requirement = self._watch.requirement
        return Ending(
            verdict=verdict,
            diagnoses=() if succeeded else diagnoses_at_end(verdict, self._watch, history, looker),
            findings=looker.findings if succeeded else (*looker.findings, *self._shower.findings),
            phases=phases_at_end(self._watch.facts, history),
            service=looker.service,
            service_deployment_arn=looker.arn,
            history=history,
            log_tails=tuple(looker.log_tails.values()),
            gpus=gpus_of(history, requirement.gpu_count if requirement else 0.0),
        )


def _knowing_events(watched: Watched, service: Service) -> Watched:
    """Return *watched* with the events of *service* that are older than our deployment, by AWS's clock."""
    ours = ours_of(watched, service)
    old = (e.id for e in service.events if ours is None or e.created_at < ours.created_at)
    return replace(watched, known_events=watched.known_events | frozenset(old))
