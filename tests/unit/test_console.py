"""Links to the console: the partition's domain, names encoded."""

import pytest

from ecs_gpu_deploy.core.show.console import console_links
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
