# What raises an alarm.

locals {
  alarms_topic = "${local.name}-alarms"

  # Of a load balancer that others share, only what goes to our tasks is ours to be told of: the alarms are by service.
  door    = { LoadBalancer = local.balancer.arn_suffix }
  targets = { for name in keys(local.paths) : name => merge(local.door, { TargetGroup = aws_lb_target_group.service[name].arn_suffix }) }
  doors   = local.own_balancer ? { "" = local.door } : { for name, target in local.targets : "${name}-" => target }

  alarms = merge(
    {
      for prefix, door in local.doors : "${prefix}errors" => {
        text    = "more than 10 answers ${local.own_balancer ? "" : "of ${trimsuffix(prefix, "-")} "}with an error of ours within 5 minutes"
        metric  = ["AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", "Sum"]
        above   = 10
        minutes = 5
        of      = door
      }
    },
    {
      for name in local.own_balancer ? ["refused"] : [] : name => {
        text    = "the load balancer found no healthy task for more than 10 requests within 5 minutes"
        metric  = ["AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", "Sum"]
        above   = 10
        minutes = 5
        of      = local.door
      }
    },
    {
      for prefix, door in local.doors : "${prefix}latency" => {
        text    = "one request in twenty ${local.own_balancer ? "" : "to ${trimsuffix(prefix, "-")} "}has taken longer than a second for 10 minutes"
        metric  = ["AWS/ApplicationELB", "TargetResponseTime", "p95"]
        above   = 1
        minutes = 10
        of      = door
      }
    },
    {
      for name in keys(local.paths) : "${name}-unhealthy" => {
        text    = "a task of ${name} has not answered its health check for 5 minutes"
        metric  = ["AWS/ApplicationELB", "UnHealthyHostCount", "Maximum"]
        above   = 0
        minutes = 5
        of      = local.targets[name]
      }
    },
    {
      for name in keys(local.services) : "${name}-cpu" => {
        text    = "${name} has used more than 85 % of its CPU for 15 minutes, whatever autoscaling did"
        metric  = ["AWS/ECS", "CPUUtilization", "Average"]
        above   = 85
        minutes = 15
        of      = { ClusterName = local.name, ServiceName = name }
      }
    },
    {
      for name in keys(local.services) : "${name}-memory" => {
        text    = "${name} has used more than 85 % of its memory for 15 minutes"
        metric  = ["AWS/ECS", "MemoryUtilization", "Average"]
        above   = 85
        minutes = 15
        of      = { ClusterName = local.name, ServiceName = name }
      }
    },
    {
      for name in keys(local.databases) : "${name}-connections" => {
        text    = "${name} has had more than 70 connections for 5 minutes; the smallest instance has about 100"
        metric  = ["AWS/RDS", "DatabaseConnections", "Maximum"]
        above   = 70
        minutes = 5
        of      = { DBInstanceIdentifier = local.names.database[name] }
      }
    },
    {
      for name in keys(local.databases) : "${name}-cpu" => {
        text    = "${name} has used more than 85 % of its CPU for 15 minutes"
        metric  = ["AWS/RDS", "CPUUtilization", "Average"]
        above   = 85
        minutes = 15
        of      = { DBInstanceIdentifier = local.names.database[name] }
      }
    },
    {
      for name in keys(local.caches) : "${name}-memory" => {
        text    = "${name} has been more than 90 % full for 15 minutes, and evicts"
        metric  = ["AWS/ElastiCache", "DatabaseMemoryUsagePercentage", "Maximum"]
        above   = 90
        minutes = 15
        of      = { CacheClusterId = "${local.names.cache[name]}-001" }
      }
    },
    {
      for name in keys(local.clusters) : "${name}-capacity" => {
        text    = "${name} has used more than 90 % of its most capacity for 15 minutes"
        metric  = ["AWS/RDS", "ACUUtilization", "Average"]
        above   = 90
        minutes = 15
        of      = { DBClusterIdentifier = local.names.database[name] }
      }
    },
    {
      for name in keys(local.serverless_caches) : "${name}-throttled" => {
        text    = "${name} has refused commands within 5 minutes, as more came than it could scale to"
        metric  = ["AWS/ElastiCache", "ThrottledCmds", "Sum"]
        above   = 0
        minutes = 5
        of      = { clusterId = local.names.cache[name] }
      }
    },
    {
      for name in local.watchers : "${name}-database" => {
        text    = "${name} has not reached its database for 5 minutes"
        metric  = [local.name, "Failing", "Maximum"]
        above   = 0
        minutes = 5
        of      = { Component = "db" }
      }
    },
  )
}

