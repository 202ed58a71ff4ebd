"""Where to look and where to ask: the console's page, and the address that the load balancer tells."""

import pytest

from program import deploy, image, run
from sandbox_process import sandbox_thread

CONSOLE = "https://eu-central-1.console.aws.amazon.com/ecs/v2/clusters/ki-cluster"
PAGE = f"{CONSOLE}/services/ki-rag-api/deployments?region=eu-central-1"


@pytest.fixture(scope="module")
def sandbox():
    with sandbox_thread() as running:
        yield running


def test_a_success_tells_where_the_service_answers_and_a_failure_where_to_look(sandbox, tmp_path):
    summary = tmp_path / "summary.md"
    told = deploy(sandbox, tmp_path, "--image", image("good"), GITHUB_STEP_SUMMARY=str(summary)).result
    assert told["outcome"] == "succeeded"
    assert told["console_url"] == PAGE
    assert told["service_url"].startswith("http://ki-rag-api-")
    assert told["service_url"].endswith(".elb.amazonaws.com/")
    assert f"\nAnswers at <{told['service_url']}>\n" in summary.read_text(encoding="utf-8")

    with sandbox.client("elbv2") as elbv2:
        [balancer] = elbv2.describe_load_balancers()["LoadBalancers"]
        [listener] = elbv2.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
        group = listener["DefaultActions"][0]["TargetGroupArn"]
        host = {"Field": "host-header", "HostHeaderConfig": {"Values": ["rag.example.com"]}}
        actions = [{"Type": "forward", "TargetGroupArn": group}]
        elbv2.create_rule(ListenerArn=listener["ListenerArn"], Priority=1, Conditions=[host], Actions=actions)
    told = run(sandbox, tmp_path, "rollback", "--cluster=ki-cluster", "--service=ki-rag-api").result
    assert (told["outcome"], told["service_url"]) == ("succeeded", "http://rag.example.com/")

    ended = deploy(sandbox, tmp_path, "--image", image("bad"))
    assert (ended.result["outcome"], ended.result["service_url"]) == ("rolled_back", "")
    assert ended.result["console_url"] == PAGE
    assert "DescribeRules" not in ended.operations


@pytest.mark.parametrize("operation", ["DescribeLoadBalancers", "DescribeListeners", "DescribeRules"])
def test_what_may_not_be_seen_costs_nothing(sandbox, tmp_path, operation):
    fault = {"operation": f"elasticloadbalancing:{operation}", "error": "AccessDenied"}
    assert sandbox.ask("POST", "faults", [fault])[0] == 200
    try:
        ended = deploy(sandbox, tmp_path, "--image", image("good"))
    finally:
        sandbox.ask("DELETE", "faults")
    assert (ended.exit_code, ended.result["service_url"]) == (0, "")
    assert ended.operations.count(operation) == 1


def test_a_batch_has_the_page_of_its_task(sandbox, tmp_path):
    flags = ("--cluster=ki-cluster", "--task-definition=ki-rag-api:1", "--wait=false")
    told = run(sandbox, tmp_path, "run-task", *flags).result
    task = told["tasks"][0]["task_arn"].rpartition("/")[2]
    assert told["console_url"] == f"{CONSOLE}/tasks/{task}/configuration?region=eu-central-1"


def test_what_is_not_there_has_no_page(sandbox, tmp_path):
    told = deploy(sandbox, tmp_path, "--image", image("good"), service="nobody").result
    assert (told["outcome"], told["console_url"]) == ("invalid", "")
