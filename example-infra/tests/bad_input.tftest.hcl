mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  github_repository = "octo-org/octo-repo"
  certificate_arn   = "arn:aws:acm:eu-central-1:123456789012:certificate/11111111-2222-3333-4444-555555555555"
}

run "overlapping_networks" {
  command         = plan
  expect_failures = [var.vpc_cidr]
  variables {
    vpc_cidr       = "10.42.0.0/20"
    reserved_cidrs = ["10.0.0.0/8"]
  }
}

run "overlap_the_other_way_round" {
  command         = plan
  expect_failures = [var.vpc_cidr]
  variables {
    vpc_cidr       = "10.42.0.0/16"
    reserved_cidrs = ["10.42.128.0/24"]
  }
}

run "no_network" {
  command         = plan
  expect_failures = [var.vpc_cidr]
  variables { vpc_cidr = "10.42.0.0" }
}

run "vpc_without_subnets" {
  command         = plan
  expect_failures = [var.public_subnet_ids, var.private_subnet_ids]
  variables { vpc_id = "vpc-1" }
}

run "networks_side_by_side" {
  command = plan
  variables { reserved_cidrs = ["10.42.16.0/20", "10.43.0.0/16"] }
}

run "the_whole_internet_and_nobody_asked" {
  command         = plan
  expect_failures = [var.ingress_cidrs]
  variables {
    ingress_cidrs = ["203.0.113.0/24", "0.0.0.0/0"]
    service_auth  = "off"
  }
}

run "tokens_of_nobody" {
  command         = plan
  expect_failures = [var.service_auth]
  variables { service_auth = "oidc" }
}

run "numbers_that_aws_does_not_take" {
  command         = plan
  expect_failures = [var.keep_images, var.keep_live_images, var.service_requests_per_minute]
  variables {
    keep_images                 = 0
    keep_live_images            = 10
    service_requests_per_minute = 0.5
  }
}

run "words_that_nobody_knows" {
  command         = plan
  expect_failures = [var.image_tag_mutability, var.reserved_cidrs, var.alert_emails]
  variables {
    image_tag_mutability = "SOMETIMES"
    reserved_cidrs       = ["the office"]
    alert_emails         = ["the team"]
  }
}
