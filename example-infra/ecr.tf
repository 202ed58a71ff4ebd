# Images of the service and of the batch task, and layers that builds leave for the next build.

resource "aws_ecr_repository" "service" {
  # checkov:skip=CKV_AWS_136: encrypted with AES256; kms_key_arn chooses a key of one's own
  # checkov:skip=CKV_AWS_51: immutable unless image_tag_mutability asks for the pattern with `latest`
  name                 = var.name
  image_tag_mutability = var.image_tag_mutability
  force_delete         = !var.deletion_protection

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = var.kms_key_arn == null ? "AES256" : "KMS"
    kms_key         = var.kms_key_arn
  }
}

# ECR does not know what ECS runs. So what ran gets a tag live-… (the printed workflow sets it after a successful
# deployment), and a rule of higher priority shields those images from the one that clears the rest away.
resource "aws_ecr_lifecycle_policy" "service" {
  repository = aws_ecr_repository.service.name

  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "What ran (tag live-...) stays: it runs still, or a rollback goes back to it"
        selection = {
          tagStatus      = "tagged"
          tagPatternList = ["live-*"]
          countType      = "imageCountMoreThan"
          countNumber    = var.keep_live_images
        }
        action = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "latest stays"
        selection = {
          tagStatus      = "tagged"
          tagPatternList = ["latest"]
          countType      = "imageCountMoreThan"
          countNumber    = 1
        }
        action = { type = "expire" }
      },
      {
        rulePriority = 3
        description  = "Of what never ran, the newest stay"
        selection = {
          tagStatus      = "tagged"
          tagPatternList = ["*"]
          countType      = "imageCountMoreThan"
          countNumber    = var.keep_images
        }
        action = { type = "expire" }
      },
      {
        rulePriority = 4
        description  = "Without a tag nobody runs it: revisions name images by a tag that cannot move"
        selection = {
          tagStatus   = "untagged"
          countType   = "sinceImagePushed"
          countUnit   = "days"
          countNumber = 14
        }
        action = { type = "expire" }
      },
    ]
  })
}

resource "aws_ecr_repository" "cache" {
  # checkov:skip=CKV_AWS_51: the build cache is one tag that every build moves
  # checkov:skip=CKV_AWS_136: encrypted with AES256; kms_key_arn chooses a key of one's own
  # checkov:skip=CKV_AWS_163: holds layers of builds, no image that anybody runs
  name                 = "${var.name}-cache"
  image_tag_mutability = "MUTABLE"
  force_delete         = true

  image_scanning_configuration {
    scan_on_push = false
  }

  encryption_configuration {
    encryption_type = var.kms_key_arn == null ? "AES256" : "KMS"
    kms_key         = var.kms_key_arn
  }
}

resource "aws_ecr_lifecycle_policy" "cache" {
  repository = aws_ecr_repository.cache.name

  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "Layers of earlier builds"
        selection = {
          tagStatus   = "untagged"
          countType   = "sinceImagePushed"
          countUnit   = "days"
          countNumber = 1
        }
        action = { type = "expire" }
      },
    ]
  })
}
