variable "name" {
  description = "What the roles are named after: NAME-deploy, NAME-rollback, NAME-plan and NAME-pull-request."
  type        = string
}

variable "github_repository" {
  description = "Repository whose workflows deploy, as OWNER/NAME."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "github_repository must be OWNER/NAME without a wildcard: with one, workflows of other repositories could deploy."
  }
}

variable "github_branch" {
  description = "Branch whose workflows may deploy."
  type        = string
  default     = "main"

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._/-]*$", var.github_branch))
    error_message = "github_branch must be one branch name: with a pattern such as * anybody who may push any branch could deploy. Name the branch, or set github_environment and restrict its branches on GitHub."
  }
}

variable "github_environment" {
  description = "GitHub environment of the deploy job. A job with an environment has it in the token's subject instead of the branch, so then only the environment is trusted: restrict its branches on GitHub."
  type        = string
  default     = null

  validation {
    condition     = var.github_environment == null ? true : can(regex("^[^*?]+$", var.github_environment))
    error_message = "github_environment must be the exact name of one environment, without * or ?."
  }
}

variable "github_reusable_workflow" {
  description = "Reusable workflow that alone may deploy, as OWNER/NAME/.github/workflows/FILE@REF. Needs the subject claim customised on GitHub to repo, context, job_workflow_ref."
  type        = string
  default     = null

  validation {
    condition     = var.github_reusable_workflow == null ? true : can(regex("^[^*?/]+/[^*?/]+/\\.github/workflows/[^*?/]+@[^*?]+$", var.github_reusable_workflow))
    error_message = "github_reusable_workflow must be OWNER/NAME/.github/workflows/FILE@REF, exactly, without * or ?."
  }
}

variable "github_owner_id" {
  description = "Number of the repository's owner. With github_repository_id, the immutable form of the subject is trusted as well; repositories created, renamed or transferred after 15 July 2026 send only that one."
  type        = number
  default     = null

  validation {
    condition     = (var.github_owner_id == null) == (var.github_repository_id == null)
    error_message = "github_owner_id and github_repository_id belong together: give both (gh api repos/OWNER/NAME --jq '.owner.id, .id') or none."
  }

  validation {
    condition     = alltrue([for id in [var.github_owner_id, var.github_repository_id] : try(id > 0 && floor(id) == id, id == null)])
    error_message = "github_owner_id and github_repository_id must be whole numbers from 1 on, as gh api repos/OWNER/NAME --jq '.owner.id, .id' shows them."
  }
}

variable "github_repository_id" {
  description = "Number of the repository, see github_owner_id."
  type        = number
  default     = null
}

variable "create_oidc_provider" {
  description = "Create the account's identity provider for GitHub. false where the account has one: there can be only one."
  type        = bool
  default     = true
}

variable "cluster_name" {
  description = "ECS cluster of the service."
  type        = string
}

variable "service_name" {
  description = "ECS service that the roles may deploy, and no other."
  type        = string
}

variable "service_family" {
  description = "Task definition family of the service."
  type        = string
}

variable "task_families" {
  description = "Families of tasks beside the service that deploy may register and run (`register`, `run-task`)."
  type        = list(string)
  default     = []
}

variable "background_services" {
  description = "Services beside it that deploy, and no other role, gives the same image, such as one that empties a queue. Their families have their names."
  type        = list(string)
  default     = []
}

variable "repository_arn" {
  description = "ECR repository of the service's images."
  type        = string
}

variable "cache_repository_arns" {
  description = "Further ECR repositories that deploy may push to, such as that of the build cache."
  type        = list(string)
  default     = []
}

variable "log_group_arns" {
  description = "Log groups of the tasks, for the logs that a verdict quotes."
  type        = list(string)
}

variable "service_role_arns" {
  description = "Roles that the service's revisions name, execution and task role: deploy and rollback pass them to ECS."
  type        = list(string)
}

variable "task_role_arns" {
  description = "Roles of the tasks of task_families beside those of the service: deploy passes them."
  type        = list(string)
  default     = []
}

variable "secret_arns" {
  description = "Secrets that revisions name: the roles see that they are there, never their values."
  type        = list(string)
  default     = []
}

variable "session_seconds" {
  description = "Longest session of deploy and rollback, as long as a rollout may take."
  type        = number
  default     = 3600
}

variable "deregister_revisions" {
  description = "Let the deploy role deregister old revisions (`keep-revisions`) and see which ones schedules and rules run. AWS cannot restrict deregistering to one family."
  type        = bool
  default     = false
}
