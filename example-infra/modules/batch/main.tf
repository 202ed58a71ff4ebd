# Ingest: once a night, and whenever a document is put into the bucket. Both run the newest revision of the batch
# family, with roles of their own; what could not be started lands in a queue.

data "aws_partition" "current" {}

data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

locals {
  account      = data.aws_caller_identity.current.account_id
  region       = data.aws_region.current.name
  cluster      = split("/", var.cluster_arn)[1]
  task_arns    = "arn:${data.aws_partition.current.partition}:ecs:${local.region}:${local.account}:task/${local.cluster}/*"
  this_cluster = { ArnEquals = { "ecs:cluster" = var.cluster_arn } }
  awsvpc       = var.network_mode == "awsvpc"

  # A key of one's own: who writes to the queue needs it.
  use_key = var.kms_key_arn == null ? [] : [{
    Sid       = "UseKey"
    Effect    = "Allow"
    Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource  = var.kms_key_arn
    Condition = { StringEquals = { "kms:ViaService" = "sqs.${local.region}.${data.aws_partition.current.dns_suffix}" } }
  }]
}

resource "aws_cloudwatch_log_group" "batch" {
  # checkov:skip=CKV_AWS_158: encrypted with AWS's key; kms_key_arn chooses a key of one's own
  # checkov:skip=CKV_AWS_338: container logs; log_retention_days can be a year or more
  name              = "/ecs/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_ecs_task_definition" "batch" {
  family                   = var.name
  requires_compatibilities = var.requires_compatibilities
  network_mode             = var.network_mode
  execution_role_arn       = var.execution_role_arn
  task_role_arn            = var.task_role_arn
  skip_destroy             = true
  track_latest             = true

  container_definitions = jsonencode([merge(var.container, {
    name    = var.name
    command = var.command
    # ECS sets NVIDIA_VISIBLE_DEVICES only; an image that is not built on CUDA's gets no driver libraries without it.
    environment = concat([{ name = "NVIDIA_DRIVER_CAPABILITIES", value = "compute,utility" }], try(var.container.environment, []))
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = aws_cloudwatch_log_group.batch.name
        "awslogs-region"        = local.region
        "awslogs-stream-prefix" = "ecs"
      }
    }
  })])

  # The schedule runs the family's newest revision, and the workflow registers one with each good image. Terraform
  # follows it: a revision that it has to make itself, for another role say, keeps that image. The action's tags say
  # where a revision comes from.
  lifecycle {
    ignore_changes = [container_definitions, tags, tags_all]
  }
}

resource "aws_sqs_queue" "batch_failures" {
  name                              = "${var.name}-failures"
  message_retention_seconds         = 1209600
  sqs_managed_sse_enabled           = var.kms_key_arn == null ? true : null
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = 300
}

resource "aws_sqs_queue_policy" "batch_failures" {
  queue_url = aws_sqs_queue.batch_failures.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "RuleToQueue"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = aws_sqs_queue.batch_failures.arn
      Condition = { ArnEquals = { "aws:SourceArn" = aws_cloudwatch_event_rule.document.arn } }
    }]
  })
}

locals {
  # One role each for the schedule and the rule: who may assume it differs, what it may do is the same but the queue.
  triggers = { schedule = "scheduler.amazonaws.com", upload = "events.amazonaws.com" }

  run_batch = [
    {
      Sid       = "RunBatchTask"
      Effect    = "Allow"
      Action    = ["ecs:RunTask"]
      Resource  = [aws_ecs_task_definition.batch.arn_without_revision, "${aws_ecs_task_definition.batch.arn_without_revision}:*"]
      Condition = local.this_cluster
    },
    {
      Sid       = "PassTaskRoles"
      Effect    = "Allow"
      Action    = ["iam:PassRole"]
      Resource  = [var.execution_role_arn, var.task_role_arn]
      Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
    },
    {
      Sid       = "TagTask"
      Effect    = "Allow"
      Action    = ["ecs:TagResource"]
      Resource  = local.task_arns
      Condition = { StringEquals = { "ecs:CreateAction" = "RunTask" } }
    },
  ]
}

locals {
  # The schedule fills the queue with its role, the rule as EventBridge itself (the queue's policy).
  keep_failures = concat(local.use_key, [{
    Sid      = "KeepFailures"
    Effect   = "Allow"
    Action   = ["sqs:SendMessage"]
    Resource = aws_sqs_queue.batch_failures.arn
  }])
}

resource "aws_iam_role" "trigger" {
  for_each = local.triggers
  name     = "${var.name}-${each.key}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = each.value }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy" "trigger" {
  for_each = local.triggers
  name     = "run-batch"
  role     = aws_iam_role.trigger[each.key].id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat(local.run_batch, [for statement in local.keep_failures : statement if each.key == "schedule"])
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
    arn      = var.cluster_arn
    role_arn = aws_iam_role.trigger["schedule"].arn

    ecs_parameters {
      task_definition_arn     = aws_ecs_task_definition.batch.arn_without_revision
      task_count              = 1
      enable_ecs_managed_tags = true

      capacity_provider_strategy {
        capacity_provider = var.capacity_provider
        weight            = 1
      }

      dynamic "network_configuration" {
        for_each = local.awsvpc ? ["awsvpc"] : []

        content {
          subnets         = var.subnet_ids
          security_groups = var.security_group_ids
        }
      }
    }

    # A task that finds no GPU waits for the capacity provider; this is for RunTask itself, throttled or refused.
    retry_policy {
      maximum_event_age_in_seconds = 7200
      maximum_retry_attempts       = 20
    }

    dead_letter_config {
      arn = aws_sqs_queue.batch_failures.arn
    }
  }

  depends_on = [aws_iam_role_policy.trigger]
}

resource "aws_cloudwatch_event_rule" "document" {
  name        = "${var.name}-document"
  description = "A document was put into the bucket"
  event_pattern = jsonencode({
    source        = ["aws.s3"]
    "detail-type" = ["Object Created"]
    detail = {
      bucket = { name = [var.bucket] }
      object = { key = [{ prefix = var.prefix }] }
    }
  })
}

resource "aws_cloudwatch_event_target" "document" {
  rule      = aws_cloudwatch_event_rule.document.name
  target_id = "ingest"
  arn       = var.cluster_arn
  role_arn  = aws_iam_role.trigger["upload"].arn

  ecs_target {
    task_definition_arn     = aws_ecs_task_definition.batch.arn_without_revision
    task_count              = 1
    enable_ecs_managed_tags = true

    capacity_provider_strategy {
      capacity_provider = var.capacity_provider
      weight            = 1
    }

    dynamic "network_configuration" {
      for_each = local.awsvpc ? ["awsvpc"] : []

      content {
        subnets         = var.subnet_ids
        security_groups = var.security_group_ids
      }
    }
  }

  # No input: the task ingests the whole folder and embeds only what changed, so one run serves many uploads.
  retry_policy {
    maximum_event_age_in_seconds = 7200
    maximum_retry_attempts       = 20
  }

  dead_letter_config {
    arn = aws_sqs_queue.batch_failures.arn
  }
}
