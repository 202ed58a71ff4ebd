# Four roles, each with what its commands call (docs/permissions.md) and nothing else: deploy (with push and
# run-task), rollback, plan (reads only: plan, watch and history) and pull-request (plan and history, without the logs:
# whoever may open a pull request writes the workflow that runs, and logs hold what users ask).
# Which action takes which resource and which condition key: Service Authorization Reference. ecs:cluster does not
# exist for RegisterTaskDefinition and DescribeTaskDefinition: a condition on it denies them always.

data "aws_partition" "current" {}

data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

locals {
  arn            = "arn:${data.aws_partition.current.partition}"
  account        = data.aws_caller_identity.current.account_id
  region         = data.aws_region.current.name
  ecs_arn        = "${local.arn}:ecs:${local.region}:${local.account}"
  cluster_arn    = "${local.ecs_arn}:cluster/${var.cluster_name}"
  service_arn    = "${local.ecs_arn}:service/${var.cluster_name}/${var.service_name}"
  service_family = "${local.ecs_arn}:task-definition/${var.service_family}:*"
  task_families  = [for family in var.task_families : "${local.ecs_arn}:task-definition/${family}:*"]
  background = [for name in var.background_services : {
    service = "${local.ecs_arn}:service/${var.cluster_name}/${name}"
    family  = "${local.ecs_arn}:task-definition/${name}:*"
    history = [for kind in ["deployment", "revision"] : "${local.ecs_arn}:service-${kind}/${var.cluster_name}/${name}/*"]
  }]
  task_arns    = "${local.ecs_arn}:task/${var.cluster_name}/*"
  this_cluster = { ArnEquals = { "ecs:cluster" = local.cluster_arn } }

  reading = [
    {
      Sid    = "ReadWhatHasNoResource"
      Effect = "Allow"
      Action = [
        "ecs:DescribeTaskDefinition",
        "ecs:ListTaskDefinitions",
        "elasticloadbalancing:DescribeListeners",
        "elasticloadbalancing:DescribeLoadBalancers",
        "elasticloadbalancing:DescribeRules",
        "elasticloadbalancing:DescribeTargetGroupAttributes",
        "elasticloadbalancing:DescribeTargetGroups",
        "elasticloadbalancing:DescribeTargetHealth",
        "tag:GetResources",
      ]
      Resource = "*"
    },
    {
      Sid       = "ReadService"
      Effect    = "Allow"
      Action    = ["ecs:DescribeServices", "ecs:ListServiceDeployments"]
      Resource  = local.service_arn
      Condition = local.this_cluster
    },
    {
      Sid    = "ReadDeployments"
      Effect = "Allow"
      Action = ["ecs:DescribeServiceDeployments", "ecs:DescribeServiceRevisions"]
      Resource = [
        local.service_arn,
        "${local.ecs_arn}:service-deployment/${var.cluster_name}/${var.service_name}/*",
        "${local.ecs_arn}:service-revision/${var.cluster_name}/${var.service_name}/*",
      ]
    },
    {
      Sid       = "ListInCluster"
      Effect    = "Allow"
      Action    = ["ecs:ListTasks", "ecs:ListServices"]
      Resource  = "*"
      Condition = local.this_cluster
    },
    {
      Sid      = "ReadTasksAndInstances"
      Effect   = "Allow"
      Action   = ["ecs:DescribeTasks", "ecs:DescribeContainerInstances"]
      Resource = [local.task_arns, "${local.ecs_arn}:container-instance/${var.cluster_name}/*"]
    },
    {
      Sid      = "FindInstances"
      Effect   = "Allow"
      Action   = ["ecs:ListContainerInstances"]
      Resource = local.cluster_arn
    },
    {
      Sid      = "SeeImages"
      Effect   = "Allow"
      Action   = ["ecr:DescribeImages"]
      Resource = var.repository_arn
    },
  ]

  logs = [
    {
      Sid      = "ReadLogStreams"
      Effect   = "Allow"
      Action   = ["logs:GetLogEvents"]
      Resource = [for group in var.log_group_arns : "${group}:log-stream:*"]
    },
    {
      Sid      = "ReadLogGroups"
      Effect   = "Allow"
      Action   = ["logs:FilterLogEvents"]
      Resource = [for group in var.log_group_arns : "${group}:*"]
    },
  ]

  # plan foresees a rollout: what instances may come, and whether all that a revision names is there.
  planning = [
    {
      Sid    = "ForeseeInstances"
      Effect = "Allow"
      Action = [
        "autoscaling:DescribeAutoScalingGroups", "ec2:DescribeImages", "ecs:DescribeCapacityProviders",
        "elasticloadbalancing:DescribeLoadBalancerAttributes", "logs:DescribeLogGroups",
      ]
      Resource = "*"
    },
    {
      Sid      = "ReadClusterSettings"
      Effect   = "Allow"
      Action   = ["ecs:DescribeClusters"]
      Resource = local.cluster_arn
    },
    {
      Sid      = "ReadImageConfiguration"
      Effect   = "Allow"
      Action   = ["ecr:BatchGetImage", "ecr:DescribeRepositories", "ecr:GetDownloadUrlForLayer", "ecr:GetLifecyclePolicy"]
      Resource = var.repository_arn
    },
    {
      # A rollback does too, of the old revision; the value of a secret is never read.
      Sid      = "CheckWhatRevisionsName"
      Effect   = "Allow"
      Action   = ["iam:GetRole", "secretsmanager:DescribeSecret"]
      Resource = concat(var.service_role_arns, var.secret_arns)
    },
    {
      Sid      = "AskWhatRolesMay"
      Effect   = "Allow"
      Action   = ["iam:SimulatePrincipalPolicy"]
      Resource = concat(var.service_role_arns, ["${local.arn}:iam::${local.account}:role/${var.name}-*"])
    },
  ]

  updating = [
    {
      # Asked only where an image is not in ECR: it may come with its first pull.
      Sid      = "SeeCacheRules"
      Effect   = "Allow"
      Action   = ["ecr:DescribePullThroughCacheRules"]
      Resource = "*"
    },
    {
      Sid      = "RegisterRevision"
      Effect   = "Allow"
      Action   = ["ecs:RegisterTaskDefinition"]
      Resource = local.service_family
    },
    {
      # When it is registered, and again when its deployment has succeeded: rollback looks for that tag.
      Sid      = "TagRevision"
      Effect   = "Allow"
      Action   = ["ecs:TagResource"]
      Resource = local.service_family
    },
    {
      Sid       = "PassTaskRoles"
      Effect    = "Allow"
      Action    = ["iam:PassRole"]
      Resource  = var.service_role_arns
      Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
    },
    {
      Sid       = "UpdateService"
      Effect    = "Allow"
      Action    = ["ecs:UpdateService"]
      Resource  = local.service_arn
      Condition = local.this_cluster
    },
    {
      Sid    = "EndDeployment"
      Effect = "Allow"
      Action = ["ecs:StopServiceDeployment"]
      Resource = [
        local.service_arn,
        "${local.ecs_arn}:service-deployment/${var.cluster_name}/${var.service_name}/*",
      ]
    },
  ]

  pushing_and_running = [
    {
      # And whether an alarm rings already.
      Sid      = "LogInToRegistry"
      Effect   = "Allow"
      Action   = ["cloudwatch:DescribeAlarms", "ecr:GetAuthorizationToken"]
      Resource = "*"
    },
    {
      Sid    = "Push"
      Effect = "Allow"
      Action = [
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:CompleteLayerUpload",
        "ecr:DescribeImageScanFindings",
        "ecr:DescribeImages",
        "ecr:DescribeRepositories",
        "ecr:GetDownloadUrlForLayer",
        "ecr:GetLifecyclePolicy",
        "ecr:InitiateLayerUpload",
        "ecr:PutImage",
        "ecr:UpdateImageStorageClass",
        "ecr:UploadLayerPart",
      ]
      Resource = concat([var.repository_arn], var.cache_repository_arns)
    },
    {
      Sid      = "RegisterIngest"
      Effect   = "Allow"
      Action   = ["ecs:RegisterTaskDefinition", "ecs:TagResource"]
      Resource = concat(local.task_families, local.background[*].family)
    },
    {
      Sid       = "PassIngestRole"
      Effect    = "Allow"
      Action    = ["iam:PassRole"]
      Resource  = var.task_role_arns
      Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
    },
    {
      Sid       = "RunTask"
      Effect    = "Allow"
      Action    = ["ecs:RunTask"]
      Resource  = concat([local.service_family], local.task_families)
      Condition = local.this_cluster
    },
    {
      Sid       = "StopTask"
      Effect    = "Allow"
      Action    = ["ecs:StopTask"]
      Resource  = local.task_arns
      Condition = local.this_cluster
    },
    {
      Sid       = "TagTask"
      Effect    = "Allow"
      Action    = ["ecs:TagResource"]
      Resource  = local.task_arns
      Condition = { StringEquals = { "ecs:CreateAction" = "RunTask" } }
    },
  ]

  in_background = [
    for statement in [
      {
        Sid       = "DeployInBackground"
        Effect    = "Allow"
        Action    = ["ecs:DescribeServices", "ecs:ListServiceDeployments", "ecs:UpdateService"]
        Resource  = local.background[*].service
        Condition = local.this_cluster
      },
      {
        Sid      = "ReadBackgroundDeployments"
        Effect   = "Allow"
        Action   = ["ecs:DescribeServiceDeployments", "ecs:DescribeServiceRevisions"]
        Resource = flatten([for one in local.background : concat([one.service], one.history)])
      },
    ] : statement if length(var.background_services) > 0
  ]

  # keep-revisions: deregister old revisions, but none that a service, schedule, rule or state machine still runs.
  cleaning_up = [
    for statement in [
      {
        Sid      = "Deregister"
        Effect   = "Allow"
        Action   = ["ecs:DeregisterTaskDefinition", "ecs:ListClusters", "ecs:ListServices", "events:ListEventBuses", "events:ListRuleNamesByTarget", "scheduler:ListSchedules", "states:ListStateMachines"]
        Resource = ["*"]
      },
      {
        Sid    = "FindWhoRunsRevisions"
        Effect = "Allow"
        Action = ["ecs:DescribeServices", "events:ListTargetsByRule", "scheduler:GetSchedule", "states:DescribeStateMachine"]
        Resource = [
          "${local.ecs_arn}:service/*",
          "${local.arn}:events:${local.region}:${local.account}:rule/*",
          "${local.arn}:scheduler:${local.region}:${local.account}:schedule/*",
          "${local.arn}:states:${local.region}:${local.account}:stateMachine:*",
        ]
      },
    ] : statement if var.deregister_revisions
  ]

  permissions = {
    read   = local.reading
    logs   = local.logs
    plan   = local.planning
    update = local.updating
    push   = concat(local.pushing_and_running, local.in_background, local.cleaning_up)
  }
  permissions_of = {
    pull-request = ["read", "plan"]
    plan         = ["read", "plan", "logs"]
    rollback     = ["read", "plan", "logs", "update"]
    deploy       = ["read", "plan", "logs", "update", "push"]
  }
}

resource "aws_iam_role" "github" {
  for_each             = local.trust
  name                 = "${var.name}-${each.key}"
  description          = "GitHub Actions: ${each.key} ${var.name}"
  assume_role_policy   = each.value
  max_session_duration = contains(["plan", "pull-request"], each.key) ? 3600 : var.session_seconds
}

resource "aws_iam_policy" "github" {
  # checkov:skip=CKV_AWS_355: the actions with Resource "*" take no resource (Service Authorization Reference)
  # checkov:skip=CKV_AWS_290: every write names its resources
  for_each    = toset(keys(local.permissions))
  name        = "${var.name}-github-${each.key}"
  description = "What ecs-gpu-deploy calls for ${var.name}: ${each.key}"
  policy      = jsonencode({ Version = "2012-10-17", Statement = local.permissions[each.key] })
}

resource "aws_iam_role_policy_attachment" "github" {
  for_each = {
    for pair in flatten([for role, policies in local.permissions_of : [for policy in policies : { role = role, policy = policy }]]) :
    "${pair.role}-${pair.policy}" => pair
  }
  role       = aws_iam_role.github[each.value.role].name
  policy_arn = aws_iam_policy.github[each.value.policy].arn
}
