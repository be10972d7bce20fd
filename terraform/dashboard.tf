# One dashboard: what users get, what the tasks need, what the databases and caches do.

locals {
  charts = [
    {
      title = "Requests and errors"
      stat  = "Sum"
      metrics = concat([
        for door in values(local.doors) : [
          for metric in concat(["RequestCount", "HTTPCode_Target_5XX_Count"], local.own_balancer ? ["HTTPCode_ELB_5XX_Count"] : []) :
          concat(["AWS/ApplicationELB", metric], flatten([for name, value in door : [name, value]]))
        ]
      ]...)
    },
    {
      title   = "Time to answer, 95 of 100 requests"
      stat    = "p95"
      metrics = [for name in keys(local.paths) : ["AWS/ApplicationELB", "TargetResponseTime", "TargetGroup", aws_lb_target_group.service[name].arn_suffix, "LoadBalancer", local.balancer.arn_suffix]]
    },
    {
      title   = "Running tasks"
      stat    = "Average"
      metrics = [for name in keys(local.services) : ["ECS/ContainerInsights", "RunningTaskCount", "ClusterName", local.name, "ServiceName", name]]
    },
    {
      title   = "CPU and memory of the services, percent"
      stat    = "Average"
      metrics = [for pair in setproduct(keys(local.services), ["CPUUtilization", "MemoryUtilization"]) : ["AWS/ECS", pair[1], "ClusterName", local.name, "ServiceName", pair[0]]]
    },
    {
      title = "Databases and caches"
      stat  = "Average"
      metrics = concat(
        [for pair in setproduct(keys(local.databases), ["CPUUtilization", "DatabaseConnections"]) : ["AWS/RDS", pair[1], "DBInstanceIdentifier", local.names.database[pair[0]]]],
        [for name in keys(local.caches) : ["AWS/ElastiCache", "DatabaseMemoryUsagePercentage", "CacheClusterId", "${local.names.cache[name]}-001"]],
        [for pair in setproduct(keys(local.clusters), ["ServerlessDatabaseCapacity", "DatabaseConnections"]) : ["AWS/RDS", pair[1], "DBClusterIdentifier", local.names.database[pair[0]]]],
        [for name in keys(local.serverless_caches) : ["AWS/ElastiCache", "BytesUsedForCache", "clusterId", local.names.cache[name]]],
      )
    },
    {
      title   = "Components as the services see them (1 passes)"
      stat    = "Minimum"
      metrics = [for component in concat(["db", "cache"], [for name in keys(local.health) : name if length(setsubtract(local.watchers, [name])) > 0]) : ["Stackhand", "Passing", "Environment", var.environment, "Stack", local.name, "Component", component]]
    },
  ]
}

resource "aws_cloudwatch_dashboard" "main" {
  dashboard_name = local.name
  dashboard_body = jsonencode({
    widgets = [
      for index, chart in local.charts : {
        type       = "metric"
        x          = index % 2 * 12
        y          = floor(index / 2) * 6
        width      = 12
        height     = 6
        properties = { title = chart.title, stat = chart.stat, metrics = chart.metrics, region = var.region, period = 60, view = "timeSeries" }
      }
    ]
  })
}
