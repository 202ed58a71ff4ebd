data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  arn     = "arn:${data.aws_partition.current.partition}"
  region  = data.aws_region.current.name
  cluster = split("/", var.cluster_arn)[1]

  # The service gives a request up before the load balancer does, and keeps idle connections longer than it. After
  # SIGTERM it answers what it has begun, and ends before ECS would kill it.
  service_environment = [
    # ECS sets NVIDIA_VISIBLE_DEVICES only; an image that is not built on CUDA's gets no driver libraries without it.
    { name = "NVIDIA_DRIVER_CAPABILITIES", value = "compute,utility" },
    { name = "PORT", value = tostring(var.container_port) },
    { name = "REQUEST_TIMEOUT_SECONDS", value = tostring(var.request_timeout_seconds) },
    { name = "DRAIN_SECONDS", value = "5" },
    { name = "STOP_TIMEOUT_SECONDS", value = tostring(local.container_stop_timeout - 10) },
  ]

  # Health check in Python: slim images have no curl. urlopen raises on 503.
  container_health_check = {
    command = [
      "CMD", "python", "-c",
      "import urllib.request as u; u.urlopen('http://127.0.0.1:${var.container_port}${local.health_check_path}', timeout=5)",
    ]
    interval    = local.container_check_interval
    timeout     = local.container_check_timeout
    retries     = local.container_check_retries
    startPeriod = local.container_start_period
  }

  container = {
    name                   = local.container_name
    image                  = var.image
    cpu                    = var.task_cpu
    memory                 = var.task_memory
    essential              = true
    portMappings           = [{ containerPort = var.container_port, hostPort = local.awsvpc ? var.container_port : 0, protocol = "tcp" }]
    environment            = concat(var.environment, local.service_environment)
    secrets                = var.secrets
    resourceRequirements   = [{ type = "GPU", value = tostring(var.gpus_per_task) }]
    healthCheck            = local.container_health_check
    stopTimeout            = local.container_stop_timeout
    versionConsistency     = "enabled"
    readonlyRootFilesystem = true
    user                   = "10001:10001"
    linuxParameters = {
      initProcessEnabled = true
      sharedMemorySize   = 1024
      tmpfs              = [{ containerPath = "/tmp", size = 512, mountOptions = ["mode=1777"] }]
    }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = aws_cloudwatch_log_group.service.name
        "awslogs-region"        = local.region
        "awslogs-stream-prefix" = "ecs"
      }
    }
    mountPoints    = []
    systemControls = []
    volumesFrom    = []
  }
}

# The first revision, and each one after a change here. The action starts from the family's newest revision and puts
# the image of the commit in; Terraform never deregisters one, as it may run still or be what a rollback goes back to.
resource "aws_ecs_task_definition" "service" {
  family                   = var.name
  requires_compatibilities = var.managed_instances ? null : ["EC2"]
  network_mode             = var.network_mode
  execution_role_arn       = var.execution_role_arn
  task_role_arn            = var.task_role_arn
  container_definitions    = jsonencode([local.container])
  skip_destroy             = true
}

resource "aws_ecs_service" "this" {
  name                               = var.name
  cluster                            = var.cluster_arn
  task_definition                    = aws_ecs_task_definition.service.arn
  desired_count                      = var.desired_count
  deployment_minimum_healthy_percent = local.minimum_healthy_percent
  deployment_maximum_percent         = local.maximum_percent
  health_check_grace_period_seconds  = local.grace_period_seconds
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"

  # Rebalancing starts a task before it stops one: it wants a spare GPU too.
  availability_zone_rebalancing = local.spare_tasks > 0 && !local.blue_green ? "ENABLED" : "DISABLED"

  capacity_provider_strategy {
    capacity_provider = var.capacity_provider
    weight            = 1
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  alarms {
    alarm_names = [aws_cloudwatch_metric_alarm.server_errors.alarm_name]
    enable      = var.roll_back_on_alarm
    rollback    = var.roll_back_on_alarm
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.service["blue"].arn
    container_name   = local.container_name
    container_port   = var.container_port
  }

  # Spread before binpack, as the keys sort. Managed Instances are spread over the zones by ECS itself.
  dynamic "ordered_placement_strategy" {
    for_each = var.managed_instances ? {} : { "attribute:ecs.availability-zone" = "spread", "memory" = "binpack" }

    content {
      type  = ordered_placement_strategy.value
      field = ordered_placement_strategy.key
    }
  }

  dynamic "network_configuration" {
    for_each = local.awsvpc ? ["awsvpc"] : []

    content {
      subnets         = var.subnet_ids
      security_groups = [aws_security_group.tasks[0].id]
    }
  }

  # The action owns the revision, autoscaling the count. Without this the next apply undoes both.
  lifecycle {
    ignore_changes = [task_definition, desired_count]
  }

  depends_on = [
    aws_lb_listener.http,
    aws_lb_listener.https,
    aws_lb_listener_rule.production,
  ]
}
