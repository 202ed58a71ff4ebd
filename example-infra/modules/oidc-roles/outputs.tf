output "role_arns" {
  description = "Roles for GitHub's workflows: deploy, rollback, plan and pull-request."
  value       = { for purpose, role in aws_iam_role.github : purpose => role.arn }
}

output "policies" {
  description = "Policies of those roles and what each role may do, as the tests judge them."
  value = {
    for role, policies in local.permissions_of : role => {
      trust       = jsondecode(aws_iam_role.github[role].assume_role_policy)
      permissions = [for policy in policies : jsondecode(aws_iam_policy.github[policy].policy)]
    }
  }
}
