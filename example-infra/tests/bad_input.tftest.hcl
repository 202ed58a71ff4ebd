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

run "load_time_over_what_health_checks_express" {
  command         = plan
  expect_failures = [var.model_load_seconds]
  variables { model_load_seconds = 1991 }
}

run "desired_count_of_zero" {
  command         = plan
  expect_failures = [var.desired_count]
  variables { desired_count = 0 }
}

run "fewer_than_desired" {
  command         = plan
  expect_failures = [var.max_count]
  variables { max_count = 1 }
}

run "percentages_that_deadlock" {
  command         = plan
  expect_failures = [var.minimum_healthy_percent]
  variables {
    minimum_healthy_percent = 100
    maximum_percent         = 149
    spare_gpus              = 0
  }
}

run "three_quarters_of_two_is_two" {
  command         = plan
  expect_failures = [var.minimum_healthy_percent]
  variables {
    minimum_healthy_percent = 75
    maximum_percent         = 125
  }
}

run "more_new_tasks_than_spare_gpus" {
  command         = plan
  expect_failures = [var.minimum_healthy_percent]
  variables { maximum_percent = 200 }
}

run "percent_beyond_what_ecs_takes" {
  command         = plan
  expect_failures = [var.maximum_percent]
  variables { maximum_percent = 250 }
}

run "instance_without_gpu" {
  command         = plan
  expect_failures = [var.instance_type]
  variables { instance_type = "m5.large" }
}

run "instance_with_amd_gpu" {
  command         = plan
  expect_failures = [var.instance_type]
  variables { instance_type = "g4ad.xlarge" }
}

run "arm_instance" {
  command         = plan
  expect_failures = [var.instance_type]
  variables { instance_type = "g5g.xlarge" }
}

run "more_gpus_than_an_instance_has" {
  command         = plan
  expect_failures = [data.aws_ec2_instance_type.gpu]
  variables {
    gpus_per_task = 2
    spare_gpus    = 2
  }
}

run "no_gpu" {
  command         = plan
  expect_failures = [var.gpus_per_task]
  variables { gpus_per_task = 0 }
}

run "memory_that_does_not_fit" {
  command         = plan
  expect_failures = [data.aws_ec2_instance_type.gpu]
  variables { task_memory = 20000 }
}

run "any_branch" {
  command         = plan
  expect_failures = [var.github_branch]
  variables { github_branch = "*" }
}

run "branch_pattern" {
  command         = plan
  expect_failures = [var.github_branch]
  variables { github_branch = "release/*" }
}

run "any_environment" {
  command         = plan
  expect_failures = [var.github_environment]
  variables { github_environment = "prod*" }
}

run "any_repository" {
  command         = plan
  expect_failures = [var.github_repository]
  variables { github_repository = "octo-org/*" }
}

run "half_of_the_immutable_form" {
  command         = plan
  expect_failures = [var.github_owner_id]
  variables { github_owner_id = 11 }
}

run "missing_certificate" {
  command         = plan
  expect_failures = [var.certificate_arn]
  variables { certificate_arn = null }
}

run "no_certificate_at_all" {
  command         = plan
  expect_failures = [var.certificate_arn]
  variables { certificate_arn = "ki.example.com" }
}

run "overlapping_networks" {
  command         = plan
  expect_failures = [var.vpc_cidr]
  variables {
    vpc_cidr       = "10.42.0.0/20"
    reserved_cidrs = ["10.0.0.0/8"]
  }
}

run "overlap_the_other_way_round" {
  command         = plan
  expect_failures = [var.vpc_cidr]
  variables {
    vpc_cidr       = "10.42.0.0/16"
    reserved_cidrs = ["10.42.128.0/24"]
  }
}

run "no_network" {
  command         = plan
  expect_failures = [var.vpc_cidr]
  variables { vpc_cidr = "10.42.0.0" }
}

