# What ECS may do to start a task, and what a task itself may do. GitHub's roles: github.tf.

data "aws_iam_policy_document" "tasks_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

# --- ECS, starting a task: this stack's images, log groups and parameters --------------------------------------

resource "aws_iam_role" "execution" {
  name                 = "${local.name}-execution"
  description          = "ECS, starting tasks of ${local.name}"
  assume_role_policy   = data.aws_iam_policy_document.tasks_trust.json
  permissions_boundary = aws_iam_policy.boundary.arn
}

resource "aws_iam_role_policy" "execution" {
  name   = "start-tasks"
  role   = aws_iam_role.execution.name
  policy = data.aws_iam_policy_document.execution.json
}

data "aws_iam_policy_document" "execution" {
  statement {
    sid       = "LogInToTheRegistry"
    actions   = ["ecr:GetAuthorizationToken"] # knows no resources
    resources = ["*"]
  }

  dynamic "statement" {
    for_each = length(local.built) > 0 ? ["images"] : [] # IAM refuses a statement about nothing

    content {
      sid       = "PullImages"
      actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources = [for repository in local.image_repositories : repository.arn]
    }
  }

  statement {
    sid       = "WriteLogs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = [for name in keys(local.services) : "${aws_cloudwatch_log_group.service[name].arn}:*"]
  }

  dynamic "statement" {
    for_each = length([for variable in local.read_by_services : variable if contains(keys(local.of_ssm), variable)]) > 0 ? ["secrets"] : []

    content {
      sid       = "ReadSecrets"
      actions   = ["ssm:GetParameters"]
      resources = [for variable in local.read_by_services : local.of_ssm[variable] if contains(keys(local.of_ssm), variable)]
    }
  }

  dynamic "statement" {
    for_each = length([for variable in local.read_by_services : variable if contains(keys(local.of_manager), variable)]) > 0 ? ["secrets"] : []

    content {
      sid       = "ReadSecretsOfSecretsManager"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = [for variable in local.read_by_services : local.of_manager[variable] if contains(keys(local.of_manager), variable)]
    }
  }

  statement {
    sid       = "DecryptSecretsAndImages"
    actions   = ["kms:Decrypt"]
    resources = distinct(concat([aws_kms_key.main.arn], [for variable in local.read_by_services : local.keys_of[variable] if contains(keys(local.keys_of), variable)]))
  }
}

# --- ECS, starting a job: what that job alone reads, such as the password of a database's owner ------------------

resource "aws_iam_role" "job_execution" {
  for_each = local.jobs

  name                 = "${local.name}-${each.key}-execution"
  description          = "ECS, starting tasks of ${each.key}"
  assume_role_policy   = data.aws_iam_policy_document.tasks_trust.json
  permissions_boundary = aws_iam_policy.boundary.arn
}

resource "aws_iam_role_policy" "job_execution" {
  for_each = local.jobs

  name   = "start-tasks"
  role   = aws_iam_role.job_execution[each.key].name
  policy = data.aws_iam_policy_document.job_execution[each.key].json
}

data "aws_iam_policy_document" "job_execution" {
  for_each = local.jobs

  statement {
    sid       = "LogInToTheRegistry"
    actions   = ["ecr:GetAuthorizationToken"] # knows no resources
    resources = ["*"]
  }

  dynamic "statement" {
    for_each = toset([for name in [local.image_of[each.key]] : name if name != null && contains(local.built, coalesce(name, "-"))])

    content {
      actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources = [local.image_repositories[statement.value].arn]
    }
  }

  statement {
    sid       = "WriteLogs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.service[each.key].arn}:*"]
  }

  dynamic "statement" {
    for_each = length([for variable in local.read_by_jobs[each.key] : variable if contains(keys(local.of_ssm), variable)]) > 0 ? ["secrets"] : []

    content {
      sid       = "ReadSecrets"
      actions   = ["ssm:GetParameters"]
      resources = [for variable in local.read_by_jobs[each.key] : local.of_ssm[variable] if contains(keys(local.of_ssm), variable)]
    }
  }

  dynamic "statement" {
    for_each = length([for variable in local.read_by_jobs[each.key] : variable if contains(keys(local.of_manager), variable)]) > 0 ? ["secrets"] : []

    content {
      sid       = "ReadSecretsOfSecretsManager"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = [for variable in local.read_by_jobs[each.key] : local.of_manager[variable] if contains(keys(local.of_manager), variable)]
    }
  }

  statement {
    sid       = "DecryptSecretsAndImages"
    actions   = ["kms:Decrypt"]
    resources = distinct(concat([aws_kms_key.main.arn], [for variable in local.read_by_jobs[each.key] : local.keys_of[variable] if contains(keys(local.keys_of), variable)]))
  }
}

