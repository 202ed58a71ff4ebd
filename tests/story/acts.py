"""The acts, in their order: each does what a user would do, and says what has to come of it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from action_tools import Ended, ended
from docker_daemon import DEBIAN
from github_job import printed_step

from ecs_gpu_deploy.core.text import span
from story import versions
from story.load import Load
from story.report import Act, Run, Story
from story.stage import CLUSTER, ENVIRONMENT, NAME, ROOT, Stage, browser
from story.summary import page
from story.versions import Version

QUESTION = "When does the circuit breaker roll back?"
NEW_DOCUMENT = (
    "# The night shift\n\nThe pager of the night shift lies in the blue drawer beside the coffee machine.\n"
)
NEW_QUESTION = "Where does the pager of the night shift lie?"
LOG_LINES = 12


class NotAsTold(Exception):
    """An act that did not go as told: one sentence."""


def check(holds: object, sentence: str) -> None:
    """Raise unless what has to be is."""
    if not holds:
        raise NotAsTold(sentence)


@dataclass(slots=True, kw_only=True)
class Draft:
    """An act while it is played."""

    did: list[str] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    pictures: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Telling:
    """The story so far; every act that ends is shown and kept."""

    story: Story
    kept: Callable[[Story], None]
    folder: Path
    """Where pictures lie."""
    began: float = field(default_factory=time.monotonic)
    load: Load | None = None

    @contextmanager
    def act(self, title: str) -> Iterator[Draft]:
        """Play an act: time it, count the requests meanwhile, and keep it whether it went as told or not."""
        number = len(self.story.acts) + 1
        print(f"{number} {title} …", flush=True)
        draft, began = Draft(), time.monotonic()
        failure = ""
        try:
            yield draft
            asked = self.load.between(began, time.monotonic()) if self.load else None
            check(not asked or not asked.failed, f"{asked}: {asked.problems[:3] if asked else ''}")
        except NotAsTold as error:
            failure = str(error)
            raise
        except BaseException as error:
            failure = f"{type(error).__name__}: {str(error)[-1500:]}"
            raise
        finally:
            ends = time.monotonic()
            act = Act(
                number=number,
                title=title,
                began=began - self.began,
                seconds=ends - began,
                did=tuple(draft.did),
                runs=tuple(draft.runs),
                requests=self.load.between(began, ends) if self.load else None,
                pictures=tuple(draft.pictures),
                failure=failure,
            )
            self.story = self.story.with_act(act)
            self.kept(self.story)
            _show(act)


def _show(act: Act) -> None:
    for one in act.did:
        print(f"    {one}")
    for run in act.runs:
        codes = f" ({', '.join(run.codes)})" if run.codes else ""
        print(f"    {run.command}: {run.outcome}{codes} after {span(run.seconds)}. {run.reason}")
    if act.requests:
        print(f"    requests: {act.requests}")
    print(f"    {f'FAILED: {act.failure}' if act.failure else f'{act.seconds:.0f} s'}", flush=True)


def play(telling: Telling, stage: Stage) -> None:
    """Play all acts."""
    shas: dict[str, str] = {}
    _infrastructure(telling, stage)
    _first_version(telling, stage, shas)
    _first_documents(telling, stage, shas)
    url = f"{stage.balancer()}/search"
    telling.load = Load(url=url, body={"query": QUESTION, "k": 3}, wanted="passages")
    with telling.load.going_on():
        _second_version(telling, stage, shas)
        _foreseen(telling, stage, shas)
        _crashes(telling, stage, shas)
        _never_ready(telling, stage, shas)
        _too_large(telling, stage, shas)
        _roll_back(telling, stage, shas)
        _new_document(telling, stage, shas)
        _cancelled(telling, stage, shas)
    telling.load = None
    _nothing_left(telling, stage)


def looked_at(*asked: Mapping[str, Any]) -> list[dict[str, str]]:
    """Have Chromium look at pages; return what browser.py saw on each."""
    python = ROOT / "example-service" / ".venv" / "bin" / "python"
    ran = subprocess.run(
        [python, Path(__file__).with_name("browser.py"), str(browser())],
        input=json.dumps([{"width": 900, "height": 620, **one} for one in asked]),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    check(ran.returncode == 0, f"Chromium: {ran.stderr[-1500:]}")
    return list(json.loads(ran.stdout))


def _infrastructure(telling: Telling, stage: Stage) -> None:
    with telling.act("Terraform applies example-infra") as act:
        stage.workspace.apply()
        stage.outputs.update(stage.workspace.outputs())
        listed = stage.workspace.run("state", "list").shown.splitlines()
        resources = [one for one in listed if not one.startswith("data.")]
        stage.add_instances()
        act.did.append(
            f"{len(resources)} resources: network, load balancer, cluster with capacity provider, service, "
            "ingest task, roles that trust this repository's tokens of GitHub; "
            f"model_load_seconds from a measured start: {stage.load_seconds:.1f} s"
        )
        act.did.append(
            "the service's first deployment finds no image yet, as the infrastructure's README says"
        )


def workflow_step(stage: Stage, uses: str) -> dict[str, str]:
    """Return the `with:` of the printed workflow's step whose name has this text."""
    steps = yaml.safe_load(stage.outputs["workflow"])["jobs"]["deploy"]["steps"]
    [found] = [step["with"] for step in steps if uses in step.get("name", "")]
    return dict(found)


