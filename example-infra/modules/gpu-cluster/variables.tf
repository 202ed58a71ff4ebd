variable "name" {
  description = "What roles, launch template and Auto Scaling group are named after."
  type        = string
}

variable "cluster_name" {
  description = "Name of the ECS cluster."
  type        = string
  default     = "ki-cluster"

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9_-]{0,63}$", var.cluster_name)) && !can(regex("^(aws|ecs|fargate)", lower(var.cluster_name)))
    error_message = "cluster_name must be 1 to 64 letters, digits, hyphens and underscores and must not begin with aws, ecs or fargate: the capacity provider is named after it."
  }
}

variable "subnet_ids" {
  description = "Subnets of the instances; they must reach ECR, S3, CloudWatch Logs and ECS."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Security groups of the instances."
  type        = list(string)
}

variable "capacity" {
  description = "Where tasks run: `ec2` (Auto Scaling group with a capacity provider) or `managed-instances` (ECS Managed Instances)."
  type        = string
  default     = "ec2"

  validation {
    condition     = contains(["ec2", "managed-instances"], var.capacity)
    error_message = "capacity must be ec2 or managed-instances; Fargate has no GPU."
  }
}

variable "instance_type" {
  description = "GPU instance type."
  type        = string
  default     = "g5.xlarge"

  validation {
    condition     = can(regex("^(g[3-9][a-z]*|gr[0-9][a-z]*|p[2-9][a-z]*(-[a-z0-9]+)?)\\.[a-z0-9]+$", var.instance_type)) && !can(regex("^(g4ad|g5g|p6e-gb200)\\.", var.instance_type))
    error_message = "instance_type must have an NVIDIA GPU and an x86 processor, such as g4dn.xlarge, g5.xlarge, g6.xlarge or p4d.24xlarge: on another type the task waits for ever for RESOURCE:GPU (g4ad has AMD GPUs, g5g is Arm)."
  }
}

variable "gpus_per_task" {
  description = "GPUs of one task; all of them must be on one instance."
  type        = number
  default     = 1

  validation {
    condition     = var.gpus_per_task >= 1 && floor(var.gpus_per_task) == var.gpus_per_task
    error_message = "gpus_per_task must be a whole number from 1 on: a task without a GPU needs no GPU instance."
  }
}

variable "ami_id" {
  description = "AMI of the instances. Default: the newest ECS-optimized GPU AMI of Amazon Linux 2023."
  type        = string
  default     = null

  validation {
    condition     = var.ami_id == null || var.capacity == "ec2"
    error_message = "ami_id goes with capacity = \"ec2\": ECS chooses the image of managed-instances itself."
  }
}

variable "image_gb" {
  description = "Compressed size of the service's image in GB, as ECR shows it; the root volume is sized for it."
  type        = number
  default     = 4

  validation {
    condition     = var.image_gb > 0 && var.image_gb <= 100
    error_message = "image_gb must be more than 0 and at most 100."
  }
}

variable "task_cpu" {
  description = "CPU units of a task (1024 = one vCPU)."
  type        = number
}

variable "task_memory" {
  description = "Memory of a task in MiB."
  type        = number
}

variable "tasks" {
  description = "Tasks of the service, the least that run."
  type        = number
}

variable "most_tasks" {
  description = "Tasks of the service, the most that run at a time: a rollout while autoscaling runs the most."
  type        = number
}

variable "spare_tasks" {
  description = "Tasks that a rollout runs beside them."
  type        = number
  default     = 0
}

variable "other_tasks" {
  description = "Tasks beside the service that want a GPU, such as an ingest: they must not take the one that a rollout counts on."
  type        = number
  default     = 0
}

variable "keep_spare_warm" {
  description = "Keep the instances of spare_tasks running between rollouts. false: each rollout first waits some minutes for its instance."
  type        = bool
  default     = false

  validation {
    condition     = !(var.keep_spare_warm && (var.spare_tasks == 0 || var.capacity != "ec2"))
    error_message = "keep_spare_warm needs a spare and instances of one's own: without spare_gpus there is nothing to keep, and managed-instances keep none."
  }
}

variable "spot" {
  description = "Use Spot Instances: about 60 % cheaper, ended with two minutes' notice."
  type        = bool
  default     = false
}

variable "warm_pool_size" {
  description = "Stopped instances kept ready (they cost their volumes only); 0 for none. Not with spot."
  type        = number
  default     = 0

  validation {
    condition     = var.warm_pool_size >= 0 && !(var.warm_pool_size > 0 && (var.spot || var.capacity != "ec2"))
    error_message = "warm_pool_size must be 0 with spot or managed-instances: EC2 Auto Scaling has no warm pool there."
  }
}

variable "container_insights" {
  description = "Container Insights of the cluster: enhanced, enabled or disabled."
  type        = string
  default     = "enhanced"

  validation {
    condition     = contains(["enhanced", "enabled", "disabled"], var.container_insights)
    error_message = "container_insights must be enhanced, enabled or disabled."
  }
}

variable "ready_seconds" {
  description = "From the launch of an instance to a task on it that answers: how long a replacement of instances waits before it goes on."
  type        = number
  default     = 300
}

variable "refresh_alarms" {
  description = "Alarms that end a replacement of instances and undo it."
  type        = list(string)
  default     = []
}

variable "session_manager" {
  description = "Let people open a shell on the instances with Session Manager: no key, no open port. Who may is whom you give the policy sessions_policy_arn."
  type        = bool
  default     = false

  validation {
    condition     = !var.session_manager || var.capacity == "ec2"
    error_message = "session_manager goes with capacity = \"ec2\": nobody signs in to managed-instances."
  }
}