resource "aws_cloudwatch_metric_alarm" "main" {
  for_each = local.alarms

  alarm_name          = "${local.name}-${each.key}"
  alarm_description   = "${local.name}: ${each.value.text}."
  namespace           = each.value.metric[0]
  metric_name         = each.value.metric[1]
  statistic           = startswith(each.value.metric[2], "p") ? null : each.value.metric[2]
  extended_statistic  = startswith(each.value.metric[2], "p") ? each.value.metric[2] : null
  dimensions          = each.value.of
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.above
  period              = each.value.metric[2] == "Sum" ? each.value.minutes * 60 : 60
  evaluation_periods  = each.value.metric[2] == "Sum" ? 1 : each.value.minutes
  treat_missing_data  = "notBreaching" # no requests, no errors
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# Fewer tasks than there have to be. Of a service with paths the load balancer knows; nobody else would miss a worker.
resource "aws_cloudwatch_metric_alarm" "down" {
  for_each = toset([for name in keys(local.services) : name if !contains(keys(local.paths), name)])

  alarm_name          = "${local.name}-${each.key}-down"
  alarm_description   = "${local.name}: ${each.key} has had fewer than ${local.services[each.key]["x-aws"].scale.min} running tasks for 5 minutes."
  namespace           = "ECS/ContainerInsights"
  metric_name         = "RunningTaskCount"
  statistic           = "Minimum" # of what a task that starts again and again shows
  dimensions          = { ClusterName = aws_ecs_cluster.main.name, ServiceName = each.key }
  comparison_operator = "LessThanThreshold"
  threshold           = local.services[each.key]["x-aws"].scale.min
  period              = 60
  evaluation_periods  = 10
  datapoints_to_alarm = 5
  treat_missing_data  = "missing" # Container Insights counts none as 0, and a new service has no value yet
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# Free storage.
resource "aws_cloudwatch_metric_alarm" "storage" {
  for_each = local.databases

  alarm_name          = "${local.name}-${each.key}-storage"
  alarm_description   = "${local.name}: ${each.key} has less than 15 % of its first ${try(each.value["x-aws"].storage, 20)} GiB free."
  namespace           = "AWS/RDS"
  metric_name         = "FreeStorageSpace"
  statistic           = "Minimum"
  dimensions          = { DBInstanceIdentifier = aws_db_instance.main[each.key].identifier }
  comparison_operator = "LessThanThreshold"
  threshold           = try(each.value["x-aws"].storage, 20) * 1024 * 1024 * 1024 * 0.15
  period              = 300
  evaluation_periods  = 3
  treat_missing_data  = "missing"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# The services write their metrics into the log (docs/service.md): of the lines on components, those that do not pass.
resource "aws_cloudwatch_log_metric_filter" "failing" {
  for_each = local.watchers

  name           = "component-failing"
  log_group_name = aws_cloudwatch_log_group.service[each.key].name
  pattern        = "{ ($.Component = \"*\") && ($.Passing = 0) }"

  metric_transformation {
    namespace  = local.name
    name       = "Failing"
    value      = "1"
    unit       = "Count"
    dimensions = { Component = "$.Component" }
  }
}

# A release that the circuit breaker rolled back.
resource "aws_cloudwatch_event_rule" "rolled_back" {
  name        = "${local.name}-rolled-back"
  description = "ECS gave a deployment up"
  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Deployment State Change"]
    resources   = [{ prefix = "arn:aws:ecs:${var.region}:${local.account}:service/${local.name}/" }]
    detail      = { eventName = ["SERVICE_DEPLOYMENT_FAILED"] }
  })
}

resource "aws_cloudwatch_event_target" "rolled_back" {
  rule = aws_cloudwatch_event_rule.rolled_back.name
  arn  = aws_sns_topic.alarms.arn
}

# --- Recipients ------------------------------------------------------------------------------------------------

resource "aws_sns_topic" "alarms" {
  name              = local.alarms_topic
  kms_master_key_id = aws_kms_key.main.arn
}

resource "aws_sns_topic_policy" "alarms" {
  arn    = aws_sns_topic.alarms.arn
  policy = data.aws_iam_policy_document.alarms.json
}

resource "aws_sns_topic_subscription" "alarms" {
  for_each = toset(compact([var.alarm_email]))

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.key
}

data "aws_iam_policy_document" "alarms" {
  statement {
    sid       = "AlarmsOfThisAccount"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alarms.arn]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }

  # Without a condition, for EventBridge supports none here. Another account's rule would need a target that its owner has no use for.
  statement {
    sid       = "Events"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alarms.arn]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }
  }
}