def deploy_inputs(stage: Stage) -> dict[str, str]:
    """Return the printed workflow's inputs of a deployment, and what differs on this machine."""
    here = {
        "cache": "off",  # needs buildx
        "build-args": f"BASE={DEBIAN}\nTORCH=cpu",
        "build-network": "none",
        "build-secret-files": "pip=pip.conf",
        "environment": "\n".join(ENVIRONMENT),
        "poll-interval": "2s",
    }
    # In one run of the action what the printed workflow says in two steps.
    inputs = {**workflow_step(stage, "Build, push and keep"), **workflow_step(stage, "Deploy")}
    for name in ("cache-image", "extra-tags", "image"):
        del inputs[name]
    return {**inputs, **here}


def _run_of(command: str, over: Ended) -> Run:
    outputs = over.outputs
    diagnoses = json.loads(outputs["diagnoses"] or "[]")
    evidence = [line for one in diagnoses for line in one["evidence"]]
    return Run(
        command=command,
        exit_code=int(outputs["exit-code"] or -1),
        outcome=outputs["outcome"],
        reason=outputs["reason"],
        seconds=float(outputs["duration-seconds"] or 0),
        codes=tuple(one["code"] for one in diagnoses),
        log_lines=tuple(evidence[:LOG_LINES]),
    )


def deployed(
    act: Draft,
    stage: Stage,
    shas: dict[str, str],
    version: Version,
    *,
    outcome: str = "succeeded",
) -> Ended:
    """Commit a version and have the action build, push and deploy it; it has to end with that outcome."""
    sha = shas[version.name] = stage.repository.commit(version)
    over = stage.act(deploy_inputs(stage), sha=sha)
    act.runs.append(_run_of(f"deploy {sha[:7]}", over))
    check(over.outputs["outcome"] == outcome, over.outputs["reason"])
    return over


def _keep_image(stage: Stage, sha: str) -> None:
    """Tag the image to stay, as the printed workflow does."""
    inputs = {**workflow_step(stage, "Build, push and keep"), "extra-tags": f"live-{sha}"}
    for name in ("context", "cache", "cache-image"):
        del inputs[name]  # it is built already
    over = stage.act(inputs, sha=sha)
    check(over.code == 0, over.outputs["reason"])


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _runs(stage: Stage) -> str:
    """Return the version that answers behind the load balancer."""
    return str(json.loads(_get(f"{stage.balancer()}/openapi.json")[1])["info"]["version"])


