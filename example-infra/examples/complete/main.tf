# One environment of several: its own state, its own names, HTTPS, a hosted language model, alarms by mail.

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 6.0"
    }
  }

  # One state for each environment: terraform init -reconfigure -backend-config=staging.s3.tfbackend
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = { Application = local.name, Environment = var.environment, ManagedBy = "terraform" }
  }
}

locals {
  name = "rag-${var.environment}"
}

module "rag" {
  source = "../.."

  name                 = local.name
  cluster_name         = local.name
  github_repository    = var.github_repository
  github_environment   = var.environment
  create_oidc_provider = var.create_oidc_provider

  certificate_arn              = var.certificate_arn
  ingress_cidrs                = var.ingress_cidrs
  firewall_requests_per_minute = 600
  nat_gateway                  = true # for the language model

  instance_type      = var.instance_type
  session_manager    = true # for whom sessions_policy_arn is given
  model_load_seconds = var.model_load_seconds
  desired_count      = var.tasks
  max_count          = 2 * var.tasks
  spare_gpus         = 1

  generator   = { url = "https://api.openai.com/v1", model = "gpt-4o-mini" }
  environment = { MAX_BATCH = "64" }

  alert_emails         = var.alert_emails
  log_retention_days   = 90
  deregister_revisions = true
}
