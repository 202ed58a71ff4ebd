# What the containers of the service and of the ingest are told.

locals {
  # Hosts of the VPC, or of one that it is connected to; everything else is on the internet. A hub id is, too.
  inside     = "^[a-z]+://(10[.][0-9.]+|192[.]168[.][0-9.]+|172[.](1[6-9]|2[0-9]|3[01])[.][0-9.]+|[^/:]+[.](internal|local|vpce[.]amazonaws[.]com)|localhost)(:[0-9]+)?(/|$)"
  hub_models = [for model in [var.embedding_model, var.reranker_model] : model if can(regex("^[^/.][^/]*/", model))]
  on_the_internet = concat(
    [for model in local.hub_models : "the model ${model}"],
    [for generator in [var.generator] : "generator (${generator.url})" if generator != null && !can(regex(local.inside, try(generator.url, "")))],
    [for oidc in [var.service_oidc] : "the keys of service_oidc (${oidc.issuer})" if oidc != null && !can(regex(local.inside, try(oidc.issuer, "")))],
  )

  # What both containers need, with what was wished. The models' names: an index fits the model that wrote it.
  container_environment = concat(
    [{ name = "INDEX_URI", value = "s3://${aws_s3_bucket.documents.bucket}/index" }],
    [for name, value in merge({ EMBEDDING_MODEL = var.embedding_model }, var.environment) : { name = name, value = value } if value != null],
  )
  answer_environment = [
    for name, value in {
      RERANKER_MODEL  = var.reranker_model
      OPENAI_BASE_URL = try(var.generator.url, null)
      GENERATOR_MODEL = try(var.generator.model, null)
    } : { name = name, value = value } if value != null
  ]
  own_names = [
    "INDEX_URI", "EMBEDDING_MODEL", "RERANKER_MODEL", "OPENAI_BASE_URL", "OPENAI_API_KEY", "GENERATOR_MODEL", "AUTH",
    "API_KEY_HASHES", "OIDC_ISSUER", "OIDC_AUDIENCE", "RATE_LIMIT_PER_MINUTE", "REQUEST_TIMEOUT_SECONDS", "DRAIN_SECONDS",
    "STOP_TIMEOUT_SECONDS", "NVIDIA_DRIVER_CAPABILITIES", "PORT",
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
  openai_secret = [for secret in aws_secretsmanager_secret.openai : { name = "OPENAI_API_KEY", valueFrom = secret.arn }]
  auth_secret   = [for secret in aws_secretsmanager_secret.api_keys : { name = "API_KEY_HASHES", valueFrom = secret.arn }]

  # The same image and sizes without a port, a health check and the secrets.
  batch_container = merge(
    { for key, value in module.service.container : key => value if !contains(["healthCheck", "portMappings", "logConfiguration", "name"], key) },
    { portMappings = [], environment = local.container_environment, secrets = [] },
  )
}
