# A shell on an instance, over Systems Manager: no SSH, no key, no open port, and CloudTrail knows who it was. The agent
# is in the AMI; it needs its two endpoints and these actions only (AWS's managed policy would read parameters too).

resource "aws_iam_role_policy" "sessions" {
  # checkov:skip=CKV_AWS_290: the agent's actions take no resource
  # checkov:skip=CKV_AWS_355: the agent's actions take no resource
  count = var.session_manager ? 1 : 0
  name  = "sessions"
  role  = aws_iam_role.instance.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid    = "BeReached"
      Effect = "Allow"
      Action = [
        "ssm:UpdateInstanceInformation",
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
      ]
      Resource = "*"
    }]
  })
}

# For people: a session on these instances and no others, and an end to one's own.
resource "aws_iam_policy" "sessions" {
  count       = var.session_manager ? 1 : 0
  name        = "${var.name}-sessions"
  description = "A shell on the GPU instances of ${var.name}"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "StartOnTheseInstances"
        Effect    = "Allow"
        Action    = ["ssm:StartSession"]
        Resource  = "${local.arn}:ec2:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}:instance/*"
        Condition = { StringEquals = { "ssm:resourceTag/Name" = "${var.name}-gpu" } }
      },
      {
        Sid      = "StartAShell"
        Effect   = "Allow"
        Action   = ["ssm:StartSession"]
        Resource = "${local.arn}:ssm:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}:document/SSM-SessionManagerRunShell"
      },
      {
        Sid      = "EndOnesOwn"
        Effect   = "Allow"
        Action   = ["ssm:ResumeSession", "ssm:TerminateSession"]
        Resource = "${local.arn}:ssm:*:*:session/$${aws:userid}-*"
      },
    ]
  })
}
