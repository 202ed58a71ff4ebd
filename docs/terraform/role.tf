# The role with which a repository's jobs deploy: who may take it, and what it is allowed, which is what deploy,
# rollback, watch, history, status and run-task call (the policy is written by `make docs` from permissions.json).
#
#   terraform init
#   terraform apply -var repository=acme/rag -var region=eu-central-1 -var cluster=ki-cluster -var service=ki-rag-api \
#     -var task_role=ki-rag-api-task -var execution_role=ki-rag-api-execution

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.0" }
  }
}

provider "aws" {
  region = var.region
}

variable "repository" {
  description = "The repository whose jobs may take the role, OWNER/NAME."
  type        = string
}

variable "environment" {
  description = "GitHub's environment of these jobs."
  type        = string
  default     = "production"
}

variable "subjects" {
  description = "Further subjects of GitHub's token. A repository created after 15 July 2026 needs repo:OWNER@ID/NAME@ID:environment:NAME; what a refused job's token says stands in its log."
  type        = list(string)
  default     = []
}

variable "create_provider" {
  description = "Whether to create the identity provider of GitHub, of which an account has one."
  type        = bool
  default     = true
}

variable "region" {
  description = "Region of cluster, service and repository of images."
  type        = string
}

variable "cluster" {
  description = "Name of the ECS cluster."
  type        = string
}

variable "service" {
  description = "Name of the ECS service."
  type        = string
}

variable "family" {
  description = "Family of its task definitions. Default: the service's name."
  type        = string
  default     = ""
}

variable "ecr_repository" {
  description = "Name of the ECR repository. Default: the service's name."
  type        = string
  default     = ""
}

variable "task_role" {
  description = "Name of the role of the task."
  type        = string
}

variable "execution_role" {
  description = "Name of the role with which ECS starts the task."
  type        = string
}

variable "log_group" {
  description = "Name of the log group whose last lines are shown; * for any."
  type        = string
  default     = "*"
}

variable "secret" {
  description = "Name of the secret of the task that is looked up before a deployment; * for any."
  type        = string
  default     = "*"
}

data "aws_caller_identity" "this" {}

data "aws_iam_openid_connect_provider" "github" {
  count = var.create_provider ? 0 : 1
  url   = "https://token.actions.githubusercontent.com"
}

resource "aws_iam_openid_connect_provider" "github" {
  count          = var.create_provider ? 1 : 0
  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "deploy" {
  name                 = "${var.service}-deploy"
  max_session_duration = 3600
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = concat(aws_iam_openid_connect_provider.github, data.aws_iam_openid_connect_provider.github)[0].arn }
      Condition = { StringEquals = {
        "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
        "token.actions.githubusercontent.com:sub" = concat(["repo:${var.repository}:environment:${var.environment}"], var.subjects)
      } }
    }]
  })
}

