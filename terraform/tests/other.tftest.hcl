# A Compose file that has nothing of ours: tests/other/docker-compose.yml.

mock_provider "aws" {
  source = "./tests/mocks"

  override_resource {
    target          = aws_db_instance.main
    override_during = plan
    values          = { address = "orders.rds", port = 5432 }
  }

  override_resource {
    target          = aws_elasticache_replication_group.main
    override_during = plan
    values          = { primary_endpoint_address = "sessions.cache" }
  }

  override_resource {
    target          = aws_lb.main
    override_during = plan
    values          = { dns_name = "door.elb" }
  }
}

variables {
  stack       = "shop"
  environment = "staging"
  region      = "eu-west-1"
  account_id  = "123456789012"
  services    = jsondecode(file("./tests/other/services.json")).services # test_files.py writes it
  secrets     = jsondecode(file("./tests/other/services.json")).secrets
}

run "it_gets_what_it_asks_for" {
  command = plan

  assert {
    condition     = toset(keys(aws_ecs_service.main)) == toset(["shop", "reports", "queue", "receipts", "admin"]) && keys(aws_db_instance.main) == ["orders"] && keys(aws_elasticache_replication_group.main) == ["sessions"]
    error_message = "web servers and workers run on Fargate, the managed ones are stood in for, and what says nothing stays at home"
  }
  assert {
    condition     = toset(keys(aws_ecr_repository.service)) == toset(["shop", "queue"]) && output.release.services.reports.repository == null
    error_message = "a repository for each service that is built"
  }
  assert {
    condition     = toset(keys(aws_lb_target_group.service)) == toset(["shop", "reports", "admin"]) && length(aws_ecs_service.main["queue"].load_balancer) == 0
    error_message = "a target group for each service with paths"
  }
  assert {
    condition     = output.release.services.receipts.port == null && output.release.services.receipts.target_group == null && length(local.containers.receipts.portMappings) == 0 && !strcontains(aws_ecs_task_definition.placeholder["receipts"].container_definitions, "containerPort") && length(local.connections.receipts.services) == 0
    error_message = "a worker has no port, and nothing finds it"
  }
  assert {
    condition     = local.containers.receipts.healthCheck.command == ["CMD", "work", "--alive"] && aws_appautoscaling_target.service["receipts"].max_capacity == 1
    error_message = "a worker has the health check of the Compose file, and runs once where nothing else is said"
  }
  assert {
    condition     = toset(keys(aws_scheduler_schedule.job)) == toset(["nightly", "hourly"]) && aws_scheduler_schedule.job["nightly"].schedule_expression == "cron(0 3 * * ? *)" && aws_scheduler_schedule.job["nightly"].schedule_expression_timezone == "Europe/Berlin" && aws_scheduler_schedule.job["hourly"].state == "DISABLED"
    error_message = "a schedule for each job that has one, disabled until a release gives it an image"
  }
  assert {
    condition     = output.release.jobs.nightly.image_of == "shop" && output.release.jobs.nightly.task_definition.containerDefinitions[0].image == "IMAGE" && output.release.jobs.hourly.image_of == null && output.release.jobs.nightly.schedule.expression == "cron(0 3 * * ? *)" && length(output.release.jobs.nightly.services) == 0
    error_message = "a job has the image of the service that it shares its build with, or its own"
  }
  assert {
    condition     = contains(keys(aws_vpc_security_group_egress_rule.service_to_data), "nightly-orders") && aws_scheduler_schedule.job["nightly"].target[0].ecs_parameters[0].group == "shop-staging-nightly-schedule"
    error_message = "it reaches the database that it uses, and its tasks are told from those that people start"
  }
  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.job_failed["nightly"].event_pattern).detail.group == ["shop-staging-nightly-schedule"] && aws_cloudwatch_metric_alarm.schedule["shop-staging"].dimensions.ScheduleGroup == "shop-staging"
    error_message = "an alarm for a job that fails, and one for those that are not started"
  }
  assert {
    condition     = join(" ", output.release.services.shop.migrate) == "bin/migrate up" && output.release.services.queue.migrate == null
    error_message = "a migration may be a command and no more"
  }
  assert {
    condition     = { for key, rule in aws_lb_listener_rule.host : key => length(flatten([for each in rule.condition : [for header in each.host_header : header.values]])) } == { "admin /*" = 4, "admin /* 2" = 1, "admin /api/*" = 4, "admin /api/* 2" = 1 }
    error_message = "five host names are two rules for each path"
  }
  assert {
    condition     = max([for rule in aws_lb_listener_rule.host : rule.priority]...) < min([for rule in aws_lb_listener_rule.path : rule.priority]...) && aws_lb_listener_rule.host["admin /api/*"].priority < aws_lb_listener_rule.host["admin /*"].priority
    error_message = "who is asked by a name of its own comes first, with its longest path"
  }
  assert {
    condition     = keys(aws_cloudwatch_metric_alarm.down) == ["queue", "receipts"] && aws_cloudwatch_metric_alarm.down["receipts"].threshold == 1
    error_message = "a service that no load balancer watches is missed when it is down"
  }
  assert {
    condition     = toset(keys(aws_lb_listener_rule.path)) == toset(["/*", "/reports/*"])
    error_message = "two health checks at one path lead nowhere from outside"
  }
  assert {
    condition     = local.environment.hourly.SHOP == "http://${aws_lb.main.dns_name}/hooks" && local.environment.hourly.ADMIN == "http://a.example.com" && local.environment.hourly.RECEIPTS == "http://receipts:80"
    error_message = "a job has no proxy: it reaches services at their paths, by their own host names where they have some: ${jsonencode(local.environment.hourly)}"
  }
  assert {
    condition     = keys(aws_vpc_security_group_egress_rule.job_to_services) == ["hourly"]
    error_message = "a job that names a service may reach the load balancer"
  }
  assert {
    condition     = toset(keys(aws_vpc_security_group_ingress_rule.data_from_service)) == toset(["shop-orders", "shop-sessions", "queue-orders", "receipts-orders", "nightly-orders"])
    error_message = "who needs a database or a cache may talk to it"
  }
  assert {
    condition     = alltrue([for service in aws_ecs_service.main : one(service.service_connect_configuration).enabled]) && one(one(one(aws_ecs_service.main["queue"].service_connect_configuration).service).client_alias).dns_name == "queue"
    error_message = "every service reaches the others by their names"
  }
  assert {
    condition     = one(local.connections.shop.services).timeout == { idleTimeoutSeconds = 3600, perRequestTimeoutSeconds = 90 } && one(local.connections.reports.services).timeout.perRequestTimeoutSeconds == 0 && one(local.connections.queue.services).timeout == { idleTimeoutSeconds = 3600 }
    error_message = "a request takes as long as it may, and ECS refuses that limit for TCP"
  }
  assert {
    condition     = one(local.containers.shop.portMappings) == { name = "shop", containerPort = 5000, hostPort = 5000, protocol = "tcp", appProtocol = "http" } && !contains(keys(one(local.containers.queue.portMappings)), "appProtocol")
    error_message = "what has a health path speaks HTTP, and of others nobody knows"
  }
  assert {
    condition     = aws_appautoscaling_target.service["shop"].min_capacity == 2 && aws_appautoscaling_target.service["shop"].max_capacity == 6 && length(aws_appautoscaling_policy.service) == 10
    error_message = "each scales as it says"
  }
  assert {
    condition     = aws_db_instance.main["orders"].username == "keeper" && aws_db_instance.main["orders"].db_name == "shop" && aws_db_instance.main["orders"].allocated_storage == 20
    error_message = "the database is called as the Compose file calls it"
  }
}

