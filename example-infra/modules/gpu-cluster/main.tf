resource "aws_ecs_cluster" "this" {
  # checkov:skip=CKV_AWS_65: on, enhanced, unless container_insights says otherwise
  name = var.cluster_name

  setting {
    name  = "containerInsights"
    value = var.container_insights
  }
}

data "aws_partition" "current" {}

data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

# The provider puts its tags on what it makes itself; instances and volumes are made by EC2.
data "aws_default_tags" "current" {}

locals {
  arn               = "arn:${data.aws_partition.current.partition}"
  dns               = data.aws_partition.current.dns_suffix
  managed_instances = var.capacity == "managed-instances"

  # A provider is named after its cluster, so that a second stack in the account does not collide.
  capacity_provider = "${aws_ecs_cluster.this.name}-gpu"
}

data "aws_ssm_parameter" "ami" {
  count = var.ami_id == null ? 1 : 0
  name  = "/aws/service/ecs/optimized-ami/amazon-linux-2023/gpu/recommended/image_id"
}

resource "aws_iam_role" "instance" {
  name = "${var.name}-instance"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.${local.dns}" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "instance" {
  role       = aws_iam_role.instance.name
  policy_arn = "${local.arn}:iam::aws:policy/${local.managed_instances ? "AmazonECSInstanceRolePolicyForManagedInstances" : "service-role/AmazonEC2ContainerServiceforEC2Role"}"
}

resource "aws_iam_instance_profile" "instance" {
  name = "${var.name}-instance"
  role = aws_iam_role.instance.name
}

# EC2: launch template, Auto Scaling group, capacity provider

resource "aws_launch_template" "gpu" {
  count                  = local.managed_instances ? 0 : 1
  name                   = "${var.name}-gpu"
  description            = "GPU instances of ${var.cluster_name}"
  image_id               = coalesce(var.ami_id, try(nonsensitive(data.aws_ssm_parameter.ami[0].value), null))
  instance_type          = var.instance_type
  ebs_optimized          = true
  update_default_version = true

  # Pull behaviour `always`: the default silently runs a cached image where the pull fails. The layers that are on
  # the disk are not pulled again. Big layers need more than the agent's minute without progress.
  user_data = base64encode(<<-SCRIPT
    #!/bin/bash
    cat >> /etc/ecs/ecs.config <<'CONFIG'
    ECS_CLUSTER=${aws_ecs_cluster.this.name}
    ECS_ENABLE_GPU_SUPPORT=true
    ECS_IMAGE_PULL_BEHAVIOR=always
    ECS_IMAGE_PULL_INACTIVITY_TIMEOUT=10m
    ECS_CONTAINER_START_TIMEOUT=10m
    ECS_ENABLE_TASK_IAM_ROLE=true
    ECS_AWSVPC_BLOCK_IMDS=true
    ECS_ENABLE_SPOT_INSTANCE_DRAINING=${var.spot}
    ECS_WARM_POOLS_CHECK=${var.warm_pool_size > 0}
    CONFIG
  SCRIPT
  )

  iam_instance_profile {
    arn = aws_iam_instance_profile.instance.arn
  }

  # One hop: containers in bridge mode cannot take the instance's credentials, they have roles of their own.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  monitoring {
    enabled = true
  }

  network_interfaces {
    associate_public_ip_address = false
    delete_on_termination       = true
    security_groups             = var.security_group_ids
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      volume_size           = local.root_volume_gb
      throughput            = 250
      iops                  = 3000
      encrypted             = true
      delete_on_termination = true
    }
  }

  dynamic "tag_specifications" {
    for_each = ["instance", "volume"]

    content {
      resource_type = tag_specifications.value
      tags          = merge({ Name = "${var.name}-gpu" }, data.aws_default_tags.current.tags)
    }
  }
}

resource "aws_autoscaling_group" "gpu" {
  count               = local.managed_instances ? 0 : 1
  name                = "${var.name}-gpu"
  min_size            = 0
  max_size            = local.most_instances
  vpc_zone_identifier = var.subnet_ids
  health_check_type   = "EC2"
  # ECS protects instances that run tasks; without force, destroy would wait for them for ever.
  protect_from_scale_in = true
  force_delete          = true
  capacity_rebalance    = var.spot

  dynamic "launch_template" {
    for_each = var.spot ? [] : [aws_launch_template.gpu[0]]

    content {
      id      = launch_template.value.id
      version = launch_template.value.latest_version
    }
  }

  dynamic "mixed_instances_policy" {
    for_each = var.spot ? [aws_launch_template.gpu[0]] : []

    content {
      instances_distribution {
        on_demand_base_capacity                  = 0
        on_demand_percentage_above_base_capacity = 0
        spot_allocation_strategy                 = "price-capacity-optimized"
      }

      launch_template {
        launch_template_specification {
          launch_template_id = mixed_instances_policy.value.id
          version            = mixed_instances_policy.value.latest_version
        }
      }
    }
  }

  dynamic "warm_pool" {
    for_each = var.warm_pool_size > 0 ? [var.warm_pool_size] : []

    content {
      pool_state                  = "Stopped"
      min_size                    = warm_pool.value
      max_group_prepared_capacity = local.most_instances + warm_pool.value

      instance_reuse_policy {
        reuse_on_scale_in = false
      }
    }
  }

  # Another launch template (a new AMI, a larger disk) replaces the instances. ECS protects those that run tasks from
  # scale-in; Refresh replaces them all the same, and before one ends, managed draining has ECS move its tasks by the
  # service's own percentages and lets a task of no service come to its end.
  instance_refresh {
    strategy = "Rolling"

    preferences {
      min_healthy_percentage       = local.refresh_minimum_percent
      max_healthy_percentage       = local.refresh_maximum_percent
      instance_warmup              = var.ready_seconds
      scale_in_protected_instances = "Refresh"
      skip_matching                = true
      auto_rollback                = true

      dynamic "alarm_specification" {
        for_each = length(var.refresh_alarms) > 0 ? [var.refresh_alarms] : []

        content {
          alarms = alarm_specification.value
        }
      }
    }
  }

  # ECS adds this tag itself when the group joins a capacity provider; unnamed, the next plan would remove it.
  tag {
    key                 = "AmazonECSManaged"
    value               = "true"
    propagate_at_launch = true
  }

  tag {
    key                 = "Name"
    value               = "${var.name}-gpu"
    propagate_at_launch = true
  }

  lifecycle {
    # Managed scaling owns the size.
    ignore_changes = [desired_capacity]
  }
}

resource "aws_ecs_capacity_provider" "gpu" {
  count = local.managed_instances ? 0 : 1
  name  = local.capacity_provider

  auto_scaling_group_provider {
    auto_scaling_group_arn         = aws_autoscaling_group.gpu[0].arn
    managed_draining               = "ENABLED"
    managed_termination_protection = "ENABLED"

    managed_scaling {
      status                    = "ENABLED"
      target_capacity           = local.target_capacity
      minimum_scaling_step_size = 1
      maximum_scaling_step_size = max(1, local.most_instances)
      instance_warmup_period    = 300
    }
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  count              = local.managed_instances ? 0 : 1
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = [aws_ecs_capacity_provider.gpu[0].name]

  default_capacity_provider_strategy {
    capacity_provider = aws_ecs_capacity_provider.gpu[0].name
    weight            = 1
  }
}
