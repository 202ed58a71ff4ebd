# Roles of the tasks: execution (ECS itself: pull, secrets, logs), the service's own, and the batch task's own.

locals {
  # Only this account's ECS may use the roles (confused deputy: Amazon ECS Developer Guide, task IAM role).
  task_trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = "${local.arn}:ecs:${local.region}:${local.account}:*" }
      }
    }]
  })

  # Of the policy, not of the role: who starts a task with the role waits for what it may do.
  execution_role_arn = "${local.arn}:iam::${local.account}:role/${aws_iam_role_policy.execution.role}"

  # A key of one's own: whoever reads or writes through a service that encrypts with it needs the key as well.
  customer_key = var.kms_key_arn == null ? [] : [var.kms_key_arn]
  key_actions = {
    s3             = ["kms:Decrypt", "kms:GenerateDataKey"]
    secretsmanager = ["kms:Decrypt"]
    sqs            = ["kms:Decrypt"]
  }
  use_key_through = {
    for service, actions in local.key_actions : service => [for key in local.customer_key : {
      Sid       = "UseKey"
      Effect    = "Allow"
      Action    = actions
      Resource  = key
      Condition = { StringEquals = { "kms:ViaService" = "${service}.${local.region}.${local.dns}" } }
    }]
  }
}

resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  assume_role_policy = local.task_trust
}

resource "aws_iam_role_policy" "execution" {
  # checkov:skip=CKV_AWS_355: ecr:GetAuthorizationToken takes no resource
  name = "start"
  role = aws_iam_role.execution.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "LogIn"
          Effect   = "Allow"
          Action   = ["ecr:GetAuthorizationToken"]
          Resource = "*"
        },
        {
          Sid      = "Pull"
          Effect   = "Allow"
          Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
          Resource = aws_ecr_repository.service.arn
        },
        {
          Sid      = "Log"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = ["${module.service.log_group_arn}:*", "${module.batch.log_group_arn}:*"]
        },
      ],
      # Known before the secrets are: whether there is one.
      [for arns in [local.secret_arns] : {
        Sid      = "ReadSecret"
        Effect   = "Allow"
        Action   = ["secretsmanager:GetSecretValue"]
        Resource = arns
      } if length(arns) > 0],
      [for statement in local.use_key_through.secretsmanager : statement if length(local.secret_arns) > 0],
    )
  })
}

resource "aws_iam_role" "task" {
  name               = "${var.name}-task"
  assume_role_policy = local.task_trust
}

resource "aws_iam_role_policy" "task" {
  name = "read-index"
  role = aws_iam_role.task.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.use_key_through.s3, [
      {
        Sid       = "ListIndex"
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = aws_s3_bucket.documents.arn
        Condition = { StringLike = { "s3:prefix" = ["index/*"] } }
      },
      {
        Sid      = "ReadIndex"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = "${aws_s3_bucket.documents.arn}/index/*"
      },
    ])
  })
}

resource "aws_iam_role" "batch_task" {
  name               = "${local.batch_name}-task"
  assume_role_policy = local.task_trust
}

resource "aws_iam_role_policy" "batch_task" {
  name = "ingest"
  role = aws_iam_role.batch_task.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.use_key_through.s3, local.use_key_through.sqs, [
      {
        Sid      = "List"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = aws_s3_bucket.documents.arn
      },
      {
        Sid      = "ReadDocuments"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = "${aws_s3_bucket.documents.arn}/documents/*"
      },
      {
        Sid      = "WriteIndex"
        Effect   = "Allow"
        Action   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
        Resource = "${aws_s3_bucket.documents.arn}/index/*"
      },
      {
        Sid      = "EmptyQueue"
        Effect   = "Allow"
        Action   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage"]
        Resource = module.batch.queue_arn
      },
      {
        # An ingest protects its own task from scale-in while it works.
        Sid       = "ProtectTask"
        Effect    = "Allow"
        Action    = ["ecs:UpdateTaskProtection"]
        Resource  = "${local.arn}:ecs:${local.region}:${local.account}:task/${var.cluster_name}/*"
        Condition = { ArnEquals = { "ecs:cluster" = module.cluster.arn } }
      },
    ])
  })
}