run "it_is_told_the_addresses_and_secrets_of_the_cloud" {
  command = plan

  assert {
    condition = local.environment.shop == {
      ORDERS     = "postgresql://keeper@orders.rds:5432/shop?application_name=shop&sslmode=require"
      SESSIONS   = "rediss://sessions.cache:6379/2"
      PRICE      = "5$"
      WORKERS    = "4"
      OWNER      = "keeper and keeper"
      SITE       = "https://shop.example"
      REPORTS    = "http://reports:8080/api"
      PGHOST     = "orders.rds"
      PGDATABASE = "orders"
    }
    error_message = "variables are filled in, neighbours found, and nothing travels in the clear: ${jsonencode(local.environment.shop)}"
  }
  assert {
    condition     = local.secrets.shop == { DATABASE_URL = "composed/shop.DATABASE_URL", CACHE_URL = "composed/shop.CACHE_URL", PASSWORD = "POSTGRES_PASSWORD", PAYMENT_KEY = "PAYMENT_KEY", STRIPE_KEY = "STRIPE_KEY", SESSION_KEY = "session_key", MAIL = "MAIL_URL" }
    error_message = "a secret is what .env.example calls one, and what is required but not declared"
  }
  assert {
    condition = { for each in output.compositions : each.parameter => { text = each.text, secrets = each.secrets } } == {
      "/shop/staging/composed/shop.CACHE_URL"    = { text = "rediss://:{SESSIONS_PASSWORD}@sessions.cache:6379", secrets = { SESSIONS_PASSWORD = "/shop/staging/SESSIONS_PASSWORD" } }
      "/shop/staging/composed/shop.DATABASE_URL" = { text = "postgres://keeper:{POSTGRES_PASSWORD}@orders.rds:5432/shop?sslmode=require", secrets = { POSTGRES_PASSWORD = "/shop/staging/POSTGRES_PASSWORD" } }
    }
    error_message = "a URL with a password is put together of its parameter, by a deploy: ${jsonencode(output.compositions)}"
  }
  assert {
    condition     = keys(aws_ssm_parameter.database) == ["orders"] && keys(aws_ssm_parameter.cache) == ["sessions"] && keys(aws_ssm_parameter.other) == ["session_key"]
    error_message = "only generated secrets are made, and so changed by a rotation"
  }
  assert {
    condition     = output.given_secrets == { PAYMENT_KEY = "/shop/staging/PAYMENT_KEY", STRIPE_KEY = "/shop/staging/STRIPE_KEY", MAIL_URL = "/shop/staging/MAIL_URL" }
    error_message = "where the others have to be is known"
  }
  assert {
    condition     = local.parameters["STRIPE_KEY"] == "arn:aws:ssm:eu-west-1:123456789012:parameter/shop/staging/STRIPE_KEY"
    error_message = "a given secret is read where its owner puts it"
  }
  assert {
    condition     = local.environment.reports == { TITLE = "Reports", VERBOSE = "true", EMPTY = "" }
    error_message = "values that are no texts become some"
  }
  assert {
    condition     = local.environment.queue.HEALTH_TARGETS == "admin=http://admin:8090/up,reports=http://reports:8080/up,shop=http://shop:5000/up?deep=1"
    error_message = "who asks for the health of the others is told where they are"
  }
}

