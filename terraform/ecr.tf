# One repository for each service that is built.

resource "aws_ecr_repository" "service" {
  for_each = local.built

  name                 = "${local.name}/${each.key}"
  image_tag_mutability = "IMMUTABLE"
  force_delete         = !var.deletion_protection

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = aws_kms_key.main.arn
  }
}

# By number, never by age: however old the last good release is, a rollback finds its image.
resource "aws_ecr_lifecycle_policy" "service" {
  for_each = local.built

  repository = aws_ecr_repository.service[each.key].name
  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "What has no tag after a week was never a release"
        selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 7 }
        action       = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "The last ${var.kept_images} images stay, each with its signature, which ECR counts as one"
        selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 2 * var.kept_images }
        action       = { type = "expire" }
      },
    ]
  })
}
