locals {
  secret_arns = concat(aws_secretsmanager_secret.openai[*].arn, aws_secretsmanager_secret.api_keys[*].arn)
}

# The value never passes through Terraform: aws secretsmanager put-secret-value --secret-id … --secret-string …
# Tasks read it when they start, so a new value needs a new deployment.
resource "aws_secretsmanager_secret" "openai" {
  # checkov:skip=CKV2_AWS_57: a key of another provider cannot be rotated by AWS
  # checkov:skip=CKV_AWS_149: encrypted with AWS's key; kms_key_arn chooses a key of one's own
  count                   = try(var.generator.key, false) ? 1 : 0
  name                    = "${var.name}/openai-api-key"
  description             = "Key of the language model; set its value by hand"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.deletion_protection ? 30 : 0
}

# {"name of a client": "SHA-256 of its key in hex"}: python -m rag_service.keys NAME prints a key and its hash.
resource "aws_secretsmanager_secret" "api_keys" {
  # checkov:skip=CKV2_AWS_57: keys belong to clients, which get new ones by hand
  # checkov:skip=CKV_AWS_149: encrypted with AWS's key; kms_key_arn chooses a key of one's own
  count                   = var.service_auth == "keys" ? 1 : 0
  name                    = "${var.name}/api-key-hashes"
  description             = "Hashes of the clients' API keys; set its value by hand"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.deletion_protection ? 30 : 0
}
