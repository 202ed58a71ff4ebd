resource "aws_cloudwatch_log_group" "service" {
  # checkov:skip=CKV_AWS_158: encrypted with AWS's key; kms_key_arn chooses a key of one's own
  # checkov:skip=CKV_AWS_338: container logs; log_retention_days can be a year or more
  name              = "/ecs/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}
