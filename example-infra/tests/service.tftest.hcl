mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name                        = "ki-rag-api"
  cluster_arn                 = "arn:aws:ecs:eu-central-1:123456789012:cluster/ki-cluster"
  capacity_provider           = "ki-cluster-gpu"
  vpc_id                      = "vpc-1"
  public_subnet_ids           = ["subnet-1", "subnet-2"]
  instances_security_group_id = "sg-1"
  image                       = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/ki-rag-api:live-first"
  execution_role_arn          = "arn:aws:iam::123456789012:role/ki-rag-api-execution"
  task_role_arn               = "arn:aws:iam::123456789012:role/ki-rag-api-task"
  alerts_topic_arn            = "arn:aws:sns:eu-central-1:123456789012:ki-rag-api-alerts"
  certificate_arn             = "arn:aws:acm:eu-central-1:123456789012:certificate/11111111-2222-3333-4444-555555555555"
}

run "two_tasks_and_one_spare_gpu" {
  command = plan

  module {
    source = "./modules/service"
  }

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
    condition     = [for entry in local.container.environment : entry.value if entry.name == "PORT"] == ["8000"] && local.container.portMappings[0].containerPort == 8000
    error_message = "The service listens where the load balancer asks."
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
    condition     = local.rollout_seconds == 2 * (380 + 220 + 120 + 120) && local.deploy_timeout_seconds == 5040 && local.session_seconds == 7200
    error_message = "Two waves of launch and pull, grace period, drain and stop; three times that; in whole hours."
  }

  assert {
    condition     = aws_lb_listener.http.default_action[0].type == "redirect" && length(aws_lb_listener.https) == 1
    error_message = "With a certificate, HTTP redirects."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.instances[0].from_port == 32768 && aws_vpc_security_group_ingress_rule.instances[0].to_port == 65535 && length(aws_security_group.tasks) == 0
    error_message = "In bridge mode the load balancer reaches the instances' dynamic ports."
  }

  assert {
    condition     = local.breaker_failures == 3 && length(terraform_data.deployment_configuration) == 0 && aws_ecs_service.this.deployment_circuit_breaker[0].rollback
    error_message = "AWS's own threshold for two tasks is three; no AWS CLI is needed for it."
  }
}

run "a_model_that_loads_for_a_minute" {
  command = plan

  module {
    source = "./modules/service"
  }

  variables { model_load_seconds = 60 }

  assert {
    condition     = aws_ecs_service.this.health_check_grace_period_seconds >= 60 + 2 * 15 + 10
    error_message = "A target that turned unhealthy after 45 s is healthy again two good checks after the load."
  }
}

run "percentages_never_deadlock" {
  command = plan

  module {
    source = "./modules/service"
  }

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

  module {
    source = "./modules/service"
  }

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

  module {
    source = "./modules/service"
  }

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

  module {
    source = "./modules/service"
  }

  variables { model_load_seconds = 1990 }

  assert {
    condition     = local.container_start_period + (local.container_check_retries - 1) * local.container_check_interval >= 1.5 * 1990 + local.container_check_timeout
    error_message = "The limit of the variable is the limit of the check."
  }
}

run "awsvpc" {
  command = plan

  module {
    source = "./modules/service"
  }

  variables { network_mode = "awsvpc" }

  assert {
    condition     = aws_lb_target_group.service["blue"].target_type == "ip" && length(aws_ecs_service.this.network_configuration) == 1 && aws_vpc_security_group_ingress_rule.tasks[0].from_port == 8000 && length(aws_vpc_security_group_ingress_rule.instances) == 0
    error_message = "Tasks have addresses of their own, and only their port is open."
  }
}

run "scaled_on_requests_in_flight" {
  command = plan

  module {
    source = "./modules/service"
  }

  assert {
    condition = one(aws_appautoscaling_policy.in_flight.target_tracking_scaling_policy_configuration[0].customized_metric_specification).metric_name == "rag_requests_in_flight" && {
      for one in one(aws_appautoscaling_policy.in_flight.target_tracking_scaling_policy_configuration[0].customized_metric_specification).dimensions : one.name => one.value
    } == { ClusterName = "ki-cluster", ServiceName = "ki-rag-api" }
    error_message = "The service's own count, streamed answers included, of this service alone."
  }

  assert {
    condition     = one(aws_appautoscaling_policy.in_flight.target_tracking_scaling_policy_configuration[0].customized_metric_specification).statistic == "Average" && aws_appautoscaling_policy.in_flight.target_tracking_scaling_policy_configuration[0].target_value == 4
    error_message = "The average over the tasks is what one of them has, and that is what is aimed at."
  }

  assert {
    condition     = local.most_tasks == 6
    error_message = "A rollout at max_count, 4, with 150 % runs 6."
  }
}

