"""The command line: names, help, versions, and what starts without AWS."""

import json
import subprocess
import sys

import pytest

from ecs_gpu_deploy import __version__, errors
from ecs_gpu_deploy.result import EXIT_CODES, OUR_BUG, TASK_FAILED, Outcome, exit_codes_text


def _run(*arguments, environment=None, text=None):
    return subprocess.run(
        [sys.executable, "-m", "ecs_gpu_deploy", *arguments],
        capture_output=True,
        text=True,
        check=False,
        input=text,
        env=environment,
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["deply"], "Did you mean deploy?"),
        (["explian", "x"], "Did you mean explain?"),
        (["--cluster", "x"], "The command comes first"),
        (["deploy", "--servce", "x"], "Did you mean --service?"),
        (["deploy", "--servce=x"], "Did you mean --service?"),
        (["sandbox", "srve"], "Did you mean serve?"),
        (["deploy", "--cluster"], "--cluster has no value"),
        (["push", "--build-options", "--push"], "--build-options=--such"),
        (["deploy", "--dry-run"], "`ecs-gpu-deploy deploy --help` lists"),
        (["deploy", "-s", "x"], "`ecs-gpu-deploy deploy --help` lists"),
        (["deploy", "extra"], "'extra' belongs to no flag"),
        (["explain", "--file", "x"], "`ecs-gpu-deploy explain --help` lists"),
        (["sandbox", "serve", "--speed", "fast"], "'fast' is neither a number above 0 nor `stepped`"),
        (["sandbox", "serve", "--runtime=podman"], "`ecs-gpu-deploy sandbox serve --help` lists"),
        (["sandbox", "demo", "--speed", "x"], "'x' is neither a number above 0 nor `stepped`"),
        (["sandbox", "demo", "--sped", "1"], "Did you mean --speed?"),
    ],
)
def test_a_wrong_word_is_answered_with_what_was_meant(arguments, sentence):
    ran = _run(*arguments)
    assert ran.returncode == 2
    assert sentence in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "usage:" not in ran.stderr


def test_without_arguments_it_shows_its_commands_and_exit_codes():
    ran = _run()
    assert ran.returncode == 2
    assert "deploy" in ran.stderr
    assert "9 superseded" in ran.stderr


def test_every_exit_code_has_one_meaning_and_the_help_says_it():
    assert set(EXIT_CODES) == {outcome.exit_code for outcome in Outcome} | {OUR_BUG, TASK_FAILED}
    for error in (errors.InvalidInput, errors.Refused, errors.CredentialsExpired):
        assert error.exit_code == Outcome(error.outcome).exit_code
    assert errors.InternalError.exit_code == OUR_BUG
    assert exit_codes_text() in " ".join(_run("deploy", "--help").stdout.split())


def test_the_version_is_the_packages():
    assert _run("--version").stdout == f"ecs-gpu-deploy {__version__}\n"


def test_inputs_that_are_no_json_are_said(tmp_path):
    environment = {"INPUTS": "{", "PATH": "/usr/bin:/bin"}
    ran = _run(environment=environment)
    assert ran.returncode == 2
    assert "INPUTS is not JSON" in ran.stderr


def test_explaining_and_helping_never_wait_for_boto3():
    code = (
        "import sys; from ecs_gpu_deploy.cli import main; code = main(sys.argv[1:]);"
        "print('boto3' in sys.modules or 'botocore' in sys.modules, file=sys.stderr); sys.exit(code)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, "explain", "RESOURCE:GPU"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0
    assert ran.stderr.strip() == "False"
    assert ran.stdout.startswith("gpu-capacity")


def test_explain_reads_standard_input_and_writes_json():
    ran = _run("explain", "--output", "json", text="exec /app/run: exec format error\n")
    assert ran.returncode == 0
    assert json.loads(ran.stdout)["diagnoses"][0]["code"] == "architecture-mismatch"


def test_explain_takes_words_without_quotes_and_a_dash_for_standard_input():
    assert _run("explain", "exec", "format", "error").stdout.startswith("architecture-mismatch:")
    assert _run("explain", "-", text="exec format error\n").stdout.startswith("architecture-mismatch:")


def test_explain_writes_its_result_as_every_command_does(tmp_path):
    result = tmp_path / "r.json"
    ran = _run("explain", "RESOURCE:GPU", "--output=json", "--result-file", str(result))
    assert json.loads(ran.stdout) == json.loads(result.read_text(encoding="utf-8"))
    assert json.loads(ran.stdout)["command"] == "explain"


def test_with_json_standard_output_holds_the_result_alone_also_of_what_is_refused():
    ran = _run("history", "--all", "--debug", "--limit", "none", "--output", "json")
    assert ran.returncode == 2
    assert json.loads(ran.stdout)["reason"].startswith("limit is 'none'")
    assert "limit is 'none'" in ran.stderr


def test_a_wrong_input_is_still_a_result(tmp_path):
    result = tmp_path / "r.json"
    ran = _run("deploy", "--cluster=c", "--service=s", "--timeout=soon", "--result-file", str(result))
    assert ran.returncode == 2
    document = json.loads(result.read_text(encoding="utf-8"))
    assert document["outcome"] == "invalid"
    assert document["exit_code"] == 2
    assert "soon" in document["reason"]
    assert document["findings"][0]["hint"]
