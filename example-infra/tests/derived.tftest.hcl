mock_provider "aws" {
  override_data {
    target = data.aws_ec2_instance_type.gpu
    values = {
      default_vcpus = 4
      memory_size   = 16384
      gpus          = [{ count = 1, manufacturer = "NVIDIA", memory_size = 24576, name = "A10G" }]
    }
  }

  override_data {
    target = data.aws_availability_zones.available
    values = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
  }

  override_data {
    target = data.aws_partition.current
    values = { partition = "aws", dns_suffix = "amazonaws.com" }
  }

  override_data {
    target = data.aws_caller_identity.current
    values = { account_id = "123456789012" }
  }

  override_data {
    target = data.aws_ssm_parameter.ami[0]
    values = { value = "ami-0123456789abcdef0" }
  }
}

variables {
  github_repository = "octo-org/octo-repo"
  certificate_arn   = "arn:aws:acm:eu-central-1:123456789012:certificate/11111111-2222-3333-4444-555555555555"
}

run "two_tasks_and_one_spare_gpu" {
  command = plan

  assert {
    condition     = aws_ecs_service.this.health_check_grace_period_seconds == 220
    error_message = "The grace period is one and a half load times, 180 s, and two good checks of the load balancer, 40 s."
  }

  assert {
    condition     = aws_ecs_service.this.deployment_minimum_healthy_percent == 100 && aws_ecs_service.this.deployment_maximum_percent == 150
    error_message = "One spare GPU beside two tasks is 100/150."
  }

  assert {
    condition     = aws_lb_target_group.service["blue"].deregistration_delay == "120" && aws_lb.this.idle_timeout == 130
    error_message = "Old tasks finish their longest request, and the load balancer waits a little longer for it."
  }

  assert {
    condition = tomap({ for entry in local.container.environment : entry.name => entry.value if endswith(entry.name, "_SECONDS") }) == tomap({
      REQUEST_TIMEOUT_SECONDS = "120", DRAIN_SECONDS = "5", STOP_TIMEOUT_SECONDS = "110"
    }) && local.container.stopTimeout == 120
    error_message = "The service knows how long a request may take and how long it has to stop."
  }

  assert {
    condition     = aws_lb_target_group.service["blue"].health_check[0].matcher == "200"
    error_message = "Only 200 is healthy."
  }

  assert {
    condition     = local.container_start_period + (local.container_check_retries - 1) * local.container_check_interval >= 1.5 * var.model_load_seconds + local.container_check_timeout
    error_message = "The container check outlasts the load by itself."
  }

  assert {
    condition     = aws_autoscaling_group.gpu[0].max_size == 6 && local.target_capacity == 100
    error_message = "Four tasks at most, one spare and the ingest are six instances; none is kept warm."
  }

  assert {
    condition     = aws_launch_template.gpu[0].block_device_mappings[0].ebs[0].volume_size == 60 && aws_launch_template.gpu[0].metadata_options[0].http_tokens == "required"
    error_message = "A 4 GB image needs 60 GB of disk; IMDSv2 is required."
  }

  assert {
    condition     = local.rollout_seconds == 2 * (380 + 220 + 120 + 120) && local.deploy_timeout_seconds == 5040 && aws_iam_role.github["deploy"].max_session_duration == 7200 && aws_iam_role.github["plan"].max_session_duration == 3600
    error_message = "Two waves of launch and pull, grace period, drain and stop; three times that; in whole hours."
  }

  assert {
    condition     = aws_lb_listener.http.default_action[0].type == "redirect" && length(aws_lb_listener.https) == 1
    error_message = "With a certificate, HTTP redirects."
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

  assert {
    condition     = aws_vpc_security_group_ingress_rule.instances[0].from_port == 32768 && aws_vpc_security_group_ingress_rule.instances[0].to_port == 65535 && length(aws_security_group.tasks) == 0
    error_message = "In bridge mode the load balancer reaches the instances' dynamic ports."
  }

  assert {
    condition     = local.breaker_failures == 3 && length(terraform_data.deployment_configuration) == 0 && aws_ecs_service.this.deployment_circuit_breaker[0].rollback
    error_message = "AWS's own threshold for two tasks is three; no AWS CLI is needed for it."
  }

  assert {
    condition     = aws_scheduler_schedule.batch.schedule_expression == "cron(0 2 * * ? *)" && aws_scheduler_schedule.batch.schedule_expression_timezone == "UTC"
    error_message = "The ingest runs at 02:00."
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 0 && length(aws_vpc_endpoint.interface) == 7
    error_message = "Endpoints instead of NAT."
  }
}

run "a_model_that_loads_for_a_minute" {
  command = plan
  variables { model_load_seconds = 60 }

  assert {
    condition     = aws_ecs_service.this.health_check_grace_period_seconds >= 60 + 2 * 15 + 10
    error_message = "A target that turned unhealthy after 45 s is healthy again two good checks after the load."
  }
}

run "no_spare_gpu" {
  command = plan
  variables { spare_gpus = 0 }

  assert {
    condition     = aws_ecs_service.this.deployment_minimum_healthy_percent == 50 && aws_ecs_service.this.deployment_maximum_percent == 100
    error_message = "Without a spare GPU one of two tasks makes room."
  }

  assert {
    condition     = aws_ecs_service.this.availability_zone_rebalancing == "DISABLED"
    error_message = "Rebalancing wants a spare GPU too."
  }

  assert {
    condition     = local.instances_for_rollout == 2 && local.start_seconds == 80
    error_message = "No instance is launched for a rollout."
  }
}

run "percentages_never_deadlock" {
  command = plan
  variables {
    desired_count = 7
    max_count     = 7
    spare_gpus    = 3
  }

  assert {
    condition     = local.most_tasks_during_rollout == 10 && local.least_tasks_in_rollout == 7
    error_message = "Three spare GPUs are three more tasks, after AWS has rounded."
  }
}

run "one_task_without_spare_gpu_stops_first" {
  command = plan
  variables {
    desired_count = 1
    spare_gpus    = 0
  }

  assert {
    condition     = local.minimum_healthy_percent == 0 && local.maximum_percent == 100
    error_message = "A single task makes room for its successor."
  }
}

run "a_model_that_loads_for_half_an_hour" {
  command = plan
  variables { model_load_seconds = 1800 }

  assert {
    condition     = local.container_start_period == 300 && local.container_check_interval <= 300 && local.container_check_retries <= 10 && local.container_start_period + (local.container_check_retries - 1) * local.container_check_interval >= 2700
    error_message = "Within ECS's limits, and longer than one and a half load times."
  }

  assert {
    condition     = local.deploy_timeout_seconds == 19800 && local.session_seconds == 21600
    error_message = "GitHub's hosted jobs end after six hours."
  }
}

run "the_longest_load_that_health_checks_express" {
  command = plan
  variables { model_load_seconds = 1990 }

  assert {
    condition     = local.container_start_period + (local.container_check_retries - 1) * local.container_check_interval >= 1.5 * 1990 + local.container_check_timeout
    error_message = "The limit of the variable is the limit of the check."
  }
}

run "spare_kept_warm" {
  command = plan
  variables { keep_spare_warm = true }

  assert {
    condition     = local.target_capacity == 67
    error_message = "Two of three instances in use are 67 % rounded up: 66 % would launch a fourth."
  }
}

run "four_gpus_on_an_instance" {
  command = plan
  variables {
    instance_type = "g5.12xlarge"
    desired_count = 6
    max_count     = 8
    spare_gpus    = 2
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

run "both_forms_of_the_subject" {
  command = plan
  variables {
    github_owner_id      = 11
    github_repository_id = 22
  }

  assert {
    condition     = local.deploy_subjects == ["repo:octo-org/octo-repo:ref:refs/heads/main", "repo:octo-org@11/octo-repo@22:ref:refs/heads/main"]
    error_message = "The classic and the immutable form, exactly."
  }
}

run "environment_and_reusable_workflow" {
  command = plan
  variables {
    github_environment       = "prod:eu"
    github_reusable_workflow = "octo-org/shared/.github/workflows/deploy.yml@refs/heads/main"
  }

  assert {
    condition     = local.deploy_subjects == ["repo:octo-org/octo-repo:environment:prod%3Aeu:job_workflow_ref:octo-org/shared/.github/workflows/deploy.yml@refs/heads/main"]
    error_message = "The environment instead of the branch, the workflow behind it."
  }
}

run "an_existing_identity_provider" {
  command = plan
  variables { create_oidc_provider = false }

  assert {
    condition     = length(aws_iam_openid_connect_provider.github) == 0
    error_message = "An account has one provider for GitHub."
  }
}

run "an_existing_vpc" {
  command = plan
  variables {
    vpc_id             = "vpc-1"
    public_subnet_ids  = ["subnet-1", "subnet-2"]
    private_subnet_ids = ["subnet-3"]
  }

  assert {
    condition     = length(aws_vpc.this) == 0 && length(aws_vpc_endpoint.interface) == 0 && aws_autoscaling_group.gpu[0].vpc_zone_identifier == toset(["subnet-3"])
    error_message = "Nothing of the network is created."
  }
}

run "awsvpc" {
  command = plan
  variables { network_mode = "awsvpc" }

  assert {
    condition     = aws_lb_target_group.service["blue"].target_type == "ip" && length(aws_ecs_service.this.network_configuration) == 1 && aws_vpc_security_group_ingress_rule.tasks[0].from_port == 8000 && length(aws_vpc_security_group_ingress_rule.instances) == 0
    error_message = "Tasks have addresses of their own, and only their port is open."
  }
}

run "a_key_of_ones_own" {
  command = plan
  variables { kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555" }

  assert {
    condition = alltrue([
      for statements in values(local.use_key_through) : one(statements).Resource == var.kms_key_arn
    ]) && contains(one(local.use_key_through.s3).Action, "kms:GenerateDataKey") && contains(one(local.use_key_through.secretsmanager).Action, "kms:Decrypt")
    error_message = "The tasks read and write through S3 with the key, ECS reads the secret, the schedule fills the queue."
  }

  assert {
    condition     = aws_ecr_repository.service.encryption_configuration[0].encryption_type == "KMS" && aws_cloudwatch_log_group.service.kms_key_id == var.kms_key_arn && aws_secretsmanager_secret.openai.kms_key_id == var.kms_key_arn
    error_message = "Images, logs and the secret are encrypted with it."
  }
}

run "managed_instances" {
  command = plan
  variables {
    capacity     = "managed-instances"
    network_mode = "awsvpc"
  }

  assert {
    condition     = length(aws_cloudcontrolapi_resource.managed_instances) == 1 && length(aws_autoscaling_group.gpu) == 0 && length(aws_iam_role_policy.infrastructure) == 1
    error_message = "ECS launches the instances itself, and may give them our role."
  }
}

run "spot_and_warm_pool" {
  command = plan
  variables { spot = true }

  assert {
    condition     = aws_autoscaling_group.gpu[0].mixed_instances_policy[0].instances_distribution[0].on_demand_percentage_above_base_capacity == 0
    error_message = "Spot only."
  }
}

run "warm_pool" {
  command = plan
  variables { warm_pool_size = 1 }

  assert {
    condition     = aws_autoscaling_group.gpu[0].warm_pool[0].pool_state == "Stopped"
    error_message = "A stopped instance costs its volume only."
  }
}

run "blue_green" {
  command = plan
  variables {
    deployment_strategy = "BLUE_GREEN"
    spare_gpus          = 2
  }

  assert {
    condition     = length(aws_lb_target_group.service) == 2 && length(aws_lb_listener_rule.production) == 1 && length(terraform_data.deployment_configuration) == 1
    error_message = "Two target groups, a rule whose weights move, and the strategy."
  }

  assert {
    condition     = local.in_flight_expression == "FILL(requests_blue, 0) / 60 * FILL(seconds_blue, 0) + FILL(requests_green, 0) / 60 * FILL(seconds_green, 0)" && tolist(keys(aws_cloudwatch_metric_alarm.server_errors.dimensions)) == tolist(["LoadBalancer"])
    error_message = "Autoscaling and the alarm see both target groups: either may be the one that serves."
  }
}

run "no_alarm" {
  command = plan
  variables { roll_back_on_alarm = false }

  assert {
    condition     = !one(aws_ecs_service.this.alarms).enable && !one(aws_ecs_service.this.alarms).rollback
    error_message = "No alarm watches deployments."
  }
}

run "breaker_threshold" {
  command = plan
  variables { breaker_failures = 1 }

  assert {
    condition     = length(terraform_data.deployment_configuration) == 1 && local.breaker_failures == 1
    error_message = "The threshold is set beside the provider."
  }
}

run "roles_hold_no_more_than_their_commands_need" {
  command = plan

  assert {
    condition     = alltrue([for role, policies in local.permissions_of : !contains(policies, "push") || role == "deploy"]) && local.permissions_of.plan == ["read", "plan"]
    error_message = "Only deploy pushes; plan only reads."
  }
}

run "closed_until_somebody_is_let_in" {
  command = plan

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.load_balancer) == 0 && length(aws_wafv2_web_acl.this) == 0
    error_message = "Nobody reaches the load balancer by default."
  }

  assert {
    condition     = contains(local.container.environment, { name = "AUTH", value = "keys" }) && length(aws_secretsmanager_secret.api_keys) == 1
    error_message = "And the service wants a key."
  }
}

run "let_in_by_network_and_people_told" {
  command = plan
  variables {
    alert_emails                 = ["team@example.com"]
    ingress_cidrs                = ["203.0.113.0/24"]
    service_auth                 = "off"
    firewall_requests_per_minute = 300
  }

  assert {
    condition     = keys(aws_vpc_security_group_ingress_rule.load_balancer) == ["203.0.113.0/24:443", "203.0.113.0/24:80"]
    error_message = "The network that was named, and no other."
  }

  assert {
    condition     = aws_sns_topic_subscription.email["team@example.com"].protocol == "email" && keys(aws_cloudwatch_event_target.told) == ["deployment-failed", "ingest-failed", "ingest-stopped"]
    error_message = "Who gave an address is told of ingests and deployments that fail."
  }

  assert {
    condition     = length(aws_wafv2_web_acl_association.this) == 1 && length(aws_secretsmanager_secret.api_keys) == 0 && length(local.container.secrets) == 1
    error_message = "The firewall is at the load balancer; no secret that nobody reads."
  }
}

run "let_in_by_login" {
  command = plan
  variables {
    login = {
      issuer                 = "https://id.example.com"
      authorization_endpoint = "https://id.example.com/authorize"
      token_endpoint         = "https://id.example.com/token"
      user_info_endpoint     = "https://id.example.com/userinfo"
      client_id              = "rag"
      client_secret          = "secret"
    }
    service_auth = "oidc"
    service_oidc = { issuer = "https://id.example.com", audience = "rag" }
  }

  assert {
    condition     = [for action in aws_lb_listener.https[0].default_action : action.type] == ["authenticate-oidc", "forward"] && keys(aws_vpc_security_group_ingress_rule.load_balancer) == ["0.0.0.0/0:443", "0.0.0.0/0:80"] && length(aws_vpc_security_group_egress_rule.login) == 1
    error_message = "Everybody may come, and signs in first."
  }

  assert {
    condition     = contains(local.container.environment, { name = "OIDC_AUDIENCE", value = "rag" })
    error_message = "The service knows whose tokens it takes."
  }
}
