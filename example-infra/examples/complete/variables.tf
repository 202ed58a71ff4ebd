variable "environment" {
  description = "Which environment this is; everything is named after it, and GitHub's environment of the same name deploys it."
  type        = string

  validation {
    condition     = contains(["staging", "production"], var.environment)
    error_message = "environment must be staging or production."
  }
}

variable "account_id" {
  description = "Account of the environment: Terraform touches no other, whatever the credentials are."
  type        = string
}

variable "region" {
  description = "AWS Region."
  type        = string
  default     = "eu-central-1"
}

variable "github_repository" {
  description = "Repository whose workflows deploy, as OWNER/NAME."
  type        = string
}

variable "create_oidc_provider" {
  description = "false where the account has GitHub's identity provider already, from the other environment for example."
  type        = bool
  default     = true
}

variable "certificate_arn" {
  description = "ACM certificate of the load balancer."
  type        = string
}

variable "ingress_cidrs" {
  description = "Networks that may reach the load balancer."
  type        = list(string)
}

variable "instance_type" {
  description = "GPU instance type."
  type        = string
  default     = "g5.xlarge"
}

variable "model_load_seconds" {
  description = "Longest time from the start of the container to its first healthy answer, measured."
  type        = number
}

variable "tasks" {
  description = "Tasks that run at least; twice as many at most."
  type        = number
  default     = 2
}

variable "alert_emails" {
  description = "Who is told of failures."
  type        = list(string)
}
