"""Who tells the truth: ours, the official deploy action and AWS's own waiter on the same scripted rollouts.

Every world of tests/scripted that is a plain `deploy` whose input is not refused, with 60 min allowed, on a
stepped clock. Right: exit 0 where the rollout succeeded, and only there. Late: from the second at which the
world lets it be known to the end of the command. Cause: a message, log line or event that proves it (as our
result has it) stands in what the tool printed.

NODE_ACTION names a checkout of aws-actions/amazon-ecs-deploy-task-definition (its action.yml and dist);
without it ours and the waiter stand alone. The waiter is boto3's `services_stable`, as in `aws ecs wait`.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import boto3
import botocore.waiter

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "scripted")]

from scripted_aws import serve  # noqa: E402
from scripted_names import CLUSTER, REGION, REGISTRY, SERVICE  # noqa: E402
from scripted_run import run, settings_of  # noqa: E402
from scripted_state import State  # noqa: E402
from scripted_worlds import load  # noqa: E402

OFFICIAL = os.environ.get("NODE_ACTION", "")
KINDS_OF_OTHERS = {"bad input", "batches", "watches", "rollbacks", "outages"}
STEPPED = Path(__file__).with_name("stepped_node.cjs")
MEMBERS = (
    *("family", "containerDefinitions", "cpu", "memory", "networkMode", "executionRoleArn", "taskRoleArn"),
    *("requiresCompatibilities", "volumes"),
)
SHORTEST = 16
"""Characters below which a line of evidence may stand in any output by chance."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a tool said of a world."""

    code: int
    second: float
    calls: int
    shown: str


def client(aws):
    return boto3.client(
        "ecs",
        region_name=REGION,
        endpoint_url=aws.endpoint,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
    )


def definition(world):
    """Return the definition that the service runs, with the new image, as a file would have it."""
    with serve(State(world)) as aws:
        found = client(aws).describe_task_definition(taskDefinition="rag:1")["taskDefinition"]
    taken = (
        "family",
        "containerDefinitions",
        "cpu",
        "memory",
        "networkMode",
        "executionRoleArn",
        "taskRoleArn",
    )
    kept = {name: found[name] for name in (*taken, "requiresCompatibilities", "volumes") if name in found}
    image = world.get("image", "v2")
    kept["containerDefinitions"][0]["image"] = image if "/" in image else f"{REGISTRY}/rag:{image}"
    return kept


def ours(world, folder):
    with serve(State(world)) as aws:
        ended = run(aws, world, folder)
        told = Told(code=ended.code, second=aws.seconds, calls=len(aws.calls), shown=ended.shown)
    evidence = [line for one in ended.result.get("diagnoses", ()) for line in one["evidence"]]
    return told, [line for line in evidence if len(line) >= SHORTEST]


def official(world, folder):
    (folder / "definition.json").write_text(json.dumps(definition(world)))
    inputs = {
        "task-definition": "definition.json",
        "cluster": CLUSTER,
        "service": SERVICE,
        "wait-for-service-stability": "true",
        "wait-for-minutes": "60",
        "force-new-deployment": "true",
    }
    with serve(State(world)) as aws:
        environment = {
            "PATH": os.environ["PATH"],
            **settings_of(aws),
            "STEPPED_CLOCK": f"{aws.endpoint}/_clock",
            "GITHUB_WORKSPACE": str(folder),
            "GITHUB_OUTPUT": str(folder / "outputs"),
            **{f"INPUT_{name.upper()}": value for name, value in inputs.items()},
        }
        (folder / "outputs").touch()
        ran = subprocess.run(
            ["node", "--require", STEPPED, Path(OFFICIAL, "dist", "index.js").resolve()],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Told(
            code=ran.returncode, second=aws.seconds, calls=len(aws.calls), shown=ran.stdout + ran.stderr
        )


def waiter(world, _):
    with serve(State(world)) as aws:
        ecs = client(aws)
        code, shown = 0, ""
        try:
            arn = ecs.register_task_definition(**definition(world))["taskDefinition"]["taskDefinitionArn"]
            ecs.update_service(cluster=CLUSTER, service=SERVICE, taskDefinition=arn, forceNewDeployment=True)
            with mock.patch.object(botocore.waiter.time, "sleep", aws.clock):
                ecs.get_waiter("services_stable").wait(cluster=CLUSTER, services=[SERVICE])
        except Exception as error:  # noqa: BLE001 (refused, given up, or the waiter itself broke: no success)
            code, shown = 255, str(error)
        return Told(code=code, second=aws.seconds, calls=len(aws.calls), shown=shown)


TOOLS = {"ours": None, "official deploy action": official, "aws ecs wait": waiter}


def compared(world):
    """Return what each tool said of *world*: right or not, how late, with how many calls, and the cause."""
    wanted = world["expect"]["exit"]
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        told, evidence = ours(world, Path(folder))
        for name, tool in TOOLS.items():
            if tool is official and not OFFICIAL:
                continue
            one = tool(world, Path(folder)) if tool else told
            rows[name] = {
                "right": (one.code == 0) == (wanted == 0),
                "false success": one.code == 0 and wanted != 0,
                "false failure": one.code != 0 and wanted == 0,
                "cause": any(line in one.shown for line in evidence) if wanted and evidence else None,
                "late": max(0.0, one.second - world["expect"]["at"][0]) if "at" in world["expect"] else None,
                "calls": one.calls,
            }
    return {"world": world["world"], "exit": wanted, "tools": rows}


def plain(kind, world):
    """Is it a deployment as anybody does it, which the other tools can do as well?"""
    ends = world["expect"]
    return (
        kind not in KINDS_OF_OTHERS
        and world["run"] == "deploy"
        and isinstance(ends.get("exit"), int)
        and ends["exit"] not in {2, 3, 10}
        and not {"bare", "cancel", "environment", "services", "no_service"} & set(world)
    )


def table(rows):
    failed = [row for row in rows if row["exit"]]
    yield f"{len(rows)} rollouts, {len(failed)} of which did not succeed"
    heads = ("right", "false success", "false failure", "cause shown", "late, median", "95 of 100", "calls")
    yield f"{'':<24}" + "".join(f"{head:>{len(head) + 3}}" for head in heads)
    for name in TOOLS:
        told = [row["tools"][name] for row in rows if name in row["tools"]]
        if not told:
            continue
        causes = [one["cause"] for one in told if one["cause"] is not None]
        late = sorted(one["late"] for one in told if one["late"] is not None and one["right"])
        cells = (
            sum(one["right"] for one in told),
            sum(one["false success"] for one in told),
            sum(one["false failure"] for one in told),
            f"{sum(causes)} of {len(causes)}",
            f"{statistics.median(late):.0f} s",
            f"{late[int(0.95 * len(late))]:.0f} s",
            f"{statistics.median(one['calls'] for one in told):.0f}",
        )
        yield f"{name:<24}" + "".join(
            f"{cell:>{len(head) + 3}}" for head, cell in zip(heads, cells, strict=True)
        )


def main():
    worlds = [world for kind, world in load() if plain(kind, world)]
    began = time.monotonic()
    with ProcessPoolExecutor(2) as pool:
        rows = list(pool.map(compared, worlds))
    print("\n".join(table(rows)))
    for row in rows:
        wrong = [name for name, one in row["tools"].items() if not one["right"]]
        if wrong:
            print(f"  exit {row['exit']}: wrong: {', '.join(wrong)}: {row['world']}")
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