def _first_version(telling: Telling, stage: Stage, shas: dict[str, str]) -> None:
    with telling.act("The first version: built, pushed, deployed over OIDC") as act:
        began = time.monotonic()
        stage.repository  # noqa: B018 - base image and wheels are made beside the apply
        act.did.append(f"base image and wheels were waited for: {time.monotonic() - began:.0f} s more")
        deployed(act, stage, shas, versions.FIRST)
        status, text = _get(f"{stage.balancer()}/health")
        check(status == 200, f"/health answers {status}: {text[:300]}")
        health = json.loads(text)
        act.did.append(
            f"/health behind the load balancer: 200, {health.get('status')}; the index is empty yet"
        )
        _keep_image(stage, shas["first"])


def _ingest(stage: Stage, act: Draft, shas: dict[str, str], name: str) -> dict[str, Any]:
    """Run the ingest once, by hand, where the service that empties the queue would run it."""
    family, cluster = stage.outputs["batch_family"], stage.outputs["inputs"]["cluster"]
    with stage.sandbox.client("ecs") as ecs:
        [service] = ecs.describe_services(cluster=cluster, services=[f"{family}-queue"])["services"]
    inputs = {
        "command": "run-task",
        **{key: stage.outputs["inputs"][key] for key in ("region", "cluster", "role-to-assume")},
        "task-definition": family,
        "capacity-providers": service["capacityProviderStrategy"][0]["capacityProvider"],
        "environment": "ALLOW_CPU=1\nTORCH_THREADS=1",
        "poll-interval": "1s",
        "client-token": name,
    }
    over = stage.act(inputs, sha=shas["first"])
    act.runs.append(_run_of(f"run-task {family}", over))
    check(over.outputs["outcome"] == "succeeded", over.outputs["reason"])
    lines = [line.strip() for line in over.stdout.splitlines()]
    [summary] = [json.loads(line) for line in lines if line.startswith('{"source"')]
    return dict(summary)


def _told(summary: Mapping[str, Any]) -> str:
    passages = f"{summary['passages_embedded']} passages embedded, {summary['passages_total']} in the index"
    return f"the ingest: {summary['written']} of {summary['documents']} documents written, {passages}"


def _upload(stage: Stage, documents: Mapping[str, bytes]) -> None:
    """Put documents into the bucket, with the rule asleep: there is no GPU for the queue's own task."""
    rule = f"{stage.outputs['batch_family']}-document"
    with stage.sandbox.client("s3") as s3, stage.sandbox.client("events") as events:
        events.disable_rule(Name=rule)
        for name, content in documents.items():
            s3.put_object(Bucket=stage.outputs["documents_bucket"], Key=f"documents/{name}", Body=content)
        events.enable_rule(Name=rule)


def _answers(stage: Stage, question: str, words: str, *, seconds: float = 30) -> str:
    """Ask until the answer has these words."""
    end, text = time.monotonic() + seconds, ""
    while time.monotonic() < end:
        body = json.dumps({"question": question}).encode()
        request = urllib.request.Request(
            f"{stage.balancer()}/ask", data=body, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                text = str(json.load(answer)["answer"])
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode()
        if words in text:
            return text
        time.sleep(0.5)
    raise NotAsTold(f"no answer to {question!r} with {words!r}: {text[:500]}")


def _first_documents(telling: Telling, stage: Stage, shas: dict[str, str]) -> None:
    with telling.act("The first documents are ingested, and the page answers from them") as act:
        folder = ROOT / "example-service" / "documents"
        documents = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}
        _upload(stage, documents)
        with stage.sandbox.client("ecr") as ecr:
            [image] = ecr.describe_images(repositoryName=NAME, imageIds=[{"imageTag": shas["first"]}])[
                "imageDetails"
            ]
        act.did.append(
            f"{len(documents)} documents uploaded; image {image['imageSizeInBytes'] / 1e6:,.0f} MB"
        )
        uri = f"{stage.outputs['repository_url']}:{shas['first']}"
        step = printed_step(stage.outputs["workflow"], "Give the ingest task the same image", image=uri)
        over = stage.act(step, sha=shas["first"])
        check(over.outputs["outcome"] == "succeeded", over.outputs["reason"])
        summary = _ingest(stage, act, shas, "first")
        act.did.append(_told(summary))
        answer = _answers(stage, QUESTION, "breaker")
        picture = telling.folder / "page.png"
        [seen] = looked_at({"url": stage.balancer(), "path": str(picture), "question": QUESTION})
        check("circuit-breaker.md" in seen["sources"], f"the page's sources: {seen['sources'][:300]}")
        act.did.append(f"“{QUESTION}” “{' '.join(answer.split())[:200]}”")
        act.pictures.append((picture.name, "The service's page, behind the load balancer's stand-in"))


