"""STS that falters, a runner whose clock is wrong, a proxy that wants a password, roles renewed for hours."""

import http.server
import json
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import boto3
import pytest

from program import image
from program_here import run_here
from sandbox_process import clean_environment, sandbox_thread
from worlds import ROLE, github_world

HISTORY = ("history", "--cluster=ki-cluster", "--service=ki-rag-api")
CHAIN = tuple(f"arn:aws:iam::123456789012:role/{name}" for name in ("hub", "deploy-prod"))
CHAINED = tuple(f"--role-chain={arn}" for arn in CHAIN)
NO_KEY = {
    "error": "InvalidIdentityToken",
    "message": "Couldn't retrieve verification key from your identity provider, please reference "
    "AssumeRoleWithWebIdentity documentation for requirements",
}
NO_PROVIDER = {"error": "IDPCommunicationError", "message": "Error communicating with the identity provider."}


def _run(sandbox, folder, *arguments, role=ROLE, without=(), **environment):
    variables = clean_environment(
        sandbox, **sandbox.announcement["github_environment"], GITHUB_ACTIONS="true", **environment
    )
    wanted = [*arguments, *([f"--role-to-assume={role}"] if role else []), "--result-file=result.json"]
    left = {name: value for name, value in variables.items() if name not in without}
    code, shown = run_here(wanted, left, folder)
    return code, shown, json.loads((folder / "result.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("fault", [NO_KEY, NO_PROVIDER], ids=["no key", "no provider"])
def test_sts_that_cannot_ask_github_is_asked_again(tmp_path, fault):
    world = github_world()
    world["faults"] = [{"operation": "AssumeRoleWithWebIdentity", "count": 2, **fault}]
    with sandbox_thread(json.dumps(world)) as sandbox:
        code, shown, result = _run(sandbox, tmp_path, *HISTORY)
    assert code == 0, shown
    assert result["api_calls"]["sts.AssumeRoleWithWebIdentity"] == 3
    assert result["api_calls"]["github.GetToken"] == 3


@pytest.mark.parametrize("fault", [NO_KEY, NO_PROVIDER], ids=["no key", "no provider"])
def test_sts_that_never_reaches_github_is_no_refusal_of_the_role(tmp_path, fault):
    world = github_world()
    world["faults"] = [{"operation": "AssumeRoleWithWebIdentity", **fault}]
    with sandbox_thread(json.dumps(world)) as sandbox:
        code, shown, result = _run(sandbox, tmp_path, *HISTORY)
    assert code == 3, shown
    assert result["reason"].startswith("STS could not ask token.actions.githubusercontent.com"), shown
    assert fault["message"].rstrip(".") in result["reason"]
    assert result["api_calls"]["sts.AssumeRoleWithWebIdentity"] == 5


@pytest.mark.parametrize("hours", [-2, 2], ids=["two hours ahead", "two hours behind"])
def test_a_runner_whose_clock_is(tmp_path, hours):
    world = github_world()
    world["faults"] = [
        {"operation": operation, "signature_time": True} for operation in ("ecs:*", "AssumeRole")
    ]
    start = time.time() + hours * 3600
    with sandbox_thread(json.dumps(world), speed=1.0, start_time=start) as sandbox:
        no_clock = ("ECS_GPU_DEPLOY_CLOCK",)
        code, shown, result = _run(sandbox, tmp_path, *HISTORY, *CHAINED, without=no_clock)
    assert code == 0, shown
    where = "ahead of" if hours < 0 else "behind"
    assert f"s {where} AWS's, so credentials are reckoned by AWS's time." in shown, shown
    assert result["api_calls"]["sts.AssumeRoleWithWebIdentity"] == 1, "renewed once, not at every call"


def test_renewed_credentials_that_look_expired_are_no_bug_of_ours(tmp_path):
    ends = datetime.now(UTC) - timedelta(hours=2)
    keys = {"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "s", "SessionToken": "t"}
    (tmp_path / "keys.json").write_text(json.dumps({**keys, "Expiration": ends.isoformat()}))
    (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {tmp_path}/keys.json\n")
    with sandbox_thread(json.dumps(github_world())) as sandbox:
        static = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        config = {"AWS_CONFIG_FILE": str(tmp_path / "config")}
        code, shown, result = _run(sandbox, tmp_path, *HISTORY, role="", without=static, **config)
    assert code == 3, shown
    assert "bug of ours" not in shown
    assert f"end at {ends:%Y-%m-%d %H:%M} UTC" in result["reason"], shown
    assert "was 2h00m ago" in result["reason"]
    assert "NTP" in shown


def test_a_chain_of_roles_is_renewed_for_hours(tmp_path):
    world = github_world()
    world["images"].append({"image": "ki-rag-api:three-hours", "load_seconds": 3.25 * 3600})
    world["services"][0]["healthCheckGracePeriodSeconds"] = 4 * 3600
    with sandbox_thread(json.dumps(world)) as sandbox:
        wait = ("--timeout=4h", "--poll-interval=5m", f"--image={image('three-hours')}")
        code, shown, result = _run(sandbox, tmp_path, "deploy", *HISTORY[1:], *CHAINED, *wait)
        assumed = sandbox.calls("AssumeRole")
        refused = [call for call in sandbox.calls() if call["error"]]
        callers = {call["caller"].split("/")[-2] for call in sandbox.calls("DescribeServices")}
    assert code == 0, shown
    assert result["duration_seconds"] > 3.25 * 3600
    assert [call["parameters"]["RoleArn"] for call in assumed] == [*CHAIN] * 4
    assert refused == []
    assert callers == {"deploy-prod"}


def test_a_chained_role_has_an_hour_at_most(tmp_path):
    with sandbox_thread(json.dumps(github_world())) as sandbox:
        with sandbox.client("sts") as client:
            token = sandbox.server.sandbox.issuer.token(audience="sts.amazonaws.com", now=sandbox.now())
            keys = client.assume_role_with_web_identity(
                RoleArn=ROLE, RoleSessionName="job", WebIdentityToken=token
            )["Credentials"]
        chained = boto3.client(
            "sts",
            endpoint_url=sandbox.endpoint,
            region_name="eu-central-1",
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
        )
        with pytest.raises(chained.exceptions.ClientError, match="role chaining"):
            chained.assume_role(RoleArn=CHAIN[0], RoleSessionName="job", DurationSeconds=7200)
        ends = chained.assume_role(RoleArn=CHAIN[0], RoleSessionName="job")["Credentials"]["Expiration"]
        chained.close()
        assert ends.timestamp() - sandbox.now() == 3600


@contextmanager
def _proxy():
    """Serve a proxy that lets nobody through without a password."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def refuse(self):
            self.send_response(407, "Proxy Authentication Required")
            self.send_header("Proxy-Authenticate", 'Basic realm="corp"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_CONNECT(self):
            self.refuse()

        def do_GET(self):
            self.refuse()

        def do_POST(self):
            self.refuse()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://ci:s3cret@127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("role", "aws", "says"),
    [
        ("", "https://aws.invalid", "The proxy did not let us describe the service"),
        ("", "http://aws.invalid", "The proxy did not let us describe the service"),
        (ROLE, "https://aws.invalid", "The proxy did not let us ask STS for credentials"),
        (ROLE, "", "The proxy did not let us ask GitHub for a token"),
    ],
    ids=["AWS, by TLS", "AWS, in plain", "STS", "GitHub"],
)
def test_a_proxy_that_wants_a_password_is_named_before(tmp_path, role, aws, says):
    with sandbox_thread(json.dumps(github_world())) as sandbox, _proxy() as proxy:
        proxies = {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "http_proxy": proxy, "https_proxy": proxy}
        more = {"AWS_ENDPOINT_URL": aws, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"} if aws else {}
        if not aws:
            more = {"ACTIONS_ID_TOKEN_REQUEST_URL": "https://github.invalid/token"}
        github = dict(sandbox.announcement["github_environment"])
        variables = clean_environment(sandbox, **{**github, "GITHUB_ACTIONS": "true", **proxies, **more})
        wanted = [*HISTORY, *([f"--role-to-assume={role}"] if role else []), "--result-file=result.json"]
        code, shown = run_here(wanted, variables, tmp_path)
        result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert code == 3, shown
    assert result["reason"].startswith(says), shown
    assert "407" in result["reason"]
    assert "HTTPS_PROXY" in shown
    assert "s3cret" not in shown + json.dumps(result)
