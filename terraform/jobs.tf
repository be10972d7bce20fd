# Jobs with a schedule: EventBridge Scheduler starts a task of each. Terraform owns when, and each release what: the schedule is disabled until
# the first release gives it a task definition with an image.

locals {
  scheduled = { for name, job in local.jobs : name => job if can(job["x-aws"].schedule) }
}

# Its alarms are those of this environment, and the permissions of the deploy role go by its name.
resource "aws_scheduler_schedule_group" "main" {
  for_each = toset(length(local.scheduled) > 0 ? [local.name] : [])

  name = each.key
}

resource "aws_scheduler_schedule" "job" {
  #checkov:skip=CKV_AWS_297: a schedule holds names and no data
  for_each = local.scheduled

  name                         = each.key
  group_name                   = aws_scheduler_schedule_group.main[local.name].name
  description                  = "The job ${each.key} of ${local.name}"
  schedule_expression          = each.value["x-aws"].schedule
  schedule_expression_timezone = each.value["x-aws"].timezone
  state                        = "DISABLED"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_ecs_cluster.main.arn
    role_arn = aws_iam_role.schedule[each.key].arn

    ecs_parameters {
      task_definition_arn = "arn:aws:ecs:${local.here}:task-definition/${local.name}-${each.key}"
      launch_type         = "FARGATE"
      group               = "${local.name}-${each.key}-schedule"
      propagate_tags      = "TASK_DEFINITION"

      network_configuration {
        subnets          = local.subnets.private
        security_groups  = [aws_security_group.service[each.key].id]
        assign_public_ip = false
      }
    }

    # For a task that AWS could not start. One that ran and failed is not repeated: only its owner knows whether that is safe.
    retry_policy {
      maximum_retry_attempts       = 3
      maximum_event_age_in_seconds = 3600
    }
  }

  lifecycle {
    ignore_changes = [state, target[0].ecs_parameters[0].task_definition_arn]
  }

  depends_on = [aws_iam_role_policy.schedule]
}

# --- What a schedule may do: start tasks of its job ------------------------------------------------------------

resource "aws_iam_role" "schedule" {
  for_each = local.scheduled

  name                 = "${local.name}-${each.key}-schedule"
  description          = "EventBridge Scheduler, starting ${each.key}"
  assume_role_policy   = data.aws_iam_policy_document.schedule_trust.json
  permissions_boundary = aws_iam_policy.boundary.arn
}

resource "aws_iam_role_policy" "schedule" {
  for_each = local.scheduled

  name   = "start-tasks"
  role   = aws_iam_role.schedule[each.key].name
  policy = data.aws_iam_policy_document.schedule[each.key].json
}

data "aws_iam_policy_document" "schedule_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["scheduler.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

data "aws_iam_policy_document" "schedule" {
  for_each = local.scheduled

  statement {
    sid       = "StartIt"
    actions   = ["ecs:RunTask"]
    resources = ["arn:aws:ecs:${local.here}:task-definition/${local.name}-${each.key}:*"]

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = ["arn:aws:ecs:${local.here}:cluster/${local.name}"]
    }
  }

  statement {
    sid       = "TagItWhileStarting"
    actions   = ["ecs:TagResource"]
    resources = ["arn:aws:ecs:${local.here}:task/${local.name}/*"]

    condition {
      test     = "StringEquals"
      variable = "ecs:CreateAction"
      values   = ["RunTask"]
    }
  }

  statement {
    sid       = "AsItsRoles"
    actions   = ["iam:PassRole"]
    resources = [for kind in ["task", "execution"] : "arn:aws:iam::${local.account}:role/${local.name}-${each.key}-${kind}"]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }
}

# --- Alarms ----------------------------------------------------------------------------------------------------

# Nothing was started, after all attempts.
resource "aws_cloudwatch_metric_alarm" "schedule" {
  for_each = aws_scheduler_schedule_group.main

  alarm_name          = "${local.name}-schedules"
  alarm_description   = "${local.name}: a scheduled job could not be started within an hour."
  namespace           = "AWS/Scheduler"
  metric_name         = "InvocationDroppedCount"
  statistic           = "Sum"
  dimensions          = { ScheduleGroup = each.value.name }
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 300
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching" # without a failure there is no such metric
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# It was started, and ended with an exit code, or before its container ran.
resource "aws_cloudwatch_event_rule" "job_failed" {
  for_each = local.scheduled

  name        = "${local.name}-${each.key}-failed"
  description = "The scheduled job ${each.key} failed"
  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail = {
      clusterArn = ["arn:aws:ecs:${local.here}:cluster/${local.name}"]
      group      = ["${local.name}-${each.key}-schedule"]
      lastStatus = ["STOPPED"]
      "$or"      = [{ containers = { exitCode = [{ anything-but = [0] }] } }, { stopCode = ["TaskFailedToStart"] }]
    }
  })
}

resource "aws_cloudwatch_event_target" "job_failed" {
  for_each = local.scheduled

  rule = aws_cloudwatch_event_rule.job_failed[each.key].name
  arn  = aws_sns_topic.alarms.arn
}
