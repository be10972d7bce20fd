# What GitHub's deploy role may do beside github.tf, in policies of their own (one has 6144 characters at most): where something exists that is named
# (existing.tf, existing_data.tf), and where something is serverless.

locals {
  # Groups of others, into which rules of ours go.
  groups_that_exist = distinct(concat(local.own_balancer ? [] : [local.balancer_group], values(local.existing_groups)))

  # A deploy composes values of passwords that exist, and looks whether those in SSM are there.
  composed_of = toset(flatten([for values in values(local.parts) : flatten([for names in values(values) : names])]))

  more_policies = length(local.github) == 0 ? {} : {
    for name, document in {
      existing   = one(data.aws_iam_policy_document.existing[*].json)
      serverless = one(data.aws_iam_policy_document.serverless[*].json)
    } : name => document if name == "existing" ? local.names_existing : local.has_serverless
  }
  names_existing = !local.own_balancer || length(merge(var.existing_databases, var.existing_caches)) + length(var.existing_repositories) > 0 || var.certificate_domain != null
  has_serverless = length(local.clusters) + length(local.serverless_caches) > 0
}

resource "aws_iam_role_policy_attachment" "more" {
  for_each = local.more_policies

  role       = aws_iam_role.deploy["github"].name
  policy_arn = aws_iam_policy.more[each.key].arn
}

resource "aws_iam_policy" "more" {
  for_each = local.more_policies

  name        = "${local.name}-${each.key}"
  description = "Terraform, applying the files of ${local.name}: what is ${each.key}"
  policy      = each.value

  lifecycle {
    precondition {
      condition     = length(jsonencode(jsondecode(each.value))) <= 6144
      error_message = "IAM takes 6144 characters in a policy, and ${local.name}-${each.key} has ${length(each.value)}: name fewer existing things in one environment."
    }
  }
}

data "aws_iam_policy_document" "existing" {
  count = local.names_existing ? 1 : 0

  # In a listener that exists, rules are made with our tags, and only such ones are changed or deleted. Certificates have no tags.
  dynamic "statement" {
    for_each = data.aws_lb_listener.existing

    content {
      sid       = "CertificatesOfTheListenerThatExists"
      actions   = ["elasticloadbalancing:AddListenerCertificates", "elasticloadbalancing:RemoveListenerCertificates"]
      resources = [statement.value.arn]
    }
  }

  dynamic "statement" {
    for_each = data.aws_lb_listener.existing

    content {
      sid       = "MakeItsRulesWithOurTags"
      actions   = ["elasticloadbalancing:CreateRule"]
      resources = [statement.value.arn]

      dynamic "condition" {
        for_each = local.tags

        content {
          test     = "StringEquals"
          variable = "aws:RequestTag/${condition.key}"
          values   = [condition.value]
        }
      }
    }
  }

  dynamic "statement" {
    for_each = data.aws_lb_listener.existing

    content {
      sid       = "TagItsRulesWhileMaking"
      actions   = ["elasticloadbalancing:AddTags"]
      resources = ["${replace(statement.value.arn, ":listener/", ":listener-rule/")}/*"]

      condition {
        test     = "StringEquals"
        variable = "elasticloadbalancing:CreateAction"
        values   = ["CreateRule"]
      }
    }
  }

  dynamic "statement" {
    for_each = data.aws_lb_listener.existing

    content {
      sid       = "ChangeItsRulesWithOurTags"
      actions   = ["elasticloadbalancing:AddTags", "elasticloadbalancing:DeleteRule", "elasticloadbalancing:ModifyRule", "elasticloadbalancing:RemoveTags"]
      resources = ["${replace(statement.value.arn, ":listener/", ":listener-rule/")}/*"]

      dynamic "condition" {
        for_each = local.tags

        content {
          test     = "StringEquals"
          variable = "aws:ResourceTag/${condition.key}"
          values   = [condition.value]
        }
      }
    }
  }

  dynamic "statement" {
    for_each = length(var.existing_repositories) > 0 ? ["repositories"] : []

    content {
      sid       = "SeeTheRepositoriesThatExist"
      actions   = ["ecr:DescribeRepositories", "ecr:ListTagsForResource"]
      resources = local.repositories
    }
  }

  dynamic "statement" {
    for_each = length([for variable in keys(local.existing_secrets) : variable if contains(keys(local.of_ssm), variable)]) > 0 ? ["passwords"] : []

    content {
      sid       = "ThePasswordsInParametersThatExist"
      actions   = ["ssm:GetParameters"]
      resources = [for variable in keys(local.existing_secrets) : local.of_ssm[variable] if contains(keys(local.of_ssm), variable)]
    }
  }

  dynamic "statement" {
    for_each = length(setintersection(keys(local.of_manager), local.composed_of)) > 0 ? ["passwords"] : []

    content {
      sid       = "ThePasswordsInSecretsThatExist"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = [for variable in setintersection(keys(local.of_manager), local.composed_of) : local.of_manager[variable]]
    }
  }

  dynamic "statement" {
    for_each = length(setintersection(keys(local.keys_of), local.composed_of)) > 0 ? ["keys"] : []

    content {
      sid       = "TheKeysOfThesePasswords"
      actions   = ["kms:Decrypt"]
      resources = distinct([for variable in setintersection(keys(local.keys_of), local.composed_of) : local.keys_of[variable]])
    }
  }

  # Our rules in groups that exist have our tags; the others' are not named by this.
  dynamic "statement" {
    for_each = length(local.groups_that_exist) > 0 ? ["groups"] : []

    content {
      sid       = "RulesInGroupsThatExist"
      actions   = concat([for action in local.ruled : "ec2:${action}"], ["ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress"])
      resources = [for id in local.groups_that_exist : "arn:aws:ec2:${local.here}:security-group/${id}"]
    }
  }

  dynamic "statement" {
    for_each = data.aws_acm_certificate.existing

    content {
      sid       = "FindTheCertificate"
      actions   = ["acm:DescribeCertificate", "acm:GetCertificate", "acm:ListCertificates", "acm:ListTagsForCertificate"]
      resources = ["*"]
    }
  }
}

# By name, as in github.tf.
data "aws_iam_policy_document" "serverless" {
  count = local.has_serverless ? 1 : 0

  statement {
    sid = "ByName"
    actions = [
      "elasticache:*", "logs:*", "rds:AddTagsToResource", "rds:Create*", "rds:DeleteDBCluster", "rds:DeleteDBClusterParameterGroup", "rds:DeleteDBInstance",
      "rds:ListTagsForResource", "rds:ModifyDBCluster", "rds:ModifyDBClusterParameterGroup", "rds:ModifyDBInstance", "rds:RemoveTagsFromResource",
      "rds:ResetDBClusterParameterGroup", "rds:RestoreDBClusterFromSnapshot",
    ]
    resources = [
      for name in [
        "elasticache:%s:serverlesscache:${local.name}-*", "elasticache:%s:user:${local.name}-*", "elasticache:%s:usergroup:${local.name}-*",
        "logs:%s:log-group:/aws/rds/cluster/${local.name}-*", "rds:%s:cluster:${local.name}-*", "rds:%s:cluster-pg:${local.name}-*",
        "rds:%s:cluster-snapshot:${local.name}-*", "rds:%s:db:${local.name}-*", "rds:%s:subgrp:${local.name}",
      ] : "arn:aws:${format(name, local.here)}"
    ]
  }
}
