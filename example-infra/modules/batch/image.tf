# The image is the deployer's, everything else Terraform's: what is changed here becomes a new revision with the image of
# the family's newest one. Before there is one it is that of var.container.

data "aws_resourcegroupstaggingapi_resources" "revisions" {
  resource_type_filters = ["ecs:task-definition"]

  tag_filter {
    key    = "TaskFamily"
    values = [var.name]
  }
}

data "aws_ecs_task_definition" "newest" {
  count           = length(data.aws_resourcegroupstaggingapi_resources.revisions.resource_tag_mapping_list) > 0 ? 1 : 0
  task_definition = var.name
}

locals {
  image = try(jsondecode(data.aws_ecs_task_definition.newest[0].container_definitions)[0].image, var.container.image)
}
