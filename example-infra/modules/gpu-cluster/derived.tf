# How many instances, and how large their disks.

locals {
  gpus_per_instance     = try(one(data.aws_ec2_instance_type.gpu.gpus).count, 0)
  tasks_per_instance    = max(1, floor(local.gpus_per_instance / var.gpus_per_task))
  instances_for_desired = ceil(var.tasks / local.tasks_per_instance)
  instances_for_rollout = ceil((var.tasks + var.spare_tasks) / local.tasks_per_instance)
  # The service at its most, its rollout included, and what else wants a GPU meanwhile: none of them waits for another.
  most_instances = ceil((var.most_tasks + var.other_tasks) / local.tasks_per_instance)

  # New instances replace old ones as new tasks do: where a rollout has spare instances they come first, otherwise one
  # makes room.
  spare_instances         = local.instances_for_rollout - local.instances_for_desired
  refresh_minimum_percent = local.spare_instances > 0 ? 100 : floor(100 * (local.instances_for_desired - 1) / local.instances_for_desired)
  refresh_maximum_percent = local.spare_instances > 0 ? min(200, ceil(100 * local.instances_for_rollout / local.instances_for_desired)) : 100

  # targetCapacity under 100 % keeps instances beyond those in use. Rounded up: one percent less than the exact
  # share would launch one instance more.
  target_capacity = var.keep_spare_warm ? ceil(100 * local.instances_for_desired / local.instances_for_rollout) : 100

  # ECR's sizes are compressed; unpacked images are about 2.5 times as large, and the disk holds the old one,
  # the new one and the batch task's.
  root_volume_gb = 30 + ceil(3 * 2.5 * var.image_gb)
}

data "aws_ec2_instance_type" "gpu" {
  instance_type = var.instance_type

  lifecycle {
    postcondition {
      condition     = length(self.gpus) > 0 && sum(concat([0], [for gpu in self.gpus : gpu.count if gpu.manufacturer == "NVIDIA"])) >= var.gpus_per_task
      error_message = "One task needs ${var.gpus_per_task} GPUs on one instance, but ${var.instance_type} has fewer NVIDIA GPUs than that: no task could ever be placed. Choose a larger instance_type or lower gpus_per_task."
    }

    postcondition {
      condition     = self.memory_size * 0.93 >= var.task_memory * max(1, floor(try(one(self.gpus).count, 1) / var.gpus_per_task)) && self.default_vcpus * 1024 >= var.task_cpu * max(1, floor(try(one(self.gpus).count, 1) / var.gpus_per_task))
      error_message = "task_cpu and task_memory do not fit ${var.instance_type} once for each task that its GPUs could run: GPUs would stay unused. Lower them or choose another instance_type."
    }
  }
}
