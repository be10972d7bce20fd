# What workflows of one GitHub repository may do here. There is no key: GitHub identifies the workflow, for the length of one job.
#
#   plan     any pull request: reads the state and the release that runs, and compares both with the files; it reads no secret
#   deploy   only a job of the GitHub environment with this environment's name, which GitHub guards with its reviewers, in main's deploy.yml

locals {
  github = var.github_repository == null ? [] : ["github"]

  # With `github_ids` only "repo:owner@1/name@2:", which nobody can take over by registering the name again; else "repo:owner/name:".
  github_owner_name = split("/", coalesce(var.github_repository, "/"))
  github_subject    = var.github_ids == null ? "repo:${join("/", local.github_owner_name)}" : "repo:${local.github_owner_name[0]}@${var.github_ids.owner}/${local.github_owner_name[1]}@${var.github_ids.repository}"

  github_claims = {
    plan = { sub = "${local.github_subject}:pull_request" }
    deploy = merge(
      { sub = "${local.github_subject}:environment:${var.environment}" },
      # The job must be in this file of main, not in a file of another branch or repository.
      var.github_workflow == null ? {} : { job_workflow_ref = "${join("/", local.github_owner_name)}/${coalesce(var.github_workflow, "-")}" },
    )
  }

  state_bucket = "arn:aws:s3:::${var.stack}-${var.environment}-${var.account_id}-${var.region}"
}

resource "aws_iam_openid_connect_provider" "github" {
  for_each = toset(var.github_provider_arn == null ? local.github : [])

  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

data "aws_iam_policy_document" "github_trust" {
  #checkov:skip=CKV_AWS_358: the subjects are complete, without a wildcard (tests/terraform checks them); it does not know the newer form
  for_each = { for role, claims in local.github_claims : role => claims if length(local.github) > 0 }

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [var.github_provider_arn != null ? var.github_provider_arn : aws_iam_openid_connect_provider.github["github"].arn]
    }

    dynamic "condition" {
      for_each = merge({ aud = "sts.amazonaws.com" }, each.value)

      content {
        test     = "StringEquals"
        variable = "token.actions.githubusercontent.com:${condition.key}"
        values   = [condition.value]
      }
    }
  }
}

# --- plan ------------------------------------------------------------------------------------------------------

resource "aws_iam_role" "plan" {
  for_each = toset(local.github)

  name               = "${local.name}-github-plan"
  description        = "Pull requests: what would change"
  assume_role_policy = data.aws_iam_policy_document.github_trust["plan"].json
}

resource "aws_iam_role_policy" "plan" {
  for_each = toset(local.github)

  name   = "read-the-state"
  role   = aws_iam_role.plan[each.key].name
  policy = data.aws_iam_policy_document.plan.json
}