run "no_rollout_beside_the_tasks" {
  command = plan

  module {
    source = "./modules/service"
  }

  variables {
    spare_gpus = 0
    max_count  = 5
  }

  assert {
    condition     = local.most_tasks == 5
    error_message = "Without a spare GPU a rollout takes none."
  }
}

run "blue_green" {
  command = plan

  module {
    source = "./modules/service"
  }

  variables {
    deployment_strategy = "BLUE_GREEN"
    spare_gpus          = 2
  }

  assert {
    condition     = length(aws_lb_target_group.service) == 2 && length(aws_lb_listener_rule.production) == 1 && length(terraform_data.deployment_configuration) == 1 && local.most_tasks == 2 * var.max_count
    error_message = "Two target groups, a rule whose weights move, the strategy, and room for both versions in full."
  }

  assert {
    condition     = tolist(keys(aws_cloudwatch_metric_alarm.server_errors.dimensions)) == tolist(["LoadBalancer"])
    error_message = "The alarm sees both target groups: either may be the one that serves."
  }
}

run "no_alarm" {
  command = plan

  module {
    source = "./modules/service"
  }

  variables { roll_back_on_alarm = false }

  assert {
    condition     = !one(aws_ecs_service.this.alarms).enable && !one(aws_ecs_service.this.alarms).rollback
    error_message = "No alarm watches deployments."
  }
}

run "breaker_threshold" {
  command = plan

  module {
    source = "./modules/service"
  }

  variables { breaker_failures = 1 }

  assert {
    condition     = length(terraform_data.deployment_configuration) == 1 && local.breaker_failures == 1
    error_message = "The threshold is set beside the provider."
  }
}

run "no_spare_gpu" {
  command = plan

  module {
    source = "./modules/service"
  }

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
    condition     = local.start_seconds == 80
    error_message = "No instance is launched for a rollout."
  }
}

run "closed_until_somebody_is_let_in" {
  command = plan

  module {
    source = "./modules/service"
  }

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.load_balancer) == 0 && length(aws_wafv2_web_acl.this) == 0
    error_message = "Nobody reaches the load balancer by default."
  }
}

run "let_in_by_network" {
  command = plan

  module {
    source = "./modules/service"
  }

  variables {
    ingress_cidrs                = ["203.0.113.0/24"]
    firewall_requests_per_minute = 300
  }

  assert {
    condition     = keys(aws_vpc_security_group_ingress_rule.load_balancer) == ["203.0.113.0/24:443", "203.0.113.0/24:80"]
    error_message = "The network that was named, and no other."
  }

  assert {
    condition     = length(aws_wafv2_web_acl_association.this) == 1
    error_message = "The firewall is at the load balancer."
  }
}

run "let_in_by_login" {
  command = plan

  module {
    source = "./modules/service"
  }

  variables {
    login = {
      issuer                 = "https://id.example.com"
      authorization_endpoint = "https://id.example.com/authorize"
      token_endpoint         = "https://id.example.com/token"
      user_info_endpoint     = "https://id.example.com/userinfo"
      client_id              = "rag"
      client_secret          = "secret"
    }
  }

  assert {
    condition     = [for action in aws_lb_listener.https[0].default_action : action.type] == ["authenticate-oidc", "forward"] && keys(aws_vpc_security_group_ingress_rule.load_balancer) == ["0.0.0.0/0:443", "0.0.0.0/0:80"] && length(aws_vpc_security_group_egress_rule.login) == 1
    error_message = "Everybody may come, and signs in first."
  }
}

run "load_time_over_what_health_checks_express" {
  command = plan

  module {
    source = "./modules/service"
  }

  expect_failures = [var.model_load_seconds]
  variables { model_load_seconds = 1991 }
}

