# Ingest: once a night, and whenever a document is put into the bucket. Both run the newest revision of the batch
# family, with roles of their own; what could not be started lands in a queue.

resource "aws_s3_bucket" "documents" {
  # checkov:skip=CKV_AWS_18: access logs of a bucket that only the two tasks read
  # checkov:skip=CKV_AWS_144: documents are copies of what their owners keep
  # checkov:skip=CKV_AWS_145: encrypted with AES256; kms_key_arn chooses a key of one's own
  bucket        = "${var.name}-documents-${local.account}"
  force_destroy = !var.deletion_protection
}

resource "aws_s3_bucket_public_access_block" "documents" {
  bucket                  = aws_s3_bucket.documents.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "documents" {
  bucket = aws_s3_bucket.documents.id

  rule {
    bucket_key_enabled = var.kms_key_arn != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_versioning" "documents" {
  bucket = aws_s3_bucket.documents.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "documents" {
  bucket = aws_s3_bucket.documents.id

  rule {
    id     = "old-versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = 30
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  depends_on = [aws_s3_bucket_versioning.documents]
}

resource "aws_s3_bucket_notification" "documents" {
  bucket      = aws_s3_bucket.documents.id
  eventbridge = true
}

resource "aws_ecs_task_definition" "batch" {
  family                   = local.batch_name
  requires_compatibilities = local.managed_instances ? null : ["EC2"]
  network_mode             = var.network_mode
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.batch_task.arn
  skip_destroy             = true
  track_latest             = true

  container_definitions = jsonencode([merge(
    { for key, value in local.container : key => value if !contains(["healthCheck", "portMappings", "logConfiguration", "name"], key) },
    {
      name         = local.batch_name
      command      = concat(var.batch_command, ["s3://${aws_s3_bucket.documents.bucket}/documents"])
      portMappings = []
      environment  = local.container_environment
      secrets      = []
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          "awslogs-group"         = aws_cloudwatch_log_group.batch.name
          "awslogs-region"        = var.region
          "awslogs-stream-prefix" = "ecs"
        }
      }
    },
  )])

  # The schedule runs the family's newest revision, and the workflow registers one with each good image. Terraform
  # follows it: a revision that it has to make itself, for another role say, keeps that image. The action's tags say
  # where a revision comes from.
  lifecycle {
    ignore_changes = [container_definitions, tags, tags_all]
  }
}

resource "aws_sqs_queue" "batch_failures" {
  name                              = "${local.batch_name}-failures"
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
      Resource  = [aws_iam_role.execution.arn, aws_iam_role.batch_task.arn]
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
  keep_failures = concat(local.use_key_through.sqs, [{
    Sid      = "KeepFailures"
    Effect   = "Allow"
    Action   = ["sqs:SendMessage"]
    Resource = aws_sqs_queue.batch_failures.arn
  }])
}

resource "aws_iam_role" "trigger" {
  for_each = local.triggers
  name     = "${local.batch_name}-${each.key}"
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
  name                         = local.batch_name
  schedule_expression          = var.batch_schedule
  schedule_expression_timezone = var.batch_schedule_timezone

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_ecs_cluster.this.arn
    role_arn = aws_iam_role.trigger["schedule"].arn

    ecs_parameters {
      task_definition_arn     = aws_ecs_task_definition.batch.arn_without_revision
      task_count              = 1
      enable_ecs_managed_tags = true

      capacity_provider_strategy {
        capacity_provider = local.capacity_provider
        weight            = 1
      }

      dynamic "network_configuration" {
        for_each = local.awsvpc ? ["awsvpc"] : []

        content {
          subnets         = local.private_subnet_ids
          security_groups = [aws_security_group.tasks[0].id]
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

  depends_on = [aws_iam_role_policy.trigger, aws_ecs_service.this]
}

resource "aws_cloudwatch_event_rule" "document" {
  name        = "${local.batch_name}-document"
  description = "A document was put into the bucket"
  event_pattern = jsonencode({
    source        = ["aws.s3"]
    "detail-type" = ["Object Created"]
    detail = {
      bucket = { name = [aws_s3_bucket.documents.bucket] }
      object = { key = [{ prefix = "documents/" }] }
    }
  })
}

resource "aws_cloudwatch_event_target" "document" {
  rule      = aws_cloudwatch_event_rule.document.name
  target_id = "ingest"
  arn       = aws_ecs_cluster.this.arn
  role_arn  = aws_iam_role.trigger["upload"].arn

  ecs_target {
    task_definition_arn     = aws_ecs_task_definition.batch.arn_without_revision
    task_count              = 1
    enable_ecs_managed_tags = true

    capacity_provider_strategy {
      capacity_provider = local.capacity_provider
      weight            = 1
    }

    dynamic "network_configuration" {
      for_each = local.awsvpc ? ["awsvpc"] : []

      content {
        subnets         = local.private_subnet_ids
        security_groups = [aws_security_group.tasks[0].id]
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