# Only what `playbooks/plan.yml` requests without a refresh: tests/cloud/test_plan.py compares the two.
data "aws_iam_policy_document" "plan" {
  statement {
    sid       = "ReadTheStateAndTheRelease"
    actions   = ["s3:GetObject"]
    resources = ["${local.state_bucket}/terraform.tfstate", "${local.state_bucket}/current.json"]
  }

  statement {
    sid       = "FindThem"
    actions   = ["s3:ListBucket"]
    resources = [local.state_bucket]
  }

  statement {
    sid       = "KnowTheZonesAndWhatRuns"
    actions   = ["ec2:DescribeAvailabilityZones", "ecs:DescribeTaskDefinition"] # know no resources
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "aws:RequestedRegion"
      values   = [var.region]
    }
  }

  dynamic "statement" {
    for_each = local.own_network ? [] : ["network"]

    content {
      sid       = "SeeTheNetworkThatExists"
      actions   = ["ec2:DescribeSubnets", "ec2:DescribeVpcAttribute", "ec2:DescribeVpcs"] # know no resources
      resources = ["*"]
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
    for_each = length(local.existing_databases) > 0 ? ["databases"] : []

    content {
      sid       = "SeeTheDatabasesThatExist"
      actions   = ["rds:DescribeDBClusters", "rds:DescribeDBInstances", "rds:ListTagsForResource"]
      resources = ["*"]
    }
  }

  dynamic "statement" {
    for_each = length(local.existing_caches) > 0 ? ["caches"] : []

    content {
      sid = "SeeTheCachesThatExist"
      actions = [
        "elasticache:DescribeCacheClusters", "elasticache:DescribeReplicationGroups", "elasticache:DescribeServerlessCaches", "elasticache:ListTagsForResource",
      ]
      resources = ["*"]
    }
  }

  dynamic "statement" {
    for_each = local.own_balancer ? [] : ["load balancer"]

    content {
      sid = "SeeTheLoadBalancerThatExists"
      actions = [
        "elasticloadbalancing:DescribeListenerAttributes", "elasticloadbalancing:DescribeListeners", "elasticloadbalancing:DescribeLoadBalancerAttributes",
        "elasticloadbalancing:DescribeLoadBalancers", "elasticloadbalancing:DescribeTags",
      ]
      resources = ["*"] # know no resources
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

  dynamic "statement" {
    for_each = data.aws_route53_zone.existing

    content {
      sid       = "SeeTheZoneThatExists"
      actions   = ["route53:GetHostedZone", "route53:ListHostedZones", "route53:ListTagsForResource"]
      resources = ["*"]
    }
  }

  statement {
    sid       = "SeeWhetherItRuns"
    actions   = ["ecs:DescribeServices"]
    resources = ["arn:aws:ecs:${local.here}:service/${local.name}/*"]
  }

  statement {
    sid       = "SeeWhetherItIsBuilt"
    actions   = ["ecr:DescribeImages"]
    resources = local.repositories
  }
}

# --- deploy: a release -----------------------------------------------------------------------------------------

resource "aws_iam_role" "deploy" {
  for_each = toset(local.github)

  name                 = "${local.name}-github-deploy"
  description          = "Jobs of the GitHub environment ${var.environment}"
  assume_role_policy   = data.aws_iam_policy_document.github_trust["deploy"].json
  max_session_duration = 7200
}

resource "aws_iam_role_policy" "release" {
  for_each = toset(local.github)

  name   = "release"
  role   = aws_iam_role.deploy[each.key].name
  policy = data.aws_iam_policy_document.release.json
}

# By name patterns that fit any Compose file: adding a service does not change the policy, which the role itself may not change.
data "aws_iam_policy_document" "release" {
  statement {
    sid       = "StateLeaseAndReleases"
    actions   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
    resources = [for key in ["terraform.tfstate", "terraform.tfstate.tflock", "lease.json", "releases/*", "current.json", "restore.json"] : "${local.state_bucket}/${key}"]
  }

  statement {
    sid       = "TheBucketOfThem"
    actions   = ["s3:GetBucketVersioning", "s3:ListBucket"]
    resources = [local.state_bucket]
  }

  statement {
    sid       = "LogInToTheRegistry"
    actions   = ["ecr:GetAuthorizationToken"] # knows no resources
    resources = ["*"]
  }

  statement {
    sid = "PushImages"
    actions = [
      "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:DescribeImageScanFindings", "ecr:DescribeImages",
      "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart",
    ]
    resources = local.repositories
  }

  statement {
    sid       = "TaskDefinitions"
    actions   = ["ecs:DescribeTaskDefinition", "ecs:RegisterTaskDefinition"] # know no resources
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "aws:RequestedRegion"
      values   = [var.region]
    }
  }

  statement {
    sid       = "RunThem"
    actions   = ["ecs:DescribeServices", "ecs:DescribeTasks", "ecs:ListServices", "ecs:ListTasks", "ecs:RunTask", "ecs:StopTask", "ecs:TagResource", "ecs:UpdateService"]
    resources = ["*"]

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [aws_ecs_cluster.main.arn]
    }
  }

  statement {
    sid       = "OnlyAsTheRolesOfItsTasks"
    actions   = ["iam:PassRole"]
    resources = [for role in local.bounded_roles : role if !endswith(role, "-schedule")]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }

  # What a schedule starts; when, only Terraform changes.
  statement {
    sid       = "Schedules"
    actions   = ["scheduler:GetSchedule", "scheduler:UpdateSchedule"]
    resources = ["arn:aws:scheduler:${local.here}:schedule/${local.name}/*"]
  }

  statement {
    sid       = "OnlyAsTheRolesOfTheirSchedules"
    actions   = ["iam:PassRole"]
    resources = ["arn:aws:iam::${var.account_id}:role/${local.name}-*-schedule"]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["scheduler.amazonaws.com"]
    }
  }

  statement {
    sid       = "SeeHowTheyAre"
    actions   = ["logs:FilterLogEvents", "logs:GetLogEvents"]
    resources = ["arn:aws:logs:${local.here}:log-group:/${var.stack}/${var.environment}/*"]
  }

  statement {
    sid       = "SeeWhetherTheyAnswer"
    actions   = ["elasticloadbalancing:DescribeTargetHealth"] # knows no resources
    resources = ["*"]
  }

  # By its alias, which this role cannot move: the key is made by ./inv bootstrap, and everybody verifies with its public half in git.
  statement {
    sid       = "SignWhatItBuilds"
    actions   = ["kms:GetPublicKey", "kms:Sign"]
    resources = ["arn:aws:kms:${local.here}:key/*"]

    condition {
      test     = "StringEquals"
      variable = "kms:RequestAlias"
      values   = ["alias/${local.name}-signing"]
    }
  }

  statement {
    sid       = "ImagesAreEncrypted"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.main.arn]
  }
}

