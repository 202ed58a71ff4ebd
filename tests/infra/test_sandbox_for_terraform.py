"""What Terraform's provider asks of the services beside ECS, where moto alone would answer otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox_process import RunningSandbox, sandbox_thread

TARGET = {
    "ServiceNamespace": "ecs",
    "ResourceId": "service/gpu/rag",
    "ScalableDimension": "ecs:service:DesiredCount",
}
TRUST = '{"Version": "2012-10-17", "Statement": []}'


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with sandbox_thread("clusters: [gpu]") as running:
        yield running


def test_a_scalable_target_of_our_ecs_is_awake_and_keeps_its_tags(sandbox: RunningSandbox) -> None:
    with sandbox.client("application-autoscaling") as scaling:
        scaling.register_scalable_target(**TARGET, MinCapacity=1, MaxCapacity=2, Tags={"team": "ki"})
        target = scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"][0]
        tags = scaling.list_tags_for_resource(ResourceARN=target["ScalableTargetARN"])["Tags"]
    assert set(target["SuspendedState"].values()) == {False}
    assert tags == {"team": "ki"}


def test_a_managed_policy_of_aws_can_be_attached_and_a_role_keeps_its_description(
    sandbox: RunningSandbox,
) -> None:
    policy = "arn:aws:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
    with sandbox.client("iam") as iam:
        iam.create_role(RoleName="instance", AssumeRolePolicyDocument=TRUST, Description="GPU hosts")
        iam.attach_role_policy(RoleName="instance", PolicyArn=policy)
        iam.update_role(RoleName="instance", MaxSessionDuration=7200)
        role = iam.get_role(RoleName="instance")["Role"]
    assert (role["Description"], role["MaxSessionDuration"]) == ("GPU hosts", 7200)


def test_a_rule_between_two_groups_keeps_its_description(sandbox: RunningSandbox) -> None:
    with sandbox.client("ec2") as ec2:
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        one, other = (
            ec2.create_security_group(GroupName=name, Description="-", VpcId=vpc)["GroupId"] for name in "ab"
        )
        pair = {"GroupId": other, "Description": "Load balancer"}
        permission = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 2, "UserIdGroupPairs": [pair]}
        rules = ec2.authorize_security_group_ingress(GroupId=one, IpPermissions=[permission])
    assert rules["SecurityGroupRules"][0]["Description"] == "Load balancer"


def test_a_launch_templates_own_tags_are_not_those_of_its_instances(sandbox: RunningSandbox) -> None:
    tags = [{"ResourceType": "launch-template", "Tags": [{"Key": "a", "Value": "b"}]}]
    with sandbox.client("ec2") as ec2:
        ec2.create_launch_template(
            LaunchTemplateName="gpu",
            LaunchTemplateData={"InstanceType": "g5.xlarge"},
            TagSpecifications=tags,
        )
        versions = ec2.describe_launch_template_versions(LaunchTemplateName="gpu")["LaunchTemplateVersions"]
    assert "TagSpecifications" not in versions[0]["LaunchTemplateData"]


def test_a_bucket_says_that_it_notifies_eventbridge(sandbox: RunningSandbox) -> None:
    with sandbox.client("s3", s3={"addressing_style": "path"}) as s3:
        s3.create_bucket(Bucket="docs", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        s3.put_bucket_notification_configuration(
            Bucket="docs", NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
        shown = s3.get_bucket_notification_configuration(Bucket="docs")
    assert shown["EventBridgeConfiguration"] == {}


def test_a_queue_shows_its_redrive_policy_as_it_was_sent(sandbox: RunningSandbox) -> None:
    policy = '{"deadLetterTargetArn":"arn:aws:sqs:eu-central-1:123456789012:dead","maxReceiveCount":5}'
    with sandbox.client("sqs") as sqs:
        sqs.create_queue(QueueName="dead")
        url = sqs.create_queue(QueueName="work", Attributes={"RedrivePolicy": policy})["QueueUrl"]
        shown = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"]
    assert shown == {"RedrivePolicy": policy}


def test_what_moto_lacks_is_refused_once_and_not_repeated(sandbox: RunningSandbox) -> None:
    with sandbox.client("application-autoscaling", retries=3) as scaling:
        before = len(sandbox.calls())
        with pytest.raises(scaling.exceptions.ClientError, match="The local AWS has no"):
            scaling.get_predictive_scaling_forecast(
                **TARGET,
                PolicyName="p",
                StartTime="2026-01-01T00:00:00Z",
                EndTime="2026-01-02T00:00:00Z",
            )
    assert len(sandbox.calls()) == before + 1


def test_a_capacity_provider_keeps_what_the_request_said(sandbox: RunningSandbox) -> None:
    groups = "arn:aws:autoscaling:eu-central-1:123456789012:autoScalingGroup"
    group = {
        "autoScalingGroupArn": f"{groups}:x:autoScalingGroupName/g",
        "managedScaling": {"status": "ENABLED", "targetCapacity": 67, "minimumScalingStepSize": 2},
        "managedTerminationProtection": "ENABLED",
    }
    with sandbox.client("ecs") as ecs:
        made = ecs.create_capacity_provider(name="gpu-hosts", autoScalingGroupProvider=group)
    shown = made["capacityProvider"]["autoScalingGroupProvider"]
    assert shown["managedTerminationProtection"] == "ENABLED"
    assert shown["managedScaling"]["minimumScalingStepSize"] == 2


def test_a_group_takes_an_instance_refresh_and_says_with_what(sandbox: RunningSandbox) -> None:
    wishes = {"MinHealthyPercentage": 100, "ScaleInProtectedInstances": "Refresh", "SkipMatching": True}
    with sandbox.client("ec2") as ec2, sandbox.client("autoscaling") as scaling:
        data = {"InstanceType": "g5.xlarge", "ImageId": "ami-12c6146b"}
        ec2.create_launch_template(LaunchTemplateName="hosts", LaunchTemplateData=data)
        scaling.create_auto_scaling_group(
            AutoScalingGroupName="hosts",
            LaunchTemplate={"LaunchTemplateName": "hosts"},
            MinSize=0,
            MaxSize=1,
            AvailabilityZones=["eu-central-1a"],
        )
        started = scaling.start_instance_refresh(AutoScalingGroupName="hosts", Preferences=wishes)
        [shown] = scaling.describe_instance_refreshes(AutoScalingGroupName="hosts")["InstanceRefreshes"]
        assert (shown["InstanceRefreshId"], shown["Status"]) == (started["InstanceRefreshId"], "Successful")
        assert shown["Preferences"] == wishes
        with pytest.raises(scaling.exceptions.ClientError, match="name not found"):
            scaling.start_instance_refresh(AutoScalingGroupName="none")
