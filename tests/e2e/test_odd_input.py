"""Input that nobody means, through the whole program: exit 2 with the input's name, and nothing changed."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_gpu_deploy.edges.machine.files import read_text
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.options import BY_NAME, OPTIONS
from odd_texts import TEXTS, WORDS, fuzzed
from program import act, deploy, image, run
from program_here import run_here
from sandbox_process import sandbox_thread

COMMANDS = ("deploy", "rollback", "run-task", "watch", "history", "push")
DENIED = b'{"__type": "AccessDeniedException", "message": "no"}'
DENIED_XML = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
EXAMPLES = 600


@contextmanager
def closed_aws() -> Iterator[tuple[str, list[str]]]:
    """Serve an AWS that allows nothing; give its endpoint and the requests that came."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked.append(self.headers.get("X-Amz-Target", self.path))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            is_query = "urlencoded" in self.headers.get("Content-Type", "")
            body = DENIED_XML if is_query else DENIED
            self.send_response(403 if is_query else 400)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()


@st.composite
def odd_inputs(draw: st.DrawFn) -> dict[str, str]:
    """Draw the inputs of a command, of which one to three are odd; a file of them may be as well."""
    command = draw(st.sampled_from(COMMANDS))
    names = sorted(option.name for option in OPTIONS if command in option.commands)
    chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    inputs = {"command": command, "cluster": "gpu", "repository": "rag", "task-definition": "job:1"}
    if command not in {"run-task", "push"}:
        inputs["service"] = "rag"
    inputs = {name: value for name, value in inputs.items() if name == "command" or name in names}
    if command == "deploy":
        inputs = {"command": command, "cluster": "gpu", "service": "rag"}
    inputs |= {name: draw(TEXTS) for name in chosen}
    file = draw(st.sampled_from(["", "", "", "config", "task-definition"]))
    if file in names or file == "config":
        inputs[file] = "odd.yml"
        inputs["=odd.yml"] = draw(TEXTS | WORDS.map(lambda word: f"timeout: {word}"))
    return inputs


def test_whatever_is_given_is_refused_by_its_name_or_reaches_aws(tmp_path, capsys):
    codes: Counter[int] = Counter()
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    with closed_aws() as (endpoint, asked):
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "eu-central-1",
        }

        @fuzzed(EXAMPLES)
        @given(odd_inputs())
        def every(inputs: dict[str, str]) -> None:
            given_inputs = {name: text for name, text in inputs.items() if not name.startswith("=")}
            (tmp_path / "odd.yml").write_text(inputs.get("=odd.yml", ""), encoding="utf-8", errors="replace")
            asked.clear()
            code, shown = run_here([], {**environment, "INPUTS": json.dumps(given_inputs)}, tmp_path)
            codes[code] += 1
            assert "Traceback" not in shown
            assert code in {2, 3}, shown
            if code == 2:
                assert not asked, shown
                assert _names_one(shown, given_inputs), shown

        every()
    with capsys.disabled():
        print(f"\nodd inputs: {sum(codes.values())} runs, exits {dict(sorted(codes.items()))}")
    assert codes[1] == 0
    assert codes[2] >= EXAMPLES // 4


def _names_one(shown: str, inputs: Mapping[str, str]) -> bool:
    told = shown.replace("-", " ").lower()
    names = {*inputs, *(BY_NAME if inputs.get("config") else ()), "configuration file", "odd.yml"}
    return any(name.replace("-", " ") in told for name in names - {"command"})


CONTAINER: Mapping[str, Any] = {"name": "ki-rag-api", "image": image("good"), "memory": 512}


def _definition(*, top: Mapping[str, Any] | None = None, **container: Any) -> str:
    return json.dumps({"family": "f", "containerDefinitions": [{**CONTAINER, **container}], **(top or {})})


def _log(name: str, value: str) -> str:
    return _definition(logConfiguration={"logDriver": "awslogs", "options": {name: value}})


SECRET = "hf_" + "aB3" * 12
FILES: Mapping[str, tuple[str, str]] = {
    "nested deep": ('{"a":' * 100_000, "nested more than"),
    "a NUL": ('{"family": "f\0"}', "td.json"),
    "a NUL in a name": (_definition(top={"family": "f\0"}), "family has a NUL character"),
    "half a surrogate pair": (
        _definition(command=["\ud800"]),
        "command is not UTF-8 text",
    ),
    "an alias inside itself": ("a: &x [*x]", "td.json"),
    "a networkMode that is a list": (_definition(top={"networkMode": []}), "networkMode is list"),
    "a memory that is a mapping": (_definition(memory={}), "containerDefinitions[].memory is dict"),
    "an environment that is a mapping": (_definition(environment={"A": "b"}), "environment is dict"),
    "a null among the containers": ('{"family": "f", "containerDefinitions": [null]}', "not a mapping"),
    "a number that is no port": (
        _definition(portMappings=[{"containerPort": "http"}]),
        "containerPort is str",
    ),
    "a variable in a role": (_definition(top={"taskRoleArn": "arn:aws:iam::${A}:role/x"}), "taskRoleArn"),
    "a placeholder in a role": (_definition(top={"executionRoleArn": "<ROLE>"}), "executionRoleArn"),
    "a role that is a user": (
        _definition(top={"taskRoleArn": "arn:aws:iam::123456789012:user/x"}),
        "neither the name nor the ARN of a role",
    ),
    "a variable in an image": (_definition(image="${ECR}/rag:1"), "image of the container 'ki-rag-api'"),
    "a placeholder in an image": (_definition(image="<IMAGE1_NAME>"), "'<IMAGE1_NAME>'"),
    "a variable in a log option": (_log("awslogs-group", "/ecs/${NAME}"), "awslogs-group"),
    "a placeholder in a log option": (_log("awslogs-region", "<REGION>"), "awslogs-region"),
    "a secret instead of its ARN": (
        _definition(secrets=[{"name": "TOKEN", "valueFrom": SECRET}]),
        "The secret 'TOKEN'",
    ),
}


