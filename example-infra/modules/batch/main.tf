# The task and its log. By hand, or from a workflow, it runs once (`run-task`); for uploads and the schedule a service
# runs it behind a queue: queue.tf.

data "aws_partition" "current" {}

data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

locals {
  account = data.aws_caller_identity.current.account_id
  region  = data.aws_region.current.name
  cluster = split("/", var.cluster_arn)[1]
  awsvpc  = var.network_mode == "awsvpc"

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

locals {
  container = merge(var.container, {
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
  })
}

resource "aws_ecs_task_definition" "batch" {
  family                   = var.name
  requires_compatibilities = var.requires_compatibilities
  network_mode             = var.network_mode
  execution_role_arn       = var.execution_role_arn
  task_role_arn            = var.task_role_arn
  skip_destroy             = true
  track_latest             = true

  container_definitions = jsonencode([merge(local.container, { name = var.name, command = var.command, image = local.image })])

  # How image.tf finds the family.
  tags = { TaskFamily = var.name }

  # The family's newest revision runs, and the workflow registers one with each good image: Terraform follows it. The
  # action's tags say where a revision comes from.
  lifecycle {
    ignore_changes = [tags, tags_all]
  }
}