def _second_version(telling: Telling, stage: Stage, shas: dict[str, str]) -> None:
    with telling.act("A second version rolls out under load") as act:
        deployed(act, stage, shas, versions.SECOND)
        check(_runs(stage) == "0.2.0", f"version {_runs(stage)} answers")
        _keep_image(stage, shas["second"])
        act.did.append("0.2.0 answers behind the load balancer")


def _foreseen(telling: Telling, stage: Stage, shas: dict[str, str]) -> None:
    with telling.act("A version that wants two GPUs is foreseen not to fit") as act:
        inputs = {key: stage.outputs["inputs"][key] for key in ("region", "cluster", "service")}
        planned = {
            **inputs,
            "command": "plan",
            "role-to-assume": stage.outputs["role_arns"]["plan"],
            "gpu": "2",
        }
        over = stage.act(planned, sha=shas["second"])
        run = _run_of("plan --gpu 2", over)
        act.runs.append(run)
        check((run.outcome, run.exit_code) == ("no_capacity", 8), f"{run.outcome}: {run.reason}")
        room = json.loads(over.outputs["plan"])["capacity"]
        check(room["fit"] == "never", f"foreseen: {room['fit']}")
        over = stage.act({**planned, "gpu": "1"}, sha=shas["second"])
        act.runs.append(_run_of("plan --gpu 1", over))
        check(over.code == 0, over.outputs["findings"])
        room = json.loads(over.outputs["plan"])["capacity"]
        check(room["fit"] in ("fits", "crawls"), f"foreseen: {room['fit']}: {over.outputs['reason']}")
        act.did.append("nothing was changed: 0.2.0 answers")
        check(_runs(stage) == "0.2.0", f"version {_runs(stage)} answers")


def _bad(
    telling: Telling, stage: Stage, shas: dict[str, str], title: str, version: Version, *codes: str
) -> None:
    with telling.act(title) as act:
        over = deployed(act, stage, shas, version, outcome="rolled_back")
        if version == versions.CRASHES:
            shown = stage.folder / "summary.html"
            shown.write_text(page(over.summary), encoding="utf-8")
            picture = telling.folder / "summary.png"
            looked_at({"url": shown.as_uri(), "path": str(picture), "height": 900})
            act.pictures.append((picture.name, "The job summary of that run"))
        run = act.runs[-1]
        check(run.codes and run.codes[0] in codes, f"diagnosed as {run.codes}, not {codes}")
        check(run.log_lines, "no log line as proof")
        check(_runs(stage) == "0.2.0", f"version {_runs(stage)} answers")
        act.did.append(f"{version.message}. The service is back on 0.2.0")


def _crashes(telling: Telling, stage: Stage, shas: dict[str, str]) -> None:
    _bad(telling, stage, shas, "A version that crashes at its start", versions.CRASHES, "container-exit")


def _never_ready(telling: Telling, stage: Stage, shas: dict[str, str]) -> None:
    codes = ("health-check-elb", "health-check-timing", "health-check-container")
    _bad(telling, stage, shas, "A version that is never ready", versions.NEVER_READY, *codes)


def _too_large(telling: Telling, stage: Stage, shas: dict[str, str]) -> None:
    _bad(
        telling,
        stage,
        shas,
        "A version that wants more memory than it has",
        versions.TOO_LARGE,
        "out-of-memory",
    )


