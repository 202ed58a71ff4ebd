# What the containers of the service and of the ingest are told.

locals {
  container_environment = [
    { name = "INDEX_URI", value = "s3://${aws_s3_bucket.documents.bucket}/index" },
  ]

  # Whom the service answers. It keeps hashes of keys only, and does not start without being told.
  auth_environment = concat(
    [
      { name = "AUTH", value = var.service_auth },
      { name = "RATE_LIMIT_PER_MINUTE", value = tostring(var.service_requests_per_minute) },
    ],
    var.service_oidc == null ? [] : [
      { name = "OIDC_ISSUER", value = var.service_oidc.issuer },
      { name = "OIDC_AUDIENCE", value = var.service_oidc.audience },
    ],
  )
  openai_secret = [{ name = "OPENAI_API_KEY", valueFrom = aws_secretsmanager_secret.openai.arn }]
  auth_secret   = [for secret in aws_secretsmanager_secret.api_keys : { name = "API_KEY_HASHES", valueFrom = secret.arn }]

  # The same image and sizes without a port, a health check and the secrets.
  batch_container = merge(
    { for key, value in module.service.container : key => value if !contains(["healthCheck", "portMappings", "logConfiguration", "name"], key) },
    { portMappings = [], environment = local.container_environment, secrets = [] },
  )
}
