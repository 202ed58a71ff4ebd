# Who may deploy: a workflow of one repository, from one branch or environment. GitHub signs a token that says so;
# AWS checks the signature against its own list of authorities, so there are no thumbprints to keep.

locals {
  oidc_host    = "token.actions.githubusercontent.com"
  oidc_arn     = var.create_oidc_provider ? aws_iam_openid_connect_provider.github[0].arn : data.aws_iam_openid_connect_provider.github[0].arn
  sts_audience = data.aws_partition.current.partition == "aws-cn" ? "sts.amazonaws.com.cn" : "sts.amazonaws.com"

  # Names may be reused by somebody else; numbers never are. A repository sends one of the two forms.
  owner_and_name = split("/", var.github_repository)
  repositories = compact([
    "repo:${var.github_repository}",
    var.github_owner_id == null ? null : "repo:${local.owner_and_name[0]}@${var.github_owner_id}/${local.owner_and_name[1]}@${var.github_repository_id}",
  ])

  # A job with an environment sends it instead of the branch. A colon inside a value is sent as %3A.
  deploy_context = var.github_environment == null ? "ref:refs/heads/${var.github_branch}" : "environment:${replace(var.github_environment, ":", "%3A")}"
  workflow       = var.github_reusable_workflow == null ? "" : ":job_workflow_ref:${var.github_reusable_workflow}"

  deploy_subjects = [for repository in local.repositories : "${repository}:${local.deploy_context}${local.workflow}"]
  pull_subjects   = concat(local.deploy_subjects, [for repository in local.repositories : "${repository}:pull_request${local.workflow}"])
}

resource "aws_iam_openid_connect_provider" "github" {
  count          = var.create_oidc_provider ? 1 : 0
  url            = "https://${local.oidc_host}"
  client_id_list = [local.sts_audience]
}

data "aws_iam_openid_connect_provider" "github" {
  count = var.create_oidc_provider ? 0 : 1
  url   = "https://${local.oidc_host}"
}

locals {
  subjects = { deploy = local.deploy_subjects, rollback = local.deploy_subjects, plan = local.deploy_subjects, pull-request = local.pull_subjects }
  trust = {
    for purpose, subjects in local.subjects :
    purpose => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Effect    = "Allow"
        Principal = { Federated = local.oidc_arn }
        Action    = "sts:AssumeRoleWithWebIdentity"
        Condition = {
          StringEquals = {
            "${local.oidc_host}:aud" = local.sts_audience
            "${local.oidc_host}:sub" = subjects
          }
        }
      }]
    })
  }
}