# --- A task itself: nothing, except a shell where that is allowed ----------------------------------------------

resource "aws_iam_role" "task" {
  for_each = local.tasks

  name                 = "${local.name}-${each.key}-task"
  description          = "Tasks of ${each.key}"
  assume_role_policy   = data.aws_iam_policy_document.tasks_trust.json
  permissions_boundary = aws_iam_policy.boundary.arn
}

resource "aws_iam_role_policy" "exec" {
  for_each = toset(var.exec ? keys(local.services) : [])

  name   = "exec"
  role   = aws_iam_role.task[each.key].name
  policy = data.aws_iam_policy_document.exec.json
}

data "aws_iam_policy_document" "exec" {
  statement {
    sid       = "SessionOfAShell"
    actions   = ["ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"]
    resources = ["*"] # these actions know no resources
  }

  statement {
    sid       = "LookWhetherTheRecordIsEncrypted"
    actions   = ["logs:DescribeLogGroups"]
    resources = ["*"] # AWS asks for it on all groups
  }

  statement {
    sid       = "RecordIt"
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.exec.arn}:*"]
  }

  statement {
    sid       = "EncryptIt"
    actions   = ["kms:Decrypt"]
    resources = [aws_kms_key.main.arn]
  }
}

# --- The boundary of every task role, whoever writes its policies ---------------------------------------------

resource "aws_iam_policy" "boundary" {
  name        = "${local.name}-boundary"
  description = "The most that a role of ${local.name} can do"
  policy      = data.aws_iam_policy_document.boundary.json
}

data "aws_iam_policy_document" "boundary" {
  statement {
    sid = "ImagesAndShells"
    actions = [
      "ecr:GetAuthorizationToken", "logs:DescribeLogGroups", "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel",
      "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
    ]
    resources = ["*"] # these actions know no resources, or are asked for on all
  }

  statement {
    sid       = "TheImagesOfThisStack"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = local.repositories
  }

  statement {
    sid       = "TheLogsOfThisStack"
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = ["arn:aws:logs:${var.region}:${local.account}:log-group:/${var.stack}/${var.environment}/*"]
  }

  statement {
    sid       = "TheSecretsOfThisStack"
    actions   = ["ssm:GetParameters"]
    resources = concat(["arn:aws:ssm:${var.region}:${local.account}:parameter/${var.stack}/${var.environment}/*"], [for variable in keys(local.existing_secrets) : local.of_ssm[variable] if contains(keys(local.of_ssm), variable)])
  }

  dynamic "statement" {
    for_each = length(local.of_manager) > 0 ? ["existing"] : []

    content {
      sid       = "ThePasswordsOfWhatExists"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = values(local.of_manager)
    }
  }

  statement {
    sid       = "TheKeyOfThisStack"
    actions   = ["kms:Decrypt"]
    resources = distinct(concat([aws_kms_key.main.arn], values(local.keys_of)))
  }

  # Only the roles of schedules have a policy for it: jobs.tf.
  statement {
    sid       = "TheJobsOfThisStack"
    actions   = ["ecs:RunTask", "ecs:TagResource"]
    resources = [for kind in ["task-definition/${local.name}-*", "task/${local.name}/*"] : "arn:aws:ecs:${local.here}:${kind}"]
  }

  statement {
    sid       = "AsTheRolesOfItsTasks"
    actions   = ["iam:PassRole"]
    resources = [for name in ["*-task", "*-execution"] : "arn:aws:iam::${local.account}:role/${local.name}-${name}"]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }
}
