"""`sandbox demo`: a plan, a good deployment and a broken one, told so that a person can follow.

Nothing is staged: the sandbox runs as its own process, and every command shown is run as it stands there.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions

from ecs_gpu_deploy.core.text import span
from ecs_gpu_deploy.edges.machine.reporter import emit
from ecs_gpu_deploy.inputs.parser import Parser
from ecs_gpu_deploy.model import short_id
from ecs_gpu_deploy.sandbox.http.serve import speed_of

CLUSTER, SERVICE = "ki-cluster", "ki-rag-api"
WHERE = ("--cluster", CLUSTER, "--service", SERVICE)
REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
BOLD, DIM, GREEN, RED, OFF = "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[31m", "\x1b[0m"


def _speed(text: str) -> str:
    speed_of(text)
    return text


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the flags, and clear the folder of the results."""
    parser = Parser(prog="ecs-gpu-deploy sandbox demo", description=__doc__, allow_abbrev=False)
    parser.add_argument("--speed", type=_speed, default="20", help="AWS seconds per second, or `stepped`")
    parser.add_argument("--docker", action="store_true", help="with real containers, at the wall's speed")
    parser.add_argument(
        "--context",
        type=Path,
        metavar="FOLDER",
        help="with --docker: deploy the service in this folder, example-service of a checkout, with torch "
        "and a small model, instead of a tiny one",
    )
    parser.add_argument(
        "--build-arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="with --context: for the build of its image",
    )
    parser.add_argument("--build-network", default="", metavar="NAME", help="with --context: such as host")
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="folder for the results")
    chosen = parser.parsed(arguments)
    chosen.output.mkdir(parents=True, exist_ok=True)
    for old in chosen.output.glob("*-*.*"):
        old.unlink()
    return chosen


def main(arguments: Sequence[str]) -> int:
    """Tell the story; return 0 when the plan and both deployments ended as they should, 1 otherwise."""
    chosen = parsed(arguments)
    with serving("--speed", chosen.speed) as sandbox:
        if "exit_code" in sandbox:
            return int(sandbox["exit_code"])
        _warm_up(sandbox["environment"])
        return _story(sandbox, chosen.output, chosen.speed)


@contextmanager
def serving(*flags: str, environment: Mapping[str, str] | None = None) -> Iterator[Mapping[str, Any]]:
    """Run `sandbox serve`; give its ready line, or its `exit_code` where it has none and said why.

    It ends with this process, however that ends.
    """
    server = subprocess.Popen(  # noqa: S603  (our own program)
        [*_program(), "sandbox", "serve", "--until-stdin-ends", *flags],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=None if environment is None else dict(environment),
        text=True,
    )
    try:
        line = server.stdout.readline() if server.stdout else ""
        yield json.loads(line) if line else {"exit_code": server.wait() or 1}
    finally:
        server.terminate()
        server.wait()
        for stream in (server.stdin, server.stdout):
            if stream is not None:
                stream.close()


def _warm_up(environment: Mapping[str, str]) -> None:
    """Have moto load its services now: on a fast clock its first answers would take minutes."""
    client(environment, "ecr").describe_repositories()
    client(environment, "elbv2").describe_target_groups()
    client(environment, "logs").describe_log_groups()


