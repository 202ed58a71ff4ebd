locals {
  # The action's inputs, by their names.
  inputs = {
    region          = local.region
    cluster         = module.cluster.name
    service         = module.service.name
    container       = module.service.container_name
    task-definition = module.service.family
    repository      = aws_ecr_repository.service.name
    cache-image     = "${aws_ecr_repository.cache.repository_url}:buildcache"
    role-to-assume  = module.roles.role_arns["deploy"]
    role-duration   = "${module.service.timing.session_seconds}s"
    timeout         = "${module.service.timing.deploy_timeout_seconds}s"
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
    minutes     = ceil(module.service.timing.deploy_timeout_seconds / 60)
    pushing     = ["region", "repository", "cache-image", "role-to-assume", "role-duration"]
    roles       = module.roles.role_arns
    batch       = module.batch.family
    ingest      = module.batch.service
  })
}

output "url" {
  description = "Address of the service."
  value       = module.service.url
}

output "role_arns" {
  description = "Roles for GitHub's workflows: deploy, rollback, plan and pull-request."
  value       = module.roles.role_arns
}

output "policies" {
  description = "Policies of those roles and what each role may do, as the tests judge them."
  value       = module.roles.policies
}

output "secret_arn" {
  description = "Secret of the language model's key, set by hand; null where generator needs none."
  value       = one(aws_secretsmanager_secret.openai[*].arn)
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
  description = "Task definition family of the ingest task that runs once (`run-task`)."
  value       = module.batch.family
}

output "queue_url" {
  description = "Queue that asks for an ingest: uploads and the schedule send to it, and so may you."
  value       = module.batch.queue_url
}

output "alerts_topic_arn" {
  description = "SNS topic of everything that somebody should hear of."
  value       = aws_sns_topic.alerts.arn
}

output "sessions_policy_arn" {
  description = "Policy for whoever may open a shell on the instances; null without session_manager."
  value       = module.cluster.sessions_policy_arn
}

output "timing" {
  description = "The numbers that follow from model_load_seconds and spare_gpus."
  value       = merge(module.service.timing, module.cluster.sizes)
}
