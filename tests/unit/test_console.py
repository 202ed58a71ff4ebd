"""Links to the console: the partition's domain, names encoded."""

import pytest

from ecs_gpu_deploy.core.show.console import console_links, console_url, task_pages
from ecs_gpu_deploy.model import Service


def service(partition="aws", name="rag"):
    return Service(
        arn=f"arn:{partition}:ecs:x:123456789012:service/ki/{name}",
        name=name,
        cluster_arn=f"arn:{partition}:ecs:x:123456789012:cluster/ki",
        status="ACTIVE",
        task_definition="",
        desired_count=1,
        running_count=1,
        pending_count=0,
        deployments=(),
        events=(),
    )


@pytest.mark.parametrize(
    ("partition", "region", "address"),
    [
        ("aws", "eu-central-1", "https://eu-central-1.console.aws.amazon.com/ecs/v2/"),
        ("aws-cn", "cn-north-1", "https://cn-north-1.console.amazonaws.cn/ecs/v2/"),
        ("aws-eusc", "eusc-de-east-1", "https://eusc-de-east-1.console.amazonaws-eusc.eu/ecs/v2/"),
        ("aws-us-gov", "us-gov-west-1", "https://us-gov-west-1.console.amazonaws-us-gov.com/ecs/v2/"),
    ],
)
def test_each_partition_has_its_console(partition, region, address):
    links = console_links(region, service(partition))
    assert all(link.startswith(address) for link in links.values())
    assert links["Tasks"].endswith(f"clusters/ki/services/rag/tasks?region={region}")


def test_the_log_groups_of_awslogs_are_linked():
    containers = [
        {"logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/ecs/rag) [x](y"}}},
        {"logConfiguration": {"logDriver": "awsfirelens", "options": {"awslogs-group": "other"}}},
        {"logConfiguration": None},
    ]
    links = console_links("eu-central-1", service(), containers)
    (name,) = set(links) - {"Deployments", "Tasks", "Events"}
    assert name == "Logs /ecs/rag) [x](y"
    assert links[name] == (
        "https://eu-central-1.console.aws.amazon.com/cloudwatch/home?region=eu-central-1"
        "#logsV2:log-groups/log-group/$252Fecs$252Frag$2529$2520$255Bx$255D$2528y"
    )


def test_a_name_cannot_leave_the_link():
    assert ")" not in console_links("r", service(name="a)b"))["Tasks"]


@pytest.mark.parametrize(
    ("asked", "page"),
    [
        (
            {"cluster": "ki", "service": "rag"},
            "https://cn-north-1.console.amazonaws.cn/ecs/v2/clusters/ki/services/rag/deployments?region=cn-north-1",
        ),
        (
            {"cluster": "", "service": "arn:aws-cn:ecs:cn-north-1:1:service/other/rag"},
            "https://cn-north-1.console.amazonaws.cn/ecs/v2/clusters/other/services/rag/deployments?region=cn-north-1",
        ),
        (
            {"cluster": "arn:aws-cn:ecs:cn-north-1:1:cluster/ki", "tasks": ["arn:x:task/ki/0a"]},
            "https://cn-north-1.console.amazonaws.cn/ecs/v2/clusters/ki/tasks/0a/configuration?region=cn-north-1",
        ),
        (
            {"cluster": "ki", "service": "rag", "codedeploy_id": "d-1"},
            "https://cn-north-1.console.amazonaws.cn/codesuite/codedeploy/deployments/d-1?region=cn-north-1",
        ),
        (
            {"cluster": "ki", "tasks": ["arn:x:task/ki/0a", "arn:x:task/ki/0b"]},
            "https://cn-north-1.console.amazonaws.cn/ecs/v2/clusters/ki/tasks?region=cn-north-1",
        ),
        ({"cluster": "ki"}, ""),
    ],
    ids=[
        "a service",
        "its ARN names the cluster",
        "a task",
        "tasks",
        "CodeDeploy's deployment",
        "nothing seen",
    ],
)
def test_one_page_shows_what_a_command_was_about(asked, page):
    assert console_url("cn-north-1", **asked) == page


def test_a_task_has_a_page_and_each_container_its_stream():
    options = {"awslogs-group": "/ecs/rag", "awslogs-stream-prefix": "ecs"}
    containers = [
        {"name": "rag", "logConfiguration": {"logDriver": "awslogs", "options": options}},
        {"name": "quiet"},
    ]
    pages = task_pages("r", "ki", "arn:aws:ecs:r:1:task/ki/0a", containers)
    assert list(pages.logs) == ["rag"]
    assert pages.logs["rag"].endswith("/log-group/$252Fecs$252Frag/log-events/ecs$252Frag$252F0a")
