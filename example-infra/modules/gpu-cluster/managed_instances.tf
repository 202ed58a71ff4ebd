# ECS Managed Instances: ECS launches, patches and repairs the GPU instances. Provider 5.100 has no resource for such
# a capacity provider; Cloud Control has (AWS::ECS::CapacityProvider, AWS CloudFormation Template Reference).

resource "aws_iam_role" "infrastructure" {
  count = local.managed_instances ? 1 : 0
  name  = "${var.name}-infrastructure"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "infrastructure" {
  count      = local.managed_instances ? 1 : 0
  role       = aws_iam_role.infrastructure[0].name
  policy_arn = "${local.arn}:iam::aws:policy/AmazonECSInfrastructureRolePolicyForManagedInstances"
}

# AWS's policy passes only roles whose names begin with ecsInstanceRole (Amazon ECS Developer Guide, "Amazon ECS
# Managed Instances instance profile"); ours is named after the stack.
resource "aws_iam_role_policy" "infrastructure" {
  count = local.managed_instances ? 1 : 0
  name  = "pass-instance-role"
  role  = aws_iam_role.infrastructure[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "PassInstanceRole"
      Effect    = "Allow"
      Action    = ["iam:PassRole"]
      Resource  = aws_iam_role.instance.arn
      Condition = { StringEquals = { "iam:PassedToService" = "ec2.${local.dns}" } }
    }]
  })
}

resource "aws_cloudcontrolapi_resource" "managed_instances" {
  count     = local.managed_instances ? 1 : 0
  type_name = "AWS::ECS::CapacityProvider"

  desired_state = jsonencode({
    Name        = local.capacity_provider
    ClusterName = aws_ecs_cluster.this.name
    ManagedInstancesProvider = {
      InfrastructureRoleArn = aws_iam_role.infrastructure[0].arn
      PropagateTags         = "CAPACITY_PROVIDER"
      InstanceLaunchTemplate = {
        Ec2InstanceProfileArn = aws_iam_instance_profile.instance.arn
        CapacityOptionType    = var.spot ? "SPOT" : "ON_DEMAND"
        Monitoring            = "DETAILED"
        NetworkConfiguration = {
          Subnets        = var.subnet_ids
          SecurityGroups = var.security_group_ids
        }
        StorageConfiguration = { StorageSizeGiB = local.root_volume_gb }
        InstanceRequirements = {
          VCpuCount                = { Min = data.aws_ec2_instance_type.gpu.default_vcpus }
          MemoryMiB                = { Min = data.aws_ec2_instance_type.gpu.memory_size }
          AllowedInstanceTypes     = [var.instance_type]
          AcceleratorTypes         = ["gpu"]
          AcceleratorManufacturers = ["nvidia"]
          AcceleratorCount         = { Min = var.gpus_per_task }
        }
      }
    }
  })

  depends_on = [aws_iam_role_policy.infrastructure, aws_iam_role_policy_attachment.infrastructure, aws_iam_role_policy_attachment.instance]
}
