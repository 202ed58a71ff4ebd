"""What clients make of load balancers and secrets, as the runtime of real containers reads it."""

import json

import pytest

from ecs_gpu_deploy.sandbox.neighbours.load_balancers import Rule
from ecs_gpu_deploy.sandbox.neighbours.secret_values import NoValue
from sandbox_process import sandbox_thread


@pytest.fixture(scope="module")
def sandbox():
    with sandbox_thread("secrets: [declared]\nparameters: [/level]\n") as running:
        yield running


def made_group(elb, vpc, name, **more):
    asked = {"Protocol": "HTTP", "Port": 8000, "VpcId": vpc, **more}
    return elb.create_target_group(Name=name, **asked)["TargetGroups"][0]["TargetGroupArn"]


def forward(**weights):
    groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in weights.items()]
    return {"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}


def test_listeners_rules_and_checks_are_read_as_they_were_made(sandbox):
    neighbours = sandbox.server.sandbox.neighbours
    with sandbox.client("ec2") as ec2, sandbox.client("elbv2") as elb:
        subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"][:2]]
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        blue = made_group(
            elb,
            vpc,
            "blue",
            HealthCheckPath="/health",
            HealthCheckIntervalSeconds=7,
            HealthCheckTimeoutSeconds=3,
            HealthyThresholdCount=4,
            UnhealthyThresholdCount=3,
            Matcher={"HttpCode": "200,202-204"},
        )
        green = made_group(elb, vpc, "green")
        slow = [
            {"Key": "slow_start.duration_seconds", "Value": "45"},
            {"Key": "load_balancing.algorithm.type", "Value": "least_outstanding_requests"},
        ]
        elb.modify_target_group_attributes(TargetGroupArn=blue, Attributes=slow)
        balancer = elb.create_load_balancer(Name="shop", Subnets=subnets)["LoadBalancers"][0]
        arn = balancer["LoadBalancerArn"]
        elb.create_load_balancer(Name="network", Subnets=subnets, Type="network")
        idle = [{"Key": "idle_timeout.timeout_seconds", "Value": "90"}]
        elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=idle)
        fixed = {
            "Type": "fixed-response",
            "FixedResponseConfig": {"StatusCode": "404", "ContentType": "text/plain", "MessageBody": "no"},
        }
        for protocol, port in (("HTTP", 8080), ("HTTP", 80)):
            listener = elb.create_listener(
                LoadBalancerArn=arn, Protocol=protocol, Port=port, DefaultActions=[fixed]
            )["Listeners"][0]["ListenerArn"]
        for priority, condition in (
            (20, {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/ask*"]}}),
            (10, {"Field": "host-header", "HostHeaderConfig": {"Values": ["API.example"]}}),
            (5, {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "x", "Values": ["1"]}}),
        ):
            elb.create_rule(
                ListenerArn=listener,
                Priority=priority,
                Conditions=[condition],
                Actions=[forward(**{blue: 90, green: 10})],
            )
    with sandbox.server.sandbox.lock:
        first, second = neighbours.listeners()
        group, plain = neighbours.checked_group(blue), neighbours.checked_group(green)
        assert neighbours.checked_group(f"{green}x") is None
    shared = ((blue, 90.0), (green, 10.0))
    assert (first.name, first.port, first.protocol, first.idle_seconds) == ("shop", 80, "http", 90.0)
    assert first.rules == (
        Rule(hosts=("api.example",), forward=shared),
        Rule(paths=("/ask*",), forward=shared),
        Rule(answer=(404, "text/plain", "no")),
    )
    assert first.groups == {blue, green}
    assert (second.port, len(second.rules)) == (8080, 1)
    assert (group.path, group.interval, group.timeout) == ("/health", 7.0, 3.0)
    assert (group.healthy_threshold, group.unhealthy_threshold) == (4, 3)
    assert (group.slow_start, group.least_outstanding) == (45.0, True)
    assert [code for code in (200, 201, 202, 204, 205, 500) if group.accepts(code)] == [200, 202, 204]
    assert (plain.path, plain.codes, plain.slow_start) == ("/", ((200, 200),), 0.0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param("", '{"key": "sk-1", "number": 2}', id="the whole text"),
        pytest.param(":key::", "sk-1", id="one key of it"),
        pytest.param(":number:AWSCURRENT:", "2", id="one of a stage"),
        pytest.param(":other::", None, id="a key that is not there"),
        pytest.param(":key:AWSPREVIOUS:", None, id="a stage that is not there"),
    ],
)
def test_a_secret_gives_what_its_value_from_names(sandbox, key, value):
    neighbours = sandbox.server.sandbox.neighbours
    with sandbox.client("secretsmanager") as secrets:
        text = json.dumps({"key": "sk-1", "number": 2})
        name = f"keys-{key.replace(':', '-')}"
        arn = secrets.create_secret(Name=name, SecretString=text)["ARN"]
    with sandbox.server.sandbox.lock:
        if value is None:
            with pytest.raises(NoValue):
                neighbours.environment_secret(f"{arn}{key}")
        else:
            assert neighbours.environment_secret(f"{arn}{key}") == value


def test_a_parameter_gives_its_value_by_name_and_by_arn(sandbox):
    neighbours = sandbox.server.sandbox.neighbours
    with sandbox.server.sandbox.lock:
        for name in ("/level", "arn:aws:ssm:eu-central-1:123456789012:parameter/level"):
            assert neighbours.environment_secret(name) == "sandbox"
        with pytest.raises(NoValue):
            neighbours.environment_secret("/nothing")