# --- deploy: the infrastructure --------------------------------------------------------------------------------

# The resources of this environment: in its region, by its names where AWS supports names. Roles only within the boundary.
resource "aws_iam_role_policy_attachment" "infrastructure" {
  for_each = toset(local.github)

  role       = aws_iam_role.deploy[each.key].name
  policy_arn = aws_iam_policy.infrastructure[each.key].arn
}

resource "aws_iam_policy" "infrastructure" {
  for_each = toset(local.github)

  name        = "${local.name}-infrastructure"
  description = "Terraform, applying the files of ${local.name}"
  policy      = data.aws_iam_policy_document.infrastructure.json
}

data "aws_iam_policy_document" "infrastructure" {
  statement {
    sid = "ByName"
    actions = [
      "cloudwatch:*", "ecr:*", "ecs:*", "elasticache:*", "elasticloadbalancing:*", "events:*", "logs:*", "s3:*", "scheduler:*", "sns:*", "ssm:*",
      "rds:AddTagsToResource", "rds:CopyDBSnapshot", "rds:Create*", "rds:DeleteDBInstance", "rds:DeleteDBParameterGroup", "rds:DeleteDBSubnetGroup",
      "rds:ListTagsForResource", "rds:ModifyDBInstance", "rds:ModifyDBParameterGroup", "rds:ModifyDBSubnetGroup", "rds:RebootDBInstance",
      "rds:RemoveTagsFromResource", "rds:ResetDBParameterGroup", "rds:RestoreDBInstance*",
    ]
    resources = flatten([
      "arn:aws:s3:::${local.name}-${var.account_id}-access-logs", "arn:aws:s3:::${local.name}-${var.account_id}-access-logs/*",
      "arn:aws:cloudwatch::${var.account_id}:dashboard/${local.name}",
      [for name in [
        "cloudwatch:%s:alarm:${local.name}-*", "ecr:%s:repository/${local.name}/*",
        "ecs:%s:cluster/${local.name}", "ecs:%s:service/${local.name}/*", "ecs:%s:task-definition/${local.name}-*", "ecs:%s:task/${local.name}/*",
        "elasticache:%s:parametergroup:${local.name}-*", "elasticache:%s:replicationgroup:${local.name}-*", "elasticache:%s:subnetgroup:${local.name}",
        "elasticache:%s:cluster:${local.name}-*", "elasticloadbalancing:%s:loadbalancer/app/${local.name}/*",
        "elasticloadbalancing:%s:targetgroup/${local.name}-*", "elasticloadbalancing:%s:listener/app/${local.name}/*",
        "elasticloadbalancing:%s:listener-rule/app/${local.name}/*", "events:%s:rule/${local.name}-*",
        "logs:%s:log-group:/${var.stack}/${var.environment}/*", "logs:%s:log-group:/aws/rds/instance/${local.name}-*", "rds:%s:db:${local.name}-*", "rds:%s:pg:${local.name}-*",
        "rds:%s:subgrp:${local.name}", "rds:%s:snapshot:${local.name}-*", "rds:%s:snapshot:rds:${local.name}-*", "scheduler:%s:schedule/${local.name}/*", "scheduler:%s:schedule-group/${local.name}", "sns:%s:${local.name}-*", "ssm:%s:parameter/${var.stack}/${var.environment}/*",
      ] : "arn:aws:${format(name, local.here)}"],
    ])
  }

  statement {
    sid = "LookAround"
    actions = [
      "application-autoscaling:Describe*", "application-autoscaling:ListTagsForResource", "cloudwatch:Describe*", "ec2:Describe*", "ecs:Describe*",
      "elasticache:Describe*", "elasticloadbalancing:Describe*", "kms:ListAliases", "logs:Describe*", "rds:Describe*",
      "servicediscovery:Get*", "servicediscovery:List*", "ssm:DescribeParameters",
    ]
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "aws:RequestedRegion"
      values   = [var.region]
    }
  }

  # Parts of networks and keys have numbers, not names: the tags that Terraform gives them identify the owner. Whoever
  # may tag an existing resource may do anything with it, so a new resource gets our tags when it is created, and only tagged ones may be
  # changed later. New resources have no tags yet; those of other environments have other tags. EC2 says below what a tag is for, others do not.
  statement {
    sid = "MakeWithOurTags"
    actions = concat([for action in local.made : "ec2:${action}"], [
      "application-autoscaling:RegisterScalableTarget", "application-autoscaling:TagResource",
    ])
    resources = concat(
      [for type in ["elastic-ip", "natgateway", "route-table", "security-group", "subnet", "vpc-endpoint"] : "arn:aws:ec2:${local.here}:${type}/*"],
      ["arn:aws:application-autoscaling:${local.here}:scalable-target/*"],
    )

    dynamic "condition" {
      for_each = local.tags

      content {
        test     = "StringEquals"
        variable = "aws:RequestTag/${condition.key}"
        values   = [condition.value]
      }
    }

    dynamic "condition" {
      for_each = local.tags

      content {
        test     = "Null"
        variable = "aws:ResourceTag/${condition.key}"
        values   = ["true"]
      }
    }
  }

  # ChangeWithOurTags decides which group a rule may go into.
  statement {
    sid       = "MakeRulesWithOurTags"
    actions   = [for action in local.ruled : "ec2:${action}"]
    resources = ["arn:aws:ec2:${local.here}:security-group-rule/*"]

    dynamic "condition" {
      for_each = local.tags

      content {
        test     = "StringEquals"
        variable = "aws:RequestTag/${condition.key}"
        values   = [condition.value]
      }
    }
  }

  # AWS also requires permission to tag, and names the action that it is for; plain tagging names none.
  statement {
    sid       = "TagWhileMaking"
    actions   = ["ec2:CreateTags"]
    resources = ["arn:aws:ec2:${local.here}:*/*"]

    condition {
      test     = "StringEquals"
      variable = "ec2:CreateAction"
      values   = concat(local.made, local.ruled)
    }

    dynamic "condition" {
      for_each = local.tags

      content {
        test     = "StringEquals"
        variable = "aws:RequestTag/${condition.key}"
        values   = [condition.value]
      }
    }
  }

  statement {
    sid = "ChangeWithOurTags"
    actions = concat([for action in concat(local.made, local.ruled) : "ec2:${action}"], [
      "application-autoscaling:*", "ec2:Associate*", "ec2:Attach*", "ec2:CreateRoute", "ec2:CreateTags", "ec2:Delete*", "ec2:Detach*", "ec2:Disassociate*",
      "ec2:Modify*", "ec2:ReleaseAddress", "ec2:Replace*", "ec2:Revoke*", "ec2:Update*", "kms:Decrypt", "kms:Describe*", "kms:EnableKeyRotation",
      "kms:Encrypt", "kms:GenerateDataKey*", "kms:Get*", "kms:List*", "kms:RetireGrant", "kms:TagResource", "kms:UpdateKeyDescription",
    ])
    resources = ["*"]

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

# --- deploy: who may use the key, and the roles of tasks --------------------------------------------------------

resource "aws_iam_role_policy_attachment" "roles" {
  for_each = toset(local.github)

  role       = aws_iam_role.deploy[each.key].name
  policy_arn = aws_iam_policy.roles[each.key].arn
}

resource "aws_iam_policy" "roles" {
  for_each = toset(local.github)

  name        = "${local.name}-roles"
  description = "Terraform, applying the files of ${local.name}: keys and roles"
  policy      = data.aws_iam_policy_document.roles.json
}

data "aws_iam_policy_document" "roles" {
  statement {
    sid       = "Alias"
    actions   = ["kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias"]
    resources = ["arn:aws:kms:${var.region}:${var.account_id}:alias/${local.name}"]
  }

  # ElastiCache uses the key through a grant, which it creates as the role that creates the cache.
  statement {
    sid       = "GrantsOfServices"
    actions   = ["kms:CreateGrant"]
    resources = ["arn:aws:kms:${local.here}:key/*"]

    condition {
      test     = "Bool"
      variable = "kms:GrantIsForAWSResource"
      values   = ["true"]
    }

    dynamic "condition" {
      for_each = local.tags

      content {
        test     = "StringEquals"
        variable = "aws:ResourceTag/${condition.key}"
        values   = [condition.value]
      }
    }
  }

  # Into a network that exists and has no tags of ours, only groups are made: they have them.
  dynamic "statement" {
    for_each = local.own_network ? [] : [var.vpc_id]

    content {
      sid       = "GroupsInTheNetworkThatExists"
      actions   = ["ec2:CreateSecurityGroup"]
      resources = ["arn:aws:ec2:${local.here}:vpc/${statement.value}"]
    }
  }

  dynamic "statement" {
    for_each = data.aws_route53_zone.existing

    content {
      sid       = "RecordsInTheZoneThatExists"
      actions   = ["route53:ChangeResourceRecordSets", "route53:GetHostedZone", "route53:ListResourceRecordSets"]
      resources = ["arn:aws:route53:::hostedzone/${statement.value.zone_id}"]
    }
  }

  dynamic "statement" {
    for_each = data.aws_route53_zone.existing

    content {
      sid       = "FindTheZoneThatExists"
      actions   = ["route53:GetChange", "route53:ListHostedZones", "route53:ListTagsForResource"]
      resources = ["*"]
    }
  }

  statement {
    sid       = "SeeRoles"
    actions   = ["iam:GetOpenIDConnectProvider", "iam:GetPolicy", "iam:GetPolicyVersion", "iam:GetRole", "iam:GetRolePolicy", "iam:List*"]
    resources = ["*"]
  }

  # A role that this one creates or changes never exceeds the boundary, so it cannot be used to gain permissions.
  statement {
    sid       = "RolesWithinTheBoundary"
    actions   = ["iam:CreateRole", "iam:DeleteRolePolicy", "iam:PutRolePolicy"]
    resources = local.bounded_roles

    condition {
      test     = "StringEquals"
      variable = "iam:PermissionsBoundary"
      values   = [aws_iam_policy.boundary.arn]
    }
  }

  statement {
    sid       = "NamesOfRoles"
    actions   = ["iam:DeleteRole", "iam:TagRole", "iam:UntagRole", "iam:UpdateRole", "iam:UpdateRoleDescription"]
    resources = local.bounded_roles
  }
}

locals {
  repositories  = [for name in concat(["${local.name}/*"], values(var.existing_repositories)) : "arn:aws:ecr:${local.here}:repository/${name}"]
  here          = "${var.region}:${var.account_id}"
  bounded_roles = [for name in ["*-task", "*-execution", "execution", "*-schedule"] : "arn:aws:iam::${var.account_id}:role/${local.name}-${name}"]

  # What a deploy may add to an existing network. The first apply creates the network, its gateway, the key and the zone of internal names.
  made  = ["AllocateAddress", "CreateNatGateway", "CreateRouteTable", "CreateSecurityGroup", "CreateSubnet", "CreateVpcEndpoint"]
  ruled = ["AuthorizeSecurityGroupEgress", "AuthorizeSecurityGroupIngress"]
}
