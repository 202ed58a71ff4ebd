# What AWS would answer in eu-central-1 about a g5.xlarge.

mock_data "aws_ec2_instance_type" {
  defaults = {
    default_vcpus = 4
    memory_size   = 16384
    gpus          = [{ count = 1, manufacturer = "NVIDIA", memory_size = 24576, name = "A10G" }]
  }
}

mock_data "aws_availability_zones" {
  defaults = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
}

mock_data "aws_partition" {
  defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
}

mock_data "aws_caller_identity" {
  defaults = { account_id = "123456789012" }
}

mock_data "aws_region" {
  defaults = { name = "eu-central-1" }
}

mock_data "aws_ssm_parameter" {
  defaults = { value = "ami-0123456789abcdef0" }
}
