# Uploads and the schedule send to one queue, and one task at a time empties it: a service that is scaled between 0 and
# 1 on what waits. However many messages there are, it ingests once for all of them; what it cannot do comes again, and
# in the end lies in the queue of failures.

locals {
  service  = "${var.name}-queue"
  attempts = 5
}

resource "aws_sqs_queue" "failures" {
  name                              = "${var.name}-failures"
  message_retention_seconds         = 1209600
  sqs_managed_sse_enabled           = var.kms_key_arn == null ? true : null
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = 300
}

# A message that is put aside keeps its age: the queue of failures holds it ten days longer than this one.
resource "aws_sqs_queue" "work" {
  name                              = local.service
  message_retention_seconds         = 345600
  visibility_timeout_seconds        = 300
  receive_wait_time_seconds         = 10
  sqs_managed_sse_enabled           = var.kms_key_arn == null ? true : null
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = 300

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.failures.arn
    maxReceiveCount     = local.attempts
  })
}

# The rule sends as EventBridge itself; the schedule with its role.
resource "aws_sqs_queue_policy" "rule" {
  for_each  = { work = aws_sqs_queue.work, failures = aws_sqs_queue.failures }
  queue_url = each.value.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "RuleToQueue"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = each.value.arn
      Condition = { ArnEquals = { "aws:SourceArn" = aws_cloudwatch_event_rule.document.arn } }
    }]
  })
}

resource "aws_cloudwatch_event_rule" "document" {
  name        = "${var.name}-document"
  description = "A document came, changed or went"
  event_pattern = jsonencode({
    source        = ["aws.s3"]
    "detail-type" = ["Object Created", "Object Deleted"]
    detail = {
      bucket = { name = [var.bucket] }
      object = { key = [{ prefix = var.prefix }] }
    }
  })
}

resource "aws_cloudwatch_event_target" "document" {
  rule      = aws_cloudwatch_event_rule.document.name
  target_id = "queue"
  arn       = aws_sqs_queue.work.arn

  retry_policy {
    maximum_event_age_in_seconds = 86400
    maximum_retry_attempts       = 185
  }

  dead_letter_config {
    arn = aws_sqs_queue.failures.arn
  }

  depends_on = [aws_sqs_queue_policy.rule]
}

resource "aws_iam_role" "schedule" {
  name = "${var.name}-schedule"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy" "schedule" {
  name = "send"
  role = aws_iam_role.schedule.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.use_key, [{
      Sid      = "Send"
      Effect   = "Allow"
      Action   = ["sqs:SendMessage"]
      Resource = [aws_sqs_queue.work.arn, aws_sqs_queue.failures.arn]
    }])
  })
}

resource "aws_scheduler_schedule" "batch" {
  # checkov:skip=CKV_AWS_297: encrypted with AWS's key; the schedule holds no secret
  name                         = var.name
  schedule_expression          = var.schedule
  schedule_expression_timezone = var.schedule_timezone

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_sqs_queue.work.arn
    role_arn = aws_iam_role.schedule.arn
    input    = jsonencode({ ingest = "schedule" })

    retry_policy {
      maximum_event_age_in_seconds = 7200
      maximum_retry_attempts       = 20
    }

    dead_letter_config {
      arn = aws_sqs_queue.failures.arn
    }
  }

  depends_on = [aws_iam_role_policy.schedule]
}

# The first revision; later ones are the deployer's.
resource "aws_ecs_task_definition" "queue" {
  family                   = local.service
  requires_compatibilities = var.requires_compatibilities
  network_mode             = var.network_mode
  execution_role_arn       = var.execution_role_arn
  task_role_arn            = var.task_role_arn
  skip_destroy             = true

  container_definitions = jsonencode([merge(local.container, {
    name        = var.name
    command     = concat(var.command, ["--queue", aws_sqs_queue.work.url])
    stopTimeout = 120
  })])
}

resource "aws_ecs_service" "queue" {
  name            = local.service
  cluster         = var.cluster_arn
  task_definition = aws_ecs_task_definition.queue.arn
  desired_count   = 0
  # Never two, in a deployment neither.
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100
  availability_zone_rebalancing      = "DISABLED"
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"

  capacity_provider_strategy {
    capacity_provider = var.capacity_provider
    weight            = 1
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  dynamic "network_configuration" {
    for_each = local.awsvpc ? ["awsvpc"] : []

    content {
      subnets         = var.subnet_ids
      security_groups = var.security_group_ids
    }
  }

  # The deployer owns the revision, autoscaling the count.
  lifecycle {
    ignore_changes = [task_definition, desired_count]
  }
}

# 0 to 1 and back

resource "aws_appautoscaling_target" "queue" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${local.cluster}/${aws_ecs_service.queue.name}"
  min_capacity       = 0
  max_capacity       = 1
}

locals {
  # Exactly so many tasks when the alarm rings.
  scaling = { start = 1, end = 0 }
}

resource "aws_appautoscaling_policy" "queue" {
  for_each           = local.scaling
  name               = "${local.service}-${each.key}"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.queue.service_namespace
  scalable_dimension = aws_appautoscaling_target.queue.scalable_dimension
  resource_id        = aws_appautoscaling_target.queue.resource_id

  step_scaling_policy_configuration {
    adjustment_type = "ExactCapacity"

    step_adjustment {
      scaling_adjustment          = each.value
      metric_interval_lower_bound = each.key == "start" ? 0 : null
      metric_interval_upper_bound = each.key == "end" ? 0 : null
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "waiting" {
  alarm_name          = "${local.service}-waiting"
  alarm_description   = "Something asks for an ingest: ${local.service} is started"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_appautoscaling_policy.queue["start"].arn]
  dimensions          = { QueueName = aws_sqs_queue.work.name }
}

# An ingest holds its messages until it has ended, so nothing is taken from under it; it protects its task besides.
resource "aws_cloudwatch_metric_alarm" "drained" {
  alarm_name          = "${local.service}-drained"
  alarm_description   = "Nothing has asked for an ingest for a while: ${local.service} is stopped"
  evaluation_periods  = var.idle_minutes
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_appautoscaling_policy.queue["end"].arn]

  metric_query {
    id          = "held_or_waiting"
    expression  = "FILL(waiting, 0) + FILL(held, 0)"
    label       = "Messages"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { waiting = "ApproximateNumberOfMessagesVisible", held = "ApproximateNumberOfMessagesNotVisible" }

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/SQS"
        metric_name = metric_query.value
        stat        = "Maximum"
        period      = 60
        dimensions  = { QueueName = aws_sqs_queue.work.name }
      }
    }
  }
}
