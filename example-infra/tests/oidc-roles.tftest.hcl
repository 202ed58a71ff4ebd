mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name              = "ki-rag-api"
  github_repository = "octo-org/octo-repo"
  cluster_name      = "ki-cluster"
  service_name      = "ki-rag-api"
  service_family    = "ki-rag-api"
  repository_arn    = "arn:aws:ecr:eu-central-1:123456789012:repository/ki-rag-api"
  log_group_arns    = ["arn:aws:logs:eu-central-1:123456789012:log-group:/ecs/ki-rag-api"]
  service_role_arns = ["arn:aws:iam::123456789012:role/ki-rag-api-execution", "arn:aws:iam::123456789012:role/ki-rag-api-task"]
}

run "both_forms_of_the_subject" {
  command = plan

  module {
    source = "./modules/oidc-roles"
  }

  variables {
    github_owner_id      = 11
    github_repository_id = 22
  }

  assert {
    condition     = local.deploy_subjects == ["repo:octo-org/octo-repo:ref:refs/heads/main", "repo:octo-org@11/octo-repo@22:ref:refs/heads/main"]
    error_message = "The classic and the immutable form, exactly."
  }
}

run "environment_and_reusable_workflow" {
  command = plan

  module {
    source = "./modules/oidc-roles"
  }

  variables {
    github_environment       = "prod:eu"
    github_reusable_workflow = "octo-org/shared/.github/workflows/deploy.yml@refs/heads/main"
  }

  assert {
    condition     = local.deploy_subjects == ["repo:octo-org/octo-repo:environment:prod%3Aeu:job_workflow_ref:octo-org/shared/.github/workflows/deploy.yml@refs/heads/main"]
    error_message = "The environment instead of the branch, the workflow behind it."
  }
}

run "an_existing_identity_provider" {
  command = plan

  module {
    source = "./modules/oidc-roles"
  }

  variables { create_oidc_provider = false }

  assert {
    condition     = length(aws_iam_openid_connect_provider.github) == 0
    error_message = "An account has one provider for GitHub."
  }
}

run "roles_hold_no_more_than_their_commands_need" {
  command = plan

  module {
    source = "./modules/oidc-roles"
  }

  assert {
    condition     = alltrue([for role, policies in local.permissions_of : !contains(policies, "push") || role == "deploy"]) && local.permissions_of.plan == ["read", "plan", "logs"]
    error_message = "Only deploy pushes; plan only reads."
  }

  assert {
    condition     = !contains(local.permissions_of["pull-request"], "logs") && !anytrue([for statement in concat(local.reading, local.planning) : anytrue([for action in statement.Action : contains(["logs:GetLogEvents", "logs:FilterLogEvents", "secretsmanager:GetSecretValue"], action)])])
    error_message = "A pull request reads neither logs nor the values of secrets."
  }

  assert {
    condition     = keys({ for role, subjects in local.subjects : role => subjects if anytrue([for subject in subjects : strcontains(subject, ":pull_request")]) }) == ["pull-request"]
    error_message = "And takes no other role."
  }
}

run "any_branch" {
  command = plan

  module {
    source = "./modules/oidc-roles"
  }

  expect_failures = [var.github_branch]
  variables { github_branch = "*" }
}

run "numbers_that_no_repository_has" {
  command = plan

  module {
    source = "./modules/oidc-roles"
  }

  expect_failures = [var.github_owner_id]
  variables {
    github_owner_id      = -11
    github_repository_id = 22
  }
}

run "branch_pattern" {
  command = plan

  module {
    source = "./modules/oidc-roles"
  }

  expect_failures = [var.github_branch]
  variables { github_branch = "release/*" }
}

run "any_environment" {
  command = plan

  module {
    source = "./modules/oidc-roles"
  }

  expect_failures = [var.github_environment]
  variables { github_environment = "prod*" }
}

run "any_repository" {
  command = plan

  module {
    source = "./modules/oidc-roles"
  }

  expect_failures = [var.github_repository]
  variables { github_repository = "octo-org/*" }
}

run "half_of_the_immutable_form" {
  command = plan

  module {
    source = "./modules/oidc-roles"
  }

  expect_failures = [var.github_owner_id]
  variables { github_owner_id = 11 }
}

run "any_workflow" {
  command = plan

  module {
    source = "./modules/oidc-roles"
  }

  expect_failures = [var.github_reusable_workflow]
  variables { github_reusable_workflow = "octo-org/shared/.github/workflows/deploy.yml@*" }
}
