mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name               = "ki-rag-api"
  cluster_name       = "ki-cluster"
  subnet_ids         = ["subnet-3", "subnet-4"]
  security_group_ids = ["sg-1"]
  task_cpu           = 2048
  task_memory        = 8192
  tasks              = 2
  most_tasks         = 6
  spare_tasks        = 1
  other_tasks        = 1
}

run "two_tasks_one_spare_and_the_ingest" {
  command = plan

  module {
    source = "./modules/gpu-cluster"
  }

  assert {
    condition     = aws_autoscaling_group.gpu[0].max_size == 7 && local.target_capacity == 100
    error_message = "Four tasks at most, two more while they are rolled out, and the ingest are seven instances; none is kept warm."
  }

  assert {
    condition     = aws_launch_template.gpu[0].block_device_mappings[0].ebs[0].volume_size == 60 && aws_launch_template.gpu[0].metadata_options[0].http_tokens == "required"
    error_message = "A 4 GB image needs 60 GB of disk; IMDSv2 is required."
  }

  assert {
    condition = alltrue([for line in [
      "ECS_CLUSTER=ki-cluster", "ECS_ENABLE_GPU_SUPPORT=true", "ECS_IMAGE_PULL_BEHAVIOR=always",
      "ECS_IMAGE_PULL_INACTIVITY_TIMEOUT=10m", "ECS_ENABLE_SPOT_INSTANCE_DRAINING=false", "ECS_WARM_POOLS_CHECK=false",
    ] : contains(split("\n", base64decode(aws_launch_template.gpu[0].user_data)), line)])
    error_message = "The agent knows its cluster, gives GPUs, pulls always and has patience with big layers."
  }

  assert {
    condition     = aws_launch_template.gpu[0].metadata_options[0].http_put_response_hop_limit == 1
    error_message = "Containers in bridge mode are a hop away: they cannot take the instance's credentials."
  }

  assert {
    condition     = aws_autoscaling_group.gpu[0].protect_from_scale_in && aws_ecs_capacity_provider.gpu[0].auto_scaling_group_provider[0].managed_termination_protection == "ENABLED" && aws_ecs_capacity_provider.gpu[0].auto_scaling_group_provider[0].managed_draining == "ENABLED"
    error_message = "Managed termination protection needs the group's own protection."
  }
}

run "spare_kept_warm" {
  command = plan

  module {
    source = "./modules/gpu-cluster"
  }

  variables { keep_spare_warm = true }

  assert {
    condition     = local.target_capacity == 67
    error_message = "Two of three instances in use are 67 % rounded up: 66 % would launch a fourth."
  }
}

run "four_gpus_on_an_instance" {
  command = plan

  module {
    source = "./modules/gpu-cluster"
  }

  variables {
    instance_type = "g5.12xlarge"
    tasks         = 6
    most_tasks    = 10
    spare_tasks   = 2
  }

  override_data {
    target = data.aws_ec2_instance_type.gpu
    values = {
      default_vcpus = 48
      memory_size   = 196608
      gpus          = [{ count = 4, manufacturer = "NVIDIA", memory_size = 24576, name = "A10G" }]
    }
  }

  assert {
    condition     = local.tasks_per_instance == 4 && local.instances_for_desired == 2 && aws_autoscaling_group.gpu[0].max_size == 3
    error_message = "Four tasks share an instance; ten and the ingest need three."
  }
}

run "managed_instances" {
  command = plan

  module {
    source = "./modules/gpu-cluster"
  }

  variables {
    capacity = "managed-instances"
  }

  assert {
    condition     = length(aws_cloudcontrolapi_resource.managed_instances) == 1 && length(aws_autoscaling_group.gpu) == 0 && length(aws_iam_role_policy.infrastructure) == 1
    error_message = "ECS launches the instances itself, and may give them our role."
  }
}

run "spot_and_warm_pool" {
  command = plan

  module {
    source = "./modules/gpu-cluster"
  }

  variables { spot = true }

  assert {
    condition     = aws_autoscaling_group.gpu[0].mixed_instances_policy[0].instances_distribution[0].on_demand_percentage_above_base_capacity == 0
    error_message = "Spot only."
  }
}

run "warm_pool" {
  command = plan

  module {
    source = "./modules/gpu-cluster"
  }

  variables { warm_pool_size = 1 }

  assert {
    condition     = aws_autoscaling_group.gpu[0].warm_pool[0].pool_state == "Stopped"
    error_message = "A stopped instance costs its volume only."
  }
}

run "instance_without_gpu" {
  command = plan

  module {
    source = "./modules/gpu-cluster"
  }

  expect_failures = [var.instance_type]
  variables { instance_type = "m5.large" }
}

run "instance_with_amd_gpu" {
  command = plan

  module {
    source = "./modules/gpu-cluster"
  }

  expect_failures = [var.instance_type]
  variables { instance_type = "g4ad.xlarge" }
}