@pytest.fixture(scope="module")
def sandbox():
    with sandbox_thread() as running:
        yield running


@pytest.mark.parametrize("case", FILES)
def test_an_odd_task_definition_is_refused_before_anything_changes(sandbox, tmp_path, case):
    text, said = FILES[case]
    (tmp_path / "td.json").write_text(text, encoding="utf-8")
    ran = deploy(sandbox, tmp_path, "--task-definition=td.json")
    assert ran.exit_code == 2, ran.shown
    assert said in ran.shown
    assert ran.changes == []
    assert "Traceback" not in ran.shown
    assert SECRET not in ran.shown


@pytest.mark.parametrize(
    ("flag", "command"),
    [
        ("--task-definition=./{}", "deploy"),
        ("--config={}", "deploy"),
        ("--dockerfile={}", "push"),
        ("--context={}", "push"),
        ("--build-secret-files=A={}", "push"),
    ],
)
@pytest.mark.parametrize(
    "path",
    [
        pytest.param("x" * 300, id="300 characters"),
        pytest.param("/dev/zero", id="without end"),
        pytest.param("no/such", id="not there"),
        pytest.param(".", id="a folder"),
    ],
)
def test_an_odd_file_is_refused_by_its_input_s_name(sandbox, tmp_path, flag, command, path):
    if (flag, path) == ("--context={}", "."):  # a folder is what context means
        path = "Dockerfile"
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    needed = ["--repository=rag"] if command == "push" else ["--cluster=ki-cluster", "--service=ki-rag-api"]
    ran = run(sandbox, tmp_path, command, *needed, flag.format(path))
    assert ran.exit_code == 2, ran.shown
    assert ran.changes == []
    told = ran.shown.lower().replace("-", " ").replace("configuration file", "config")
    assert flag.removeprefix("--").partition("=")[0].replace("-", " ") in told
    assert "Traceback" not in ran.shown


def test_a_result_file_by_a_name_that_no_file_can_have_is_refused_first(sandbox, tmp_path):
    ran = deploy(sandbox, tmp_path, f"--image={image('good')}", result_file="x" * 300)
    assert ran.exit_code == 2, ran.shown
    assert "result file" in ran.shown
    assert ran.operations == ()


@pytest.mark.parametrize("option", ["task-definition", "image", "environment", "set", "config", "context"])
def test_a_nul_is_refused_by_the_input_s_name(sandbox, tmp_path, option):
    inputs = {"command": "deploy", "cluster": "ki-cluster", "service": "ki-rag-api", option: "a\0b"}
    ran = act(sandbox, tmp_path, inputs)
    assert ran.exit_code == 2, ran.shown
    assert option.replace("config", "configuration file") in ran.shown
    assert ran.operations == ()
    assert "Traceback" not in ran.shown


def test_what_yaml_reads_otherwise_and_nulls_reach_aws_as_it_wants_them(sandbox, tmp_path):
    (tmp_path / "td.yml").write_text(
        f"""
        family: turned
        cpu: 2048
        taskRoleArn: null
        containerDefinitions:
          - name: ki-rag-api
            image: {image("good")}
            memory: "2048"
            secrets: null
            environment: [{{name: PORT, value: 1}}]
            portMappings: [{{containerPort: "8000", hostPort: null}}]
            resourceRequirements: [{{type: GPU, value: 1}}]
        """,
        encoding="utf-8",
    )
    ran = deploy(sandbox, tmp_path, "--task-definition=td.yml")
    assert ran.exit_code == 0, ran.shown
    assert "RegisterTaskDefinition" in ran.changes


def test_what_nobody_may_have_meant_is_said(sandbox, tmp_path):
    ran = deploy(
        sandbox, tmp_path, "--image=ki-rag-api:good", "--environment=NO_SUCH_VARIABLE", "--timeout=1s"
    )
    assert "environment: NO_SUCH_VARIABLE" in ran.shown
    assert "The image ki-rag-api:good of 'ki-rag-api' has no registry" in ran.shown
    assert f"Is {image('good')} meant?" in ran.shown
    codes = {finding["code"] for finding in ran.result["findings"]}
    assert {"removes-nothing", "image-without-registry"} <= codes


def test_a_pipe_into_which_nobody_writes_is_given_up(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(
        InvalidInput, match=r"The task definition .* cannot be read: nothing came for 0\.01 s"
    ):
        read_text(str(tmp_path / "pipe"), what="task definition", patience=0.01)


def test_a_pipe_gives_what_is_written_into_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = Thread(target=(tmp_path / "pipe").write_text, args=("a: 1\n" * 100_000,))
    writer.start()
    assert read_text(str(tmp_path / "pipe"), what="task definition") == "a: 1\n" * 100_000
    writer.join()


def test_one_file_serves_several_commands(sandbox, tmp_path):
    (tmp_path / "all.yml").write_text(
        "cluster: ki-cluster\nservice: ki-rag-api\nto: previous\ncount: 2\nlimit: 3\nimage-tag: v1\n"
    )
    ran = run(sandbox, tmp_path, "history", "--config=all.yml")
    assert ran.exit_code == 0, ran.shown
    (tmp_path / "all.yml").write_text("cluster: ki-cluster\nservice: ki-rag-api\nlimits: 3\n")
    ran = run(sandbox, tmp_path, "history", "--config=all.yml")
    assert ran.exit_code == 2
    assert "Did you mean limit?" in ran.shown
