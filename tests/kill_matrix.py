"""One cell of the kill matrix: a run that gets a signal while its n-th request is under way, and its re-run.

The program is a real process, the sandbox is reached over HTTP, and the proxy between them sends the signal
when the request has come to it. What the sandbox was asked and how it stands afterwards is the truth that the
results are held against.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from forked_program import ForkingServer, cpu_count, forking_server
from program import image
from sandbox_process import RunningSandbox, clean_environment, sandbox_thread
from toxic_proxy import Script, Toxic, Toxics, toxic_proxy
from worlds import default_world

SECOND_AFTER = 0.15
THIN = 5
"""Of the cells of requests that change nothing, one of so many is left where the matrix is thinned."""
SIGNALS: Mapping[str, tuple[int, ...]] = {
    "KILL": (signal.SIGKILL,),
    "TERM": (signal.SIGTERM,),
    "INT": (signal.SIGINT,),
    "INT twice": (signal.SIGINT, signal.SIGINT),
}
RUN = {
    "GITHUB_REPOSITORY": "acme/rag",
    "GITHUB_JOB": "deploy",
    "GITHUB_ACTION": "step",
    "GITHUB_SHA": "0123456789abcdef0123456789abcdef01234567",
}
CHANGES = frozenset(
    {
        "RegisterTaskDefinition",
        "UpdateService",
        "StopServiceDeployment",
        "RunTask",
        "StopTask",
        "PutImage",
        "CreateRepository",
    }
)
COMMANDS = ("deploy", "rollback", "run-task", "push")
CELLS_A_SANDBOX = 12
"""A cell has a cluster of its own; making a sandbox for each would take longer than the cell."""
BATCH = {"image": "batch:latest", "exit_code": 0, "exit_after": 60, "logs": [{"after": 1, "text": "begin"}]}


@dataclass(slots=True, kw_only=True)
class Place:
    """Where a cell takes place: a cluster of its own in the sandbox, and the command's arguments for it."""

    sandbox: RunningSandbox
    command: str
    name: str

    @property
    def arguments(self) -> list[str]:
        """Return the arguments of the command."""
        cluster, service = f"--cluster={self.name}", f"--service={self.name}"
        slow = "--poll-interval=60"
        match self.command:
            case "deploy":
                return ["deploy", cluster, service, f"--image={image('good')}", slow]
            case "rollback":
                return ["rollback", cluster, service, slow]
            case "run-task":
                return ["run-task", cluster, f"--task-definition={self.name}", "--count=2", slow]
            case _:
                tags = f"--extra-tags={self.name}-release\n{self.name}-stable"
                return ["push", "--repository=ki-rag-api", "--image-tag=good", tags]

    def undone_by(self, *, holds: bool) -> list[str]:
        """Return the option on-cancel, where the command has one."""
        undo = {"deploy": "rollback", "rollback": "rollback", "run-task": "stop"}.get(self.command)
        return [f"--on-cancel={undo if holds else 'leave'}"] if undo else []

    def settle(self) -> None:
        """Make the cluster; let the service of a rollback run revision 2 after revision 1, both well."""
        world = default_world()
        group = {**world["target_groups"][0], "Name": self.name}
        definition = {**world["task_definitions"][0], "family": self.name}
        service = {
            **world["services"][0],
            "serviceName": self.name,
            "cluster": self.name,
            "taskDefinition": self.name,
            "loadBalancers": [
                {"targetGroupArn": self.name, "containerName": "ki-rag-api", "containerPort": 8000}
            ],
        }
        piece: dict[str, Any] = {
            "clusters": [self.name],
            "instances": [{**world["instances"][0], "cluster": self.name}],
            "task_definitions": [definition],
        }
        if self.command == "run-task":
            container = {"name": "ingest", "image": image("v1").replace("ki-rag-api:v1", "batch:latest")}
            definition |= {"containerDefinitions": [{**definition["containerDefinitions"][0], **container}]}
            self.sandbox.add(piece)
            return
        if self.command == "push":
            return
        self.sandbox.add({**piece, "target_groups": [group], "services": [service]})
        if self.sandbox.ask("GET", "clock")[1]["mode"] == "stepped":
            self.sandbox.advance(1800)
        if self.command == "rollback":
            raw = definition["containerDefinitions"][0]
            with self.sandbox.client() as ecs:
                ecs.register_task_definition(
                    **{**definition, "containerDefinitions": [{**raw, "image": image("good")}]}
                )
                ecs.update_service(cluster=self.name, service=self.name, taskDefinition=f"{self.name}:2")
            self.sandbox.advance(1800)

    def revisions(self) -> int:
        """Return how many revisions the family has."""
        with self.sandbox.client() as ecs:
            return len(ecs.list_task_definitions(familyPrefix=self.name)["taskDefinitionArns"])

    def tasks(self) -> int:
        """Return how many tasks are not to stop."""
        with self.sandbox.client() as ecs:
            return len(ecs.list_tasks(cluster=self.name)["taskArns"])

    def image_tag(self) -> str:
        """Return the tag of the image that the service is to run."""
        with self.sandbox.client() as ecs:
            service = ecs.describe_services(cluster=self.name, services=[self.name])["services"][0]
            raw = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
        return str(raw["containerDefinitions"][0]["image"].rpartition(":")[2])


