# One repository for each service that is built, made here or named (existing_repositories).

locals {
  own_repositories = toset([for name in local.built : name if !contains(keys(var.existing_repositories), name)])
  image_repositories = merge(
    { for service, each in aws_ecr_repository.service : service => { name = each.name, url = each.repository_url, arn = each.arn } },
    { for service, each in data.aws_ecr_repository.existing : service => { name = each.name, url = each.repository_url, arn = each.arn } },
  )
}

data "aws_ecr_repository" "existing" {
  for_each = { for service, name in var.existing_repositories : service => name if contains(local.built, service) }

  name = each.value
}

resource "aws_ecr_repository" "service" {
  for_each = local.own_repositories

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
  for_each = local.own_repositories

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