run "its_tasks_look_as_compose_would_start_them" {
  command = plan

  assert {
    condition     = local.containers.shop.image == "IMAGE" && join(" ", local.containers.shop.command) == "gunicorn shop:app --bind=0.0.0.0:5000" && local.containers.reports.image == "example/reports:3" && join("|", local.containers.reports.command) == "serve|--port|8080"
    error_message = "an image is deployed or named, and the command is that of the Compose file"
  }
  assert {
    condition     = local.containers.shop.healthCheck.command == ["CMD-SHELL", "wget -q -O- http://localhost:5000/up"] && local.containers.shop.healthCheck.interval == 90 && local.containers.shop.healthCheck.timeout == 2
    error_message = "the health check is the same, within what ECS allows"
  }
  assert {
    condition     = local.containers.queue.user == "1000:1000" && local.containers.queue.stopTimeout == 90 && local.containers.queue.command == null && local.containers.queue.ulimits == null
    error_message = "account and timeout are the same"
  }
  assert {
    condition = local.containers.reports.entryPoint == ["/start", "--as=keeper", "--price=5$"] && local.containers.reports.workingDirectory == "/srv/keeper" && !local.containers.reports.linuxParameters.initProcessEnabled && local.containers.reports.dockerLabels.team == "reports of keeper" && local.containers.reports.ulimits == [
      { name = "nofile", softLimit = 1024, hardLimit = 2048 }
    ]
    error_message = "so are entrypoint, working folder, init, labels and open files: ${jsonencode(local.containers.reports)}"
  }
  assert {
    condition     = output.release.services.shop.probe.version == "/commit" && output.release.services.reports.probe
    error_message = "a deploy is told what to ask a release"
  }
}

run "hardening_is_a_default_and_the_compose_file_decides" {
  command = plan

  assert {
    condition     = local.containers.shop.readonlyRootFilesystem && local.containers.shop.linuxParameters.capabilities.drop == tolist(["ALL"]) && local.containers.shop.linuxParameters.tmpfs[*].containerPath == ["/cache", "/tmp"]
    error_message = "what says nothing is hardened, and has a /tmp beside its own folders"
  }
  assert {
    condition     = !local.containers.reports.readonlyRootFilesystem && local.containers.reports.linuxParameters.capabilities == {} && length(local.containers.reports.linuxParameters.tmpfs) == 0
    error_message = "one line turns all of it off"
  }
  assert {
    condition     = !local.containers.queue.readonlyRootFilesystem && one(local.containers.queue.linuxParameters.tmpfs).containerPath == "/scratch" && one(local.containers.queue.linuxParameters.tmpfs).size == 128
    error_message = "Compose's own keys decide"
  }
  assert {
    condition     = local.containers.queue.linuxParameters.capabilities.add == tolist(["SYS_PTRACE"]) && !contains(local.containers.queue.linuxParameters.capabilities.drop, "NET_BIND_SERVICE") && contains(local.containers.queue.linuxParameters.capabilities.drop, "NET_RAW")
    error_message = "a capability that is to stay is not taken away: ${jsonencode(local.containers.queue.linuxParameters.capabilities)}"
  }
}

run "in_an_emulator_all_goes_through_its_one_address" {
  command = plan

  variables {
    aws_endpoint          = "http://127.0.0.1:4566"
    aws_endpoint_of_tasks = "http://172.17.0.1:4566"
  }

  assert {
    condition     = output.url == "http://127.0.0.1:4566/_alb/shop-staging" && local.environment.shop.REPORTS == "http://reports:8080/api"
    error_message = "this machine asks the load balancer, and services each other"
  }
  assert {
    condition     = local.environment.shop.SESSIONS == "rediss://sessions.cache:6379/2" && strcontains(local.environment.shop.ORDERS, "sslmode=require")
    error_message = "all is encrypted, as on AWS"
  }
}