run "vpc_without_subnets" {
  command         = plan
  expect_failures = [var.public_subnet_ids, var.private_subnet_ids]
  variables { vpc_id = "vpc-1" }
}

run "warm_pool_of_spot_instances" {
  command         = plan
  expect_failures = [var.warm_pool_size]
  variables {
    spot           = true
    warm_pool_size = 1
  }
}

run "blue_green_without_room" {
  command         = plan
  expect_failures = [var.deployment_strategy]
  variables { deployment_strategy = "BLUE_GREEN" }
}

# Each of these fails, and nothing else does.
run "numbers_that_aws_does_not_take" {
  command = plan
  expect_failures = [
    var.slow_start_seconds, var.health_check_interval_seconds, var.request_timeout_seconds, var.bake_time_minutes,
    var.breaker_failures, var.container_port, var.log_retention_days, var.in_flight_per_task, var.image_gb,
    var.keep_images, var.keep_live_images, var.spare_gpus,
  ]
  variables {
    slow_start_seconds            = 10
    health_check_interval_seconds = 4
    request_timeout_seconds       = 3601
    bake_time_minutes             = 1441
    breaker_failures              = 0
    container_port                = 65536
    log_retention_days            = 31
    in_flight_per_task            = 0
    image_gb                      = 0
    keep_images                   = 0
    keep_live_images              = 10
    spare_gpus                    = 0.5
  }
}

run "words_that_nobody_knows" {
  command = plan
  expect_failures = [
    var.name, var.github_reusable_workflow, var.capacity, var.container_insights, var.image_tag_mutability,
    var.batch_schedule, var.reserved_cidrs, var.ingress_cidrs, var.alert_emails,
  ]
  variables {
    name                     = "KI"
    github_reusable_workflow = "octo-org/shared/.github/workflows/deploy.yml@*"
    capacity                 = "fargate"
    container_insights       = "on"
    image_tag_mutability     = "SOMETIMES"
    batch_schedule           = "0 2 * * *"
    reserved_cidrs           = ["the office"]
    ingress_cidrs            = ["the office"]
    alert_emails             = ["the team"]
  }
}

run "bridge_on_managed_instances" {
  command         = plan
  expect_failures = [var.network_mode]
  variables { capacity = "managed-instances" }
}

run "cluster_named_like_awss" {
  command         = plan
  expect_failures = [var.cluster_name]
  variables { cluster_name = "ecs-gpu" }
}

run "networks_side_by_side" {
  command = plan
  variables { reserved_cidrs = ["10.42.16.0/20", "10.43.0.0/16"] }
}

run "a_certificate_and_plain_http" {
  command         = plan
  expect_failures = [var.certificate_arn]
  variables { http_only = true }
}

run "the_whole_internet_and_nobody_asked" {
  command         = plan
  expect_failures = [var.ingress_cidrs]
  variables {
    ingress_cidrs = ["203.0.113.0/24", "0.0.0.0/0"]
    service_auth  = "off"
  }
}

run "tokens_of_nobody" {
  command         = plan
  expect_failures = [var.service_auth]
  variables { service_auth = "oidc" }
}

run "a_login_over_plain_http_and_in_a_moving_rule" {
  command         = plan
  expect_failures = [var.login]
  variables {
    certificate_arn     = null
    http_only           = true
    deployment_strategy = "BLUE_GREEN"
    spare_gpus          = 2
    login = {
      issuer                 = "https://id.example.com"
      authorization_endpoint = "https://id.example.com/authorize"
      token_endpoint         = "https://id.example.com/token"
      user_info_endpoint     = "https://id.example.com/userinfo"
      client_id              = "rag"
      client_secret          = "secret"
    }
  }
}

run "rates_that_no_rule_has" {
  command         = plan
  expect_failures = [var.firewall_requests_per_minute, var.service_requests_per_minute]
  variables {
    firewall_requests_per_minute = 9
    service_requests_per_minute  = 0.5
  }
}