run "desired_count_of_zero" {
  command = plan

  module {
    source = "./modules/service"
  }

  expect_failures = [var.desired_count]
  variables { desired_count = 0 }
}

run "fewer_than_desired" {
  command = plan

  module {
    source = "./modules/service"
  }

  expect_failures = [var.max_count]
  variables { max_count = 1 }
}

run "percentages_that_deadlock" {
  command = plan

  module {
    source = "./modules/service"
  }

  expect_failures = [var.minimum_healthy_percent]
  variables {
    minimum_healthy_percent = 100
    maximum_percent         = 149
    spare_gpus              = 0
  }
}

run "three_quarters_of_two_is_two" {
  command = plan

  module {
    source = "./modules/service"
  }

  expect_failures = [var.minimum_healthy_percent]
  variables {
    minimum_healthy_percent = 75
    maximum_percent         = 125
  }
}

run "more_new_tasks_than_spare_gpus" {
  command = plan

  module {
    source = "./modules/service"
  }

  expect_failures = [var.minimum_healthy_percent]
  variables { maximum_percent = 200 }
}

run "percent_beyond_what_ecs_takes" {
  command = plan

  module {
    source = "./modules/service"
  }

  expect_failures = [var.maximum_percent]
  variables { maximum_percent = 250 }
}

run "no_gpu" {
  command = plan

  module {
    source = "./modules/service"
  }

  expect_failures = [var.gpus_per_task]
  variables { gpus_per_task = 0 }
}

run "missing_certificate" {
  command = plan

  module {
    source = "./modules/service"
  }

  expect_failures = [var.certificate_arn]
  variables { certificate_arn = null }
}

run "no_certificate_at_all" {
  command = plan

  module {
    source = "./modules/service"
  }

  expect_failures = [var.certificate_arn]
  variables { certificate_arn = "ki.example.com" }
}

run "a_certificate_of_another_region" {
  command = plan

  module {
    source = "./modules/service"
  }

  expect_failures = [var.certificate_arn]
  variables { certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/1" }
}

run "a_network_that_is_an_address_in_it" {
  command = plan

  module {
    source = "./modules/service"
  }

  expect_failures = [var.ingress_cidrs]
  variables { ingress_cidrs = ["10.0.0.1/8"] }
}

run "blue_green_without_room" {
  command = plan

  module {
    source = "./modules/service"
  }

  expect_failures = [var.deployment_strategy]
  variables { deployment_strategy = "BLUE_GREEN" }
}

run "bridge_on_managed_instances" {
  command = plan

  module {
    source = "./modules/service"
  }

  expect_failures = [var.network_mode]
  variables { managed_instances = true }
}

run "a_certificate_and_plain_http" {
  command = plan

  module {
    source = "./modules/service"
  }

  expect_failures = [var.certificate_arn]
  variables { http_only = true }
}

run "a_login_over_plain_http_and_in_a_moving_rule" {
  command = plan

  module {
    source = "./modules/service"
  }

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

# Each of these fails, and nothing else does.
run "numbers_that_aws_does_not_take" {
  command = plan

  module {
    source = "./modules/service"
  }

  expect_failures = [
    var.slow_start_seconds, var.health_check_interval_seconds, var.request_timeout_seconds, var.bake_time_minutes,
    var.breaker_failures, var.container_port, var.log_retention_days, var.in_flight_per_task, var.image_gb,
    var.spare_gpus, var.firewall_requests_per_minute,
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
    spare_gpus                    = 0.5
    firewall_requests_per_minute  = 9
  }
}

run "words_that_nobody_knows" {
  command = plan

  module {
    source = "./modules/service"
  }

  expect_failures = [var.name, var.ingress_cidrs]
  variables {
    name          = "KI"
    ingress_cidrs = ["the office"]
  }
}

run "what_aws_would_refuse_at_apply" {
  command = plan

  module {
    source = "./modules/service"
  }

  expect_failures = [var.task_cpu, var.task_memory, var.server_error_alarm_count, var.kms_key_arn]
  variables {
    kms_key_arn              = "alias/ours"
    task_cpu                 = 0
    task_memory              = 0
    server_error_alarm_count = 0
  }
}