@dataclass(slots=True, kw_only=True)
class Bench:
    """A sandbox behind a proxy, and what forks the program."""

    server: ForkingServer
    sandbox: RunningSandbox
    address: str
    toxics: Toxics
    folder: Path
    places: int = 0

    def place(self, command: str) -> Place:
        """Give a new place for a run of *command*."""
        self.places += 1
        place = Place(sandbox=self.sandbox, command=command, name=f"cell-{self.places}")
        place.settle()
        return place


@contextmanager
def bench(server: ForkingServer, *, speed: float | None = None) -> Iterator[Bench]:
    """Give a bench whose places are empty; its clock is stepped unless a speed is given."""
    world = default_world()
    world = {
        **world,
        "clusters": ["ki-cluster"],
        "instances": [],
        "services": [],
        "log_groups": [*world["log_groups"]],
        "images": [*world["images"], BATCH],
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        sandbox_thread(yaml.safe_dump(world), speed=speed) as sandbox,
        toxic_proxy(sandbox.endpoint, []) as (address, toxics),
    ):
        (Path(folder) / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
        yield Bench(server=server, sandbox=sandbox, address=address, toxics=toxics, folder=Path(folder))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell: the signals that come while the request with `index` is under way.

    `holds` sets on-cancel to what undoes; `sent`: the request comes to AWS although the process is killed.
    """

    command: str
    index: int
    signals: str
    holds: bool = False
    sent: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How a run ended: exit code, result, output, wall seconds since the first signal (0.0 for none)."""

    exit_code: int
    result: Mapping[str, Any]
    log: str
    seconds: float = 0.0
    was_struck: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CellEnd:
    """What came of a cell: whether a signal found its process, and what is wrong, by kind."""

    cell: Cell
    was_struck: bool
    exit_code: int
    at: str = ""
    doubled: tuple[str, ...] = ()
    reversed: tuple[str, ...] = ()
    false: tuple[str, ...] = ()


Strike = Callable[[], None]


def run(
    bench: Bench,
    place: Place,
    *more: str,
    script: Callable[[Strike], Script] = lambda _: Script(),
    signals: str = "",
    attempt: int = 1,
) -> Run:
    """Run the program at *place* through the proxy, with *more* arguments.

    *script* is what the proxy does; it is given what sends the *signals* to the process.
    """
    began = threading.Event()
    pids: list[int] = []
    struck: list[float] = []

    def strike() -> None:
        began.wait(timeout=30)
        for number, name in enumerate(SIGNALS[signals]):
            if number:
                time.sleep(SECOND_AFTER)
            try:
                os.kill(pids[0], name)
            except ProcessLookupError:
                return
            struck.append(time.monotonic())

    bench.toxics.begin(script(strike))
    result_file = bench.folder / "result.json"
    result_file.unlink(missing_ok=True)
    environment = clean_environment(
        bench.sandbox,
        **RUN,
        AWS_ENDPOINT_URL=bench.address,
        GITHUB_RUN_ID=place.name,
        GITHUB_RUN_ATTEMPT=str(attempt),
    )
    arguments = [*place.arguments, *more, f"--result-file={result_file}"]
    forked = bench.server.start(arguments, bench.folder, environment, log=bench.folder / "log")
    pids.append(forked.pid)
    began.set()
    code = forked.wait().code
    ended = time.monotonic()
    return Run(
        exit_code=code,
        result=json.loads(result_file.read_text(encoding="utf-8")) if result_file.exists() else {},
        log=forked.log.read_text(encoding="utf-8"),
        seconds=ended - struck[0] if struck else 0.0,
        was_struck=bool(struck),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """The cells of a command and what came of them; `seconds` of wall time."""

    command: str
    calls: int
    ends: Sequence[CellEnd]
    seconds: float

    @property
    def struck(self) -> list[CellEnd]:
        """Return the cells whose signal found its process."""
        return [end for end in self.ends if end.was_struck]

    def wrongs(self, kind: str) -> list[str]:
        """Return what is wrong by kind (doubled, reversed, false), each with its cell."""
        return [f"{end.cell} {end.at}: {wrong}" for end in self.ends for wrong in getattr(end, kind)]

    @property
    def row(self) -> str:
        """Return a row of the table in docs/reliability.md."""
        counts = [self.calls, len(self.struck)]
        counts += [len(self.wrongs(kind)) for kind in ("doubled", "reversed", "false")]
        return f"| {self.command} | {' | '.join(map(str, counts))} |"


def matrix_of(command: str, *, thinned: bool = False) -> Matrix:
    """Run all cells of a command, on two cores; *thinned* leaves most cells of mere reads out."""
    began = time.monotonic()
    with forking_server() as server:
        operations = operations_of(server, command)
    cells = cells_of(command, operations)
    if thinned:
        cells = [cell for at, cell in enumerate(cells) if at % THIN == 0 or operations[cell.index] in CHANGES]
    workers = min(cpu_count(), 2)
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        parts = pool.map(ends_of, [cells[number::workers] for number in range(workers)])
    return Matrix(
        command=command,
        calls=len(operations),
        ends=list(itertools.chain(*parts)),
        seconds=time.monotonic() - began,
    )


def operations_of(server: ForkingServer, command: str) -> list[str]:
    """Return the operations of an undisturbed run, in order: the indexes of the matrix."""
    with bench(server) as made:
        place = made.place(command)
        before = len(made.sandbox.calls())
        ran = run(made, place)
        assert ran.exit_code == 0, ran.log
        return [call["operation"] for call in made.sandbox.calls()[before:]]


def cells_of(command: str, operations: Sequence[str]) -> list[Cell]:
    """Return the cells of a command: every index and signal; a request that changes is also lost."""
    cells = [
        Cell(command=command, index=index, signals=signals, holds=signals in {"TERM", "INT twice"})
        for index in range(len(operations))
        for signals in SIGNALS
    ]
    cells += [
        Cell(command=command, index=index, signals="KILL", sent=False)
        for index, operation in enumerate(operations)
        if operation in CHANGES
    ]
    return cells


def ends_of(cells: Sequence[Cell]) -> list[CellEnd]:
    """Run cells one after the other, in this process; a new sandbox every so often."""
    ends: list[CellEnd] = []
    with forking_server() as server:
        for at in range(0, len(cells), CELLS_A_SANDBOX):
            with bench(server) as made:
                ends += [end_of(made, cell) for cell in cells[at : at + CELLS_A_SANDBOX]]
    return ends


def end_of(bench: Bench, cell: Cell) -> CellEnd:
    """Run one cell, and where its process was killed the same command once more."""
    place = bench.place(cell.command)
    sandbox = bench.sandbox
    rolls = cell.command in {"deploy", "rollback"}
    revisions = place.revisions() if rolls else 0
    before = len(sandbox.calls())

    def script(strike: Strike) -> Script:
        struck = Toxic(on_request=strike, lost=not cell.sent)
        return Script(numbered=[*[Toxic()] * cell.index, struck])

    option = place.undone_by(holds=cell.holds)
    first = run(bench, place, *option, script=script, signals=cell.signals)
    calls = sandbox.calls()[before:]
    done = [call["operation"] for call in calls if call["status"] == 200]
    doubled, back, false = _doubled(done, cell), [], []
    last = first
    if cell.signals == "KILL" and first.was_struck:
        live = place.tasks() if cell.command == "run-task" else 0
        last = run(bench, place, *option, attempt=2)
        if last.exit_code != 0:
            false.append(f"the re-run ended as {last.exit_code}: {last.log[-600:]}")
        if live and place.tasks() > 2:
            doubled.append(f"{place.tasks()} tasks run")
    else:
        false += _false(first, done, cell)
        if cell.holds and first.exit_code == 10 and cell.command == "run-task" and place.tasks():
            false.append("the tasks go on")
    if rolls:
        new = place.revisions() - revisions
        doubled += [f"{new} revisions were registered"] * (new > (cell.command == "deploy"))
        wanted, runs = "good" if cell.command == "deploy" else "v1", place.image_tag()
        if last.exit_code == 0 and runs != wanted:
            back.append(f"the service runs {runs}, and {wanted} was wanted")
    return CellEnd(
        cell=cell,
        was_struck=first.was_struck,
        exit_code=first.exit_code,
        at=calls[cell.index]["operation"] if cell.index < len(calls) else "",
        doubled=tuple(doubled),
        reversed=tuple(back),
        false=tuple(false),
    )


def _doubled(done: Sequence[str], cell: Cell) -> list[str]:
    """Say what one process did twice; a rollback may be a second UpdateService."""
    allowed = {"RegisterTaskDefinition": 1, "RunTask": 1, "UpdateService": 2 if cell.holds else 1}
    return [f"{name} {done.count(name)} times" for name, most in allowed.items() if done.count(name) > most]


def _false(ran: Run, done: Sequence[str], cell: Cell) -> list[str]:
    """Say what the run claims and AWS knows otherwise, and what a cancelled run must not lack."""
    if not ran.result:
        return [f"no result: {ran.exit_code} {ran.log[-600:]}"]
    reason, codes = ran.result["reason"], {finding["code"] for finding in ran.result["findings"]}
    changed = [name for name in done if name in CHANGES]
    undone = "StopServiceDeployment" in done or done.count("UpdateService") > 1
    is_known = "is not known" not in reason
    claims = {
        f"exit code {ran.exit_code} and result {ran.result['exit_code']}": ran.exit_code
        != ran.result["exit_code"],
        f"it ended as {ran.exit_code}: {reason}": ran.exit_code not in {0, 10},
        "a traceback": "Traceback" in ran.log,
        f"{reason} But {changed} were": "nothing was changed" in reason and bool(changed),
        f"{reason} But it was": "before the service was updated" in reason and "UpdateService" in done,
        f"{reason} But it was not": "was registered" in reason and "RegisterTaskDefinition" not in done,
        f"{reason} But one was": "before a task was started" in reason and "RunTask" in done,
        "a rollback is claimed": "rollback-requested" in codes and not undone,
        "tasks were stopped, it says": "tasks-stopped" in codes and "StopTask" not in done,
    }
    if ran.exit_code == 10 and cell.holds and is_known:
        told = undone or "rollback-not-started" in codes
        claims["the rollback is lost"] = "UpdateService" in done and not told
    if ran.exit_code == 0 and ran.was_struck:
        main = {"run-task": "RunTask", "push": "PutImage"}.get(cell.command, "UpdateService")
        claims["the signal is lost"] = done.index(main) > cell.index
    return [claim for claim, is_false in claims.items() if is_false]
