# A trial that few may reach: plain HTTP, one task, nothing kept when it is destroyed.

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 6.0"
    }
  }

  # terraform init -backend-config="bucket=…" -backend-config="region=…"
  backend "s3" {
    key          = "rag-trial.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = "eu-central-1"

  default_tags {
    tags = { Application = "rag-trial", ManagedBy = "terraform" }
  }
}

module "rag" {
  source = "../.."

  name                = "rag-trial"
  cluster_name        = "rag-trial"
  github_repository   = "your-org/your-repo"
  ingress_cidrs       = ["203.0.113.0/24"]
  http_only           = true
  desired_count       = 1
  max_count           = 1
  deletion_protection = false
}

output "workflow" {
  description = "For .github/workflows/deploy.yml."
  value       = module.rag.workflow
}

output "repository_url" {
  description = "Repository of the images."
  value       = module.rag.repository_url
}

output "api_keys_secret_arn" {
  description = "Secret of the clients' hashed API keys, set by hand."
  value       = module.rag.api_keys_secret_arn
}

output "url" {
  description = "Address of the service."
  value       = module.rag.url
}