resource "aws_iam_role_policy" "deploy" {
  name = "deploy"
  role = aws_iam_role.deploy.id
  policy = jsonencode(
    # begin: policy
    {
      "Version": "2012-10-17",
      "Statement": [
        {
          "Effect": "Allow",
          "Action": [
            "cloudwatch:DescribeAlarms",
            "ecr:DescribePullThroughCacheRules",
            "ecr:GetAuthorizationToken",
            "ecs:DeregisterTaskDefinition",
            "ecs:DescribeTaskDefinition",
            "ecs:ListClusters",
            "ecs:ListServices",
            "ecs:ListTaskDefinitions",
            "elasticloadbalancing:DescribeListeners",
            "elasticloadbalancing:DescribeLoadBalancers",
            "elasticloadbalancing:DescribeRules",
            "elasticloadbalancing:DescribeTargetGroupAttributes",
            "elasticloadbalancing:DescribeTargetGroups",
            "elasticloadbalancing:DescribeTargetHealth",
            "events:ListEventBuses",
            "events:ListRuleNamesByTarget",
            "events:ListTargetsByRule",
            "scheduler:GetSchedule",
            "scheduler:ListSchedules",
            "states:DescribeStateMachine",
            "states:ListStateMachines",
            "tag:GetResources"
          ],
          "Resource": "*"
        },
        {
          "Effect": "Allow",
          "Action": [
            "ecr:BatchCheckLayerAvailability",
            "ecr:BatchGetImage",
            "ecr:CompleteLayerUpload",
            "ecr:CreateRepository",
            "ecr:DescribeImageScanFindings",
            "ecr:DescribeImages",
            "ecr:DescribeRepositories",
            "ecr:GetDownloadUrlForLayer",
            "ecr:GetLifecyclePolicy",
            "ecr:InitiateLayerUpload",
            "ecr:PutImage",
            "ecr:PutLifecyclePolicy",
            "ecr:UpdateImageStorageClass",
            "ecr:UploadLayerPart"
          ],
          "Resource": "arn:aws:ecr:${var.region}:${data.aws_caller_identity.this.account_id}:repository/${coalesce(var.ecr_repository, var.service)}"
        },
        {
          "Effect": "Allow",
          "Action": [
            "ecs:ContinueServiceDeployment",
            "ecs:DescribeServiceDeployments",
            "ecs:StopServiceDeployment"
          ],
          "Resource": [
            "arn:aws:ecs:${var.region}:${data.aws_caller_identity.this.account_id}:service/${var.cluster}/${var.service}",
            "arn:aws:ecs:${var.region}:${data.aws_caller_identity.this.account_id}:service-deployment/${var.cluster}/${var.service}/*"
          ]
        },
        {
          "Effect": "Allow",
          "Action": [
            "ecs:DescribeClusters",
            "ecs:ListContainerInstances"
          ],
          "Resource": "arn:aws:ecs:${var.region}:${data.aws_caller_identity.this.account_id}:cluster/${var.cluster}"
        },
        {
          "Effect": "Allow",
          "Action": [
            "ecs:DescribeContainerInstances"
          ],
          "Resource": "arn:aws:ecs:${var.region}:${data.aws_caller_identity.this.account_id}:container-instance/${var.cluster}/*"
        },
        {
          "Effect": "Allow",
          "Action": [
            "ecs:DescribeServiceRevisions"
          ],
          "Resource": [
            "arn:aws:ecs:${var.region}:${data.aws_caller_identity.this.account_id}:service/${var.cluster}/${var.service}",
            "arn:aws:ecs:${var.region}:${data.aws_caller_identity.this.account_id}:service-revision/${var.cluster}/${var.service}/*"
          ]
        },
        {
          "Effect": "Allow",
          "Action": [
            "ecs:DescribeServices",
            "ecs:ListServiceDeployments",
            "ecs:UpdateService"
          ],
          "Resource": "arn:aws:ecs:${var.region}:${data.aws_caller_identity.this.account_id}:service/${var.cluster}/${var.service}"
        },
        {
          "Effect": "Allow",
          "Action": [
            "ecs:DescribeTasks",
            "ecs:StopTask"
          ],
          "Resource": "arn:aws:ecs:${var.region}:${data.aws_caller_identity.this.account_id}:task/${var.cluster}/*"
        },
        {
          "Effect": "Allow",
          "Action": [
            "ecs:ListTasks"
          ],
          "Resource": "*",
          "Condition": {
            "ArnEquals": {
              "ecs:cluster": "arn:aws:ecs:${var.region}:${data.aws_caller_identity.this.account_id}:cluster/${var.cluster}"
            }
          }
        },
        {
          "Effect": "Allow",
          "Action": [
            "ecs:RegisterTaskDefinition"
          ],
          "Resource": "arn:aws:ecs:${var.region}:${data.aws_caller_identity.this.account_id}:task-definition/${coalesce(var.family, var.service)}:*"
        },
        {
          "Effect": "Allow",
          "Action": [
            "ecs:RunTask"
          ],
          "Resource": "arn:aws:ecs:${var.region}:${data.aws_caller_identity.this.account_id}:task-definition/${coalesce(var.family, var.service)}:*",
          "Condition": {
            "ArnEquals": {
              "ecs:cluster": "arn:aws:ecs:${var.region}:${data.aws_caller_identity.this.account_id}:cluster/${var.cluster}"
            }
          }
        },
        {
          "Effect": "Allow",
          "Action": [
            "ecs:TagResource"
          ],
          "Resource": [
            "arn:aws:ecs:${var.region}:${data.aws_caller_identity.this.account_id}:task-definition/${coalesce(var.family, var.service)}:*",
            "arn:aws:ecs:${var.region}:${data.aws_caller_identity.this.account_id}:task/${var.cluster}/*"
          ]
        },
        {
          "Effect": "Allow",
          "Action": [
            "iam:GetRole"
          ],
          "Resource": "arn:aws:iam::${data.aws_caller_identity.this.account_id}:role/${var.task_role}"
        },
        {
          "Effect": "Allow",
          "Action": [
            "logs:FilterLogEvents",
            "logs:GetLogEvents"
          ],
          "Resource": "arn:aws:logs:${var.region}:${data.aws_caller_identity.this.account_id}:log-group:${var.log_group}:*"
        },
        {
          "Effect": "Allow",
          "Action": [
            "secretsmanager:DescribeSecret"
          ],
          "Resource": "arn:aws:secretsmanager:${var.region}:${data.aws_caller_identity.this.account_id}:secret:${var.secret}-*"
        },
        {
          "Sid": "PassRolesToTasks",
          "Effect": "Allow",
          "Action": "iam:PassRole",
          "Resource": [
            "arn:aws:iam::${data.aws_caller_identity.this.account_id}:role/${var.task_role}",
            "arn:aws:iam::${data.aws_caller_identity.this.account_id}:role/${var.execution_role}"
          ],
          "Condition": {
            "StringEquals": {
              "iam:PassedToService": "ecs-tasks.amazonaws.com"
            }
          }
        }
      ]
    }
    # end: policy
  )
}

output "role_to_assume" {
  description = "The input role-to-assume."
  value       = aws_iam_role.deploy.arn
}