def client(environment: Mapping[str, str], service: Any) -> Any:
    """Return boto3's client of a service of the sandbox."""
    return boto3.client(
        service,
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


def _program() -> list[str]:
    return [sys.executable, "-I", "-m", "ecs_gpu_deploy"]


def _story(sandbox: Mapping[str, Any], output: Path, speed: str) -> int:
    pace = "as fast as it computes" if speed == "stepped" else f"{speed} times as fast as the wall clock"
    say(
        f"""
{BOLD}A local AWS{OFF} answers at {sandbox["endpoint"]}, {pace}.

  cluster  {CLUSTER}: four instances with one GPU each
  service  {SERVICE}: two tasks behind a load balancer; each owns a GPU and loads its models for 95 s
  breaker  on, with rollback: three failed tasks end a deployment
  room     two GPUs are free: enough for a rollout beside the two tasks that run

To read its log: "load 1m01s of 6m" is a phase, how long it has taken, and how long it may take.
"""
    )
    good_one = ("--image", f"{REGISTRY}/{SERVICE}:good")
    ahead = run(
        sandbox,
        output,
        ["plan", *WHERE, *good_one],
        tag="plan",
        title="1. What would come",
        text="Does it fit, how long does it take, what is wrong with it? Nothing is changed.",
    )
    good = deploy(
        sandbox,
        output,
        tag="good",
        title="2. A good version",
        text="It needs 95 s to load. Deployed means: every task runs this image, and answers. The preflight "
        "looks ahead once more: what was foreseen stands beside what came, at the end.",
        image=(*good_one, "--preflight", "warn"),
    )
    bad = deploy(
        sandbox,
        output,
        tag="bad",
        title="3. A broken version",
        text="Its new model does not fit into the GPU's memory. Only the container's log says so.",
    )
    if bad == "rolled_back":
        say(_what_the_waiter_says(sandbox["environment"]))
    files = "\n".join(f"  {path}" for path in sorted(output.glob("*-*.*")))
    say(f"{BOLD}What is left{OFF}: results as JSON, job summaries as GitHub shows them\n{files}\n")
    return 0 if (ahead, good, bad) == ("succeeded", "succeeded", "rolled_back") else 1


def deploy(
    sandbox: Mapping[str, Any],
    output: Path,
    *,
    tag: str,
    title: str,
    text: str,
    image: Sequence[str] | None = None,
) -> str:
    """Run one deployment, show what it prints as it prints it, and return its outcome ("" without one).

    The flags *image* say what is deployed; without them the image of that tag.
    """
    command = [
        "deploy",
        *WHERE,
        *(image or ("--image", f"{REGISTRY}/{SERVICE}:{tag}")),
    ]
    return run(sandbox, output, command, tag=tag, title=title, text=text)


def run(
    sandbox: Mapping[str, Any], output: Path, command: list[str], *, tag: str, title: str, text: str
) -> str:
    """Run a command of the program, show what it prints as it prints it, and return its outcome, or ""."""
    result, summary = output / f"{tag}-result.json", output / f"{tag}-summary.md"
    command = [*command, "--result-file", str(result)]
    say(f"{BOLD}{title}{OFF}\n{text}\n\n{DIM}$ ecs-gpu-deploy {shlex.join(command)}{OFF}")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GITHUB_"))},
        **sandbox["environment"],
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    environment.pop("INPUTS", None)
    exit_code = subprocess.run(  # noqa: S603  (our own program)
        [*_program(), *command], env=environment, check=False
    ).returncode
    try:
        document = json.loads(result.read_text(encoding="utf-8"))
    except OSError:
        say(f"\n{BOLD}No verdict{OFF}: the program ended with exit code {exit_code}.\n")
        return ""
    colour = GREEN if document["outcome"] == "succeeded" else RED
    took, calls = span(document["duration_seconds"]), sum(document["api_calls"].values())
    say(
        f"\n{BOLD}Verdict: {colour}{document['outcome']}{OFF} (exit code {exit_code}), after {took} "
        f"of AWS's time and {calls} calls. {_cause(document)}\n"
    )
    return str(document["outcome"])


def _cause(document: Mapping[str, Any]) -> str:
    if document["outcome"] == "succeeded":
        is_plan = document["command"] == "plan"
        return "Nothing was changed." if is_plan else "Every task runs the image that was deployed."
    if not document["diagnoses"]:
        return ""
    return f"The cause: {document['diagnoses'][0]['code']}; its log line stands above, as the proof."


def _what_the_waiter_says(environment: Mapping[str, str]) -> str:
    """Ask ECS's own waiter about the service that has just been rolled back."""
    ecs = client(environment, "ecs")
    try:
        ecs.get_waiter("services_stable").wait(
            cluster=CLUSTER, services=[SERVICE], WaiterConfig={"Delay": 1, "MaxAttempts": 20}
        )
    except botocore.exceptions.WaiterError as error:
        answer = f"exit code 255: {error}"
    else:
        answer = "exit code 0: success. It looks at the service, not at the deployment."
    service = ecs.describe_services(cluster=CLUSTER, services=[SERVICE])["services"][0]
    return (
        f"{BOLD}And ECS's own waiter?{OFF}\n"
        f"{DIM}$ aws ecs wait services-stable --cluster {CLUSTER} --services {SERVICE}{OFF}\n"
        f"{answer}\nThe service runs {short_id(service['taskDefinition'])}, the version from before.\n"
    )


def say(text: str) -> None:
    """Print, in colours where a terminal takes them."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        for code in (BOLD, DIM, GREEN, RED, OFF):
            text = text.replace(code, "")
    emit(text, sys.stdout)
