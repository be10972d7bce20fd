# The task template of each service. Terraform owns the template and a deploy owns the image: it takes the template from the output `release`,
# sets the image's digest, and registers the result. So a change here reaches the service with the next deploy, and Terraform never
# restores an old image.

locals {
  templates = {
    for name, service in local.tasks : name => {
      family                  = "${local.name}-${name}"
      taskRoleArn             = aws_iam_role.task[name].arn
      executionRoleArn        = contains(keys(local.jobs), name) ? aws_iam_role.job_execution[name].arn : aws_iam_role.execution.arn
      networkMode             = "awsvpc"
      requiresCompatibilities = ["FARGATE"]
      cpu                     = tostring(try(service["x-aws"].cpu, 256))
      memory                  = tostring(try(service["x-aws"].memory, 512))
      runtimePlatform         = { cpuArchitecture = var.architecture, operatingSystemFamily = "LINUX" }
      containerDefinitions    = [{ for key, value in local.containers[name] : key => value if value != null }]
      tags                    = [for key, value in { Stack = var.stack, Environment = var.environment, Service = name } : { key = key, value = value }]
    }
  }

  containers = {
    for name, service in local.tasks : name => {
      name             = name
      image            = contains(local.built, name) || (can(service.build) && contains(keys(local.jobs), name)) ? "IMAGE" : service.image
      essential        = true
      entryPoint       = try(service.entrypoint, null)
      command          = try(service.command, null)
      workingDirectory = try(service.working_dir, null)
      user             = try(service.user, null)

      environment = [for key, value in local.environment[name] : { name = key, value = value }]
      secrets     = [for key, variable in local.secrets[name] : { name = key, valueFrom = local.parameters[variable] }]
      portMappings = [
        for port in try([local.ports[name]], []) : merge(
          { name = name, containerPort = port, hostPort = port, protocol = "tcp" },
          { for protocol in [local.protocols[name]] : "appProtocol" => protocol if protocol != "tcp" },
        )
      ]

      # ECS Exec does not support a read-only root: its agent writes into the container's own file system.
      readonlyRootFilesystem = local.read_only[name] && (!var.exec || contains(keys(local.jobs), name))
      linuxParameters = {
        initProcessEnabled = try(tobool(service.init), true)
        capabilities       = { for key, names in local.capabilities[name] : key => names if length(names) > 0 }
        tmpfs = [
          for path, options in local.temporary[name] : { containerPath = path, size = options, mountOptions = ["nosuid", "nodev"] }
        ]
      }
      ulimits     = !can(service.nofile) ? null : [{ name = "nofile", softLimit = service.nofile.soft, hardLimit = service.nofile.hard }]
      stopTimeout = min(120, service.stop_grace_period)

      healthCheck = !can(service.healthcheck) ? null : {
        command     = service.healthcheck.test
        interval    = max(5, try(service.healthcheck.interval, 30))
        timeout     = max(2, try(service.healthcheck.timeout, 5))
        retries     = service.healthcheck.retries
        startPeriod = try(service.healthcheck.start_period, 0)
      }

      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = aws_cloudwatch_log_group.service[name].name
          awslogs-region        = var.region
          awslogs-stream-prefix = "task"
          mode                  = "non-blocking" # a service goes on when its logs cannot be delivered
          max-buffer-size       = "25m"
        }
      }

      # A new password changes the template, so the next deploy starts tasks with it.
      dockerLabels = merge(
        try(service.labels, {}),
        { "stackhand.secrets-version" = tostring(var.secrets_version) },
      )
    }
  }
}

# Runs until the first deploy and answers every path, so that health checks pass. In place of a worker it listens, and nothing connects.
resource "aws_ecs_task_definition" "placeholder" {
  for_each = local.services

  family                   = "${local.name}-${each.key}-placeholder"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = each.value["x-aws"].cpu
  memory                   = each.value["x-aws"].memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task[each.key].arn
  skip_destroy             = true

  runtime_platform {
    cpu_architecture        = var.architecture
    operating_system_family = "LINUX"
  }

  container_definitions = jsonencode([{
    name                   = each.key
    image                  = var.placeholder_image
    essential              = true
    user                   = "10001"
    readonlyRootFilesystem = true
    command                = ["python", "-c", replace(file("${path.module}/placeholder.py"), "4000", try(local.ports[each.key], 4000))]
    portMappings           = local.containers[each.key].portMappings
    linuxParameters        = { initProcessEnabled = true }
    logConfiguration       = local.containers[each.key].logConfiguration
  }])
}