run "arm_instance" {
  command = plan

  module {
    source = "./modules/gpu-cluster"
  }

  expect_failures = [var.instance_type]
  variables { instance_type = "g5g.xlarge" }
}

run "more_gpus_than_an_instance_has" {
  command = plan

  module {
    source = "./modules/gpu-cluster"
  }

  expect_failures = [data.aws_ec2_instance_type.gpu]
  variables {
    gpus_per_task = 2
  }
}

run "memory_that_does_not_fit" {
  command = plan

  module {
    source = "./modules/gpu-cluster"
  }

  expect_failures = [data.aws_ec2_instance_type.gpu]
  variables { task_memory = 20000 }
}

run "warm_pool_of_spot_instances" {
  command = plan

  module {
    source = "./modules/gpu-cluster"
  }

  expect_failures = [var.warm_pool_size]
  variables {
    spot           = true
    warm_pool_size = 1
  }
}

run "cluster_named_like_awss" {
  command = plan

  module {
    source = "./modules/gpu-cluster"
  }

  expect_failures = [var.cluster_name]
  variables { cluster_name = "ecs-gpu" }
}

run "words_that_nobody_knows" {
  command = plan

  module {
    source = "./modules/gpu-cluster"
  }

  expect_failures = [var.capacity, var.container_insights, var.image_gb]
  variables {
    capacity           = "fargate"
    container_insights = "on"
    image_gb           = 0
  }
}

run "no_gpu" {
  command = plan

  module {
    source = "./modules/gpu-cluster"
  }

  expect_failures = [var.gpus_per_task]
  variables { gpus_per_task = 0 }
}

run "no_spare_to_keep_and_no_image_to_choose" {
  command = plan

  module {
    source = "./modules/gpu-cluster"
  }

  expect_failures = [var.keep_spare_warm, var.ami_id, var.session_manager]
  variables {
    capacity        = "managed-instances"
    keep_spare_warm = true
    ami_id          = "ami-0123456789abcdef0"
    session_manager = true
  }
}

run "a_new_launch_template_rolls_as_a_rollout_does" {
  command = plan

  module {
    source = "./modules/gpu-cluster"
  }

  variables {
    ready_seconds  = 560
    refresh_alarms = ["ki-rag-api-server-errors"]
  }

  assert {
    condition     = aws_autoscaling_group.gpu[0].instance_refresh[0].preferences[0].min_healthy_percentage == 100 && aws_autoscaling_group.gpu[0].instance_refresh[0].preferences[0].max_healthy_percentage == 150
    error_message = "With a spare instance the new one comes first."
  }

  assert {
    condition     = aws_autoscaling_group.gpu[0].instance_refresh[0].preferences[0].scale_in_protected_instances == "Refresh" && aws_autoscaling_group.gpu[0].instance_refresh[0].preferences[0].skip_matching && aws_ecs_capacity_provider.gpu[0].auto_scaling_group_provider[0].managed_draining == "ENABLED"
    error_message = "Instances with tasks are replaced too, after ECS has moved the tasks."
  }

  assert {
    condition     = aws_autoscaling_group.gpu[0].instance_refresh[0].preferences[0].auto_rollback && aws_autoscaling_group.gpu[0].instance_refresh[0].preferences[0].alarm_specification[0].alarms == tolist(["ki-rag-api-server-errors"]) && aws_autoscaling_group.gpu[0].instance_refresh[0].preferences[0].instance_warmup == "560"
    error_message = "It goes on when tasks answer, and the alarm undoes it."
  }
}

run "a_new_launch_template_without_a_spare" {
  command = plan

  module {
    source = "./modules/gpu-cluster"
  }

  variables {
    spare_tasks = 0
  }

  assert {
    condition     = aws_autoscaling_group.gpu[0].instance_refresh[0].preferences[0].min_healthy_percentage == 50 && aws_autoscaling_group.gpu[0].instance_refresh[0].preferences[0].max_healthy_percentage == 100 && length(aws_autoscaling_group.gpu[0].instance_refresh[0].preferences[0].alarm_specification) == 0
    error_message = "One of two instances makes room."
  }
}

run "nobody_signs_in" {
  command = plan

  module {
    source = "./modules/gpu-cluster"
  }

  assert {
    condition     = length(aws_iam_role_policy.sessions) == 0 && output.sessions_policy_arn == null && aws_launch_template.gpu[0].key_name == null
    error_message = "No shell and no key unless asked for."
  }
}

run "a_shell_without_ssh" {
  command = plan

  module {
    source = "./modules/gpu-cluster"
  }

  variables {
    session_manager = true
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.sessions[0].policy).Statement[0].Action == ["ssm:UpdateInstanceInformation", "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"]
    error_message = "The agent may be reached, and read no parameter."
  }

  assert {
    condition     = jsondecode(aws_iam_policy.sessions[0].policy).Statement[0].Condition.StringEquals == { "ssm:resourceTag/Name" = "ki-rag-api-gpu" }
    error_message = "On these instances and no others."
  }
}
