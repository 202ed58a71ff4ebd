output "workflow" {
  description = "For .github/workflows/deploy.yml."
  value       = module.rag.workflow
}

output "repository_url" {
  description = "Repository of the images."
  value       = module.rag.repository_url
}

output "secret_arn" {
  description = "Secret of the language model's key, set by hand."
  value       = module.rag.secret_arn
}

output "api_keys_secret_arn" {
  description = "Secret of the clients' hashed API keys, set by hand."
  value       = module.rag.api_keys_secret_arn
}

output "alerts_topic_arn" {
  description = "SNS topic of everything that somebody should hear of."
  value       = module.rag.alerts_topic_arn
}

output "url" {
  description = "Address of the service."
  value       = module.rag.url
}

output "sessions_policy_arn" {
  description = "Policy for whoever may open a shell on the instances."
  value       = module.rag.sessions_policy_arn
}
