locals {
  # The action's inputs, by their names.
  inputs = {
    region          = var.region
    cluster         = aws_ecs_cluster.this.name
    service         = aws_ecs_service.this.name
    container       = local.container_name
    task-definition = aws_ecs_task_definition.service.family
    repository      = aws_ecr_repository.service.name
    cache-image     = "${aws_ecr_repository.cache.repository_url}:buildcache"
    role-to-assume  = aws_iam_role.github["deploy"].arn
    role-duration   = "${local.session_seconds}s"
    timeout         = "${local.deploy_timeout_seconds}s"
  }
}

output "inputs" {
  description = "Inputs of the action, by their names."
  value       = local.inputs
}

output "workflow" {
  description = "A workflow ready to paste: terraform output -raw workflow > .github/workflows/deploy.yml"
  value = templatefile("${path.module}/workflow.yml.tftpl", {
    action      = var.action
    branch      = var.github_branch
    environment = var.github_environment
    inputs      = local.inputs
    minutes     = ceil(local.deploy_timeout_seconds / 60)
    pushing     = ["region", "repository", "cache-image", "role-to-assume", "role-duration"]
    roles       = { for purpose, role in aws_iam_role.github : purpose => role.arn }
    batch       = aws_ecs_task_definition.batch.family
  })
}

output "url" {
  description = "Address of the service."
  value       = "${var.certificate_arn == null ? "http" : "https"}://${aws_lb.this.dns_name}"
}

output "role_arns" {
  description = "Roles for GitHub's workflows: deploy, rollback and plan."
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

output "secret_arn" {
  description = "Secret whose value is set by hand."
  value       = aws_secretsmanager_secret.openai.arn
}

output "api_keys_secret_arn" {
  description = "Secret of the clients' hashed API keys, set by hand; null where service_auth is not keys."
  value       = one(aws_secretsmanager_secret.api_keys[*].arn)
}

output "repository_url" {
  description = "Repository of the images."
  value       = aws_ecr_repository.service.repository_url
}

output "documents_bucket" {
  description = "Bucket whose documents/ are ingested."
  value       = aws_s3_bucket.documents.bucket
}

output "batch_family" {
  description = "Task definition family of the ingest task."
  value       = aws_ecs_task_definition.batch.family
}

output "alerts_topic_arn" {
  description = "SNS topic of everything that somebody should hear of."
  value       = aws_sns_topic.alerts.arn
}

output "timing" {
  description = "The numbers that follow from model_load_seconds and spare_gpus."
  value = {
    grace_period_seconds     = local.grace_period_seconds
    container_start_period   = local.container_start_period
    container_check_interval = local.container_check_interval
    container_check_retries  = local.container_check_retries
    deregistration_delay     = local.deregistration_delay
    idle_timeout             = local.idle_timeout
    minimum_healthy_percent  = local.minimum_healthy_percent
    maximum_percent          = local.maximum_percent
    tasks_per_instance       = local.tasks_per_instance
    instances                = local.instances_for_desired
    instances_for_rollout    = local.instances_for_rollout
    most_instances           = local.most_instances
    target_capacity          = local.target_capacity
    root_volume_gb           = local.root_volume_gb
    rollout_waves            = local.rollout_waves
    rollout_seconds          = local.rollout_seconds
    deploy_timeout_seconds   = local.deploy_timeout_seconds
    session_seconds          = local.session_seconds
    breaker_failures         = local.breaker_failures
  }
}
