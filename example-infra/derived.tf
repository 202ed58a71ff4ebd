# What the parts have in common. The numbers that follow from others stand with what they are for: health checks and
# rollouts in modules/service/derived.tf, instances in modules/gpu-cluster/derived.tf.

locals {
  ingest_tasks = 1 # one at a time, whatever is uploaded; it must not take the GPU that a rollout counts on
  batch_name   = "${var.name}-batch"

  awsvpc                   = var.network_mode == "awsvpc"
  managed_instances        = var.capacity == "managed-instances"
  requires_compatibilities = local.managed_instances ? null : ["EC2"]

  region    = data.aws_region.current.name
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  dns       = data.aws_partition.current.dns_suffix
  arn       = "arn:${local.partition}"
}
