# The stack beside what it is given, all made in one apply: nothing of it is known when it is planned.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 6.0"
    }
  }
}

resource "terraform_data" "vpc" {
  input = "vpc-1"
}

resource "terraform_data" "subnet" {
  count = 2
  input = "subnet-${count.index}"
}

resource "terraform_data" "arn" {
  for_each = {
    certificate = "arn:aws:acm:eu-central-1:123456789012:certificate/11111111-2222-3333-4444-555555555555"
    key         = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }
  input = each.value
}

module "stack" {
  source             = "../.."
  github_repository  = "octo-org/octo-repo"
  vpc_id             = terraform_data.vpc.output
  public_subnet_ids  = terraform_data.subnet[*].output
  private_subnet_ids = terraform_data.subnet[*].output
  certificate_arn    = terraform_data.arn["certificate"].output
  kms_key_arn        = terraform_data.arn["key"].output
}