def _roll_back(telling: Telling, stage: Stage, shas: dict[str, str]) -> None:
    there = {key: stage.outputs["inputs"][key] for key in ("region", "cluster", "service", "timeout")}
    role = {"role-to-assume": stage.outputs["role_arns"]["rollback"], "poll-interval": "2s"}
    targets = (
        (shas["first"][:12], "0.1.0", "a commit"),
        (f"live-{shas['second']}", "0.2.0", "the tag that the workflow put on the image"),
    )
    for target, version, kind in targets:
        with telling.act(f"Back by {kind}") as act:
            inputs = {"command": "rollback", "to": target, **there, **role}
            over = stage.act(inputs, sha=shas["second"])
            act.runs.append(_run_of(f"rollback --to {target}", over))
            check(over.outputs["outcome"] == "succeeded", over.outputs["reason"])
            check(_runs(stage) == version, f"version {_runs(stage)} answers")
            act.did.append(f"{version} answers again")


def _new_document(telling: Telling, stage: Stage, shas: dict[str, str]) -> None:
    with telling.act("A document is uploaded, ingested once and answered from") as act:
        _upload(stage, {"night-shift.md": NEW_DOCUMENT.encode()})
        summary = _ingest(stage, act, shas, "second")
        check(summary["written"] == 1, f"the ingest wrote {summary}")
        answer = _answers(stage, NEW_QUESTION, "blue drawer")
        act.did.append(_told(summary))
        act.did.append(f"“{NEW_QUESTION}” “{' '.join(answer.split())[:200]}”, without a restart")


def _cancelled(telling: Telling, stage: Stage, shas: dict[str, str]) -> None:
    with telling.act("A job is cancelled in the middle of a deployment") as act:
        sha = shas["third"] = stage.repository.commit(versions.THIRD)
        before = len(stage.sandbox.calls("UpdateService"))
        began = time.monotonic()
        process = stage.start_action(deploy_inputs(stage), sha=sha)
        while len(stage.sandbox.calls("UpdateService")) == before:
            check(process.poll() is None and time.monotonic() < began + 180, "no deployment began")
            time.sleep(0.3)
        time.sleep(4)
        process.send_signal(signal.SIGTERM)
        command = f"deploy {sha[:7]}, SIGTERM after {time.monotonic() - began:.0f} s"
        over = ended(process)
        run = _run_of(command, over)
        act.runs.append(run)
        check((run.outcome, run.exit_code) == ("cancelled", 10), f"{run.outcome}: {run.reason}")
        inputs = {key: stage.outputs["inputs"][key] for key in ("region", "cluster", "service", "timeout")}
        watching = {
            **inputs,
            "command": "watch",
            "role-to-assume": stage.outputs["role_arns"]["plan"],
            "service-deployment": over.outputs["service-deployment-arn"],
            "poll-interval": "2s",
        }
        watched = stage.act(watching, sha=sha)
        act.runs.append(_run_of("watch", watched))
        check(watched.outputs["outcome"] == "succeeded", watched.outputs["reason"])
        check(_runs(stage) == "0.3.0", f"version {_runs(stage)} answers")
        act.did.append("the deployment goes on, as the cancelled job said, and 0.3.0 answers at its end")


def _nothing_left(telling: Telling, stage: Stage) -> None:
    with telling.act("Terraform's plan is empty, and destroy leaves nothing") as act:
        plan = stage.workspace.plan()
        check(plan.exit_code == 0, f"the plan wants changes: {plan.shown[-3000:]}")
        act.did.append("plan: no changes")
        with stage.instances_end_with_their_group():
            ran = stage.workspace.run("destroy", "-no-color", "-auto-approve", "-input=false")
        check(ran.exit_code == 0, ran.shown[-3000:])
        left = stage.workspace.run("state", "list").shown
        check(left == "", f"the state still has {left}")
        with stage.sandbox.client("ecs") as ecs:
            clusters = [one["status"] for one in ecs.describe_clusters(clusters=[CLUSTER])["clusters"]]
            check("ACTIVE" not in clusters, "the cluster is still there")
        for _ in range(60):
            if not stage.containers():
                break
            time.sleep(0.5)
        names = [container["Name"] for container in stage.containers()]
        check(not names, f"containers are still there: {names}")
        act.did.append("destroy: no resource in the state, no cluster, no container")
