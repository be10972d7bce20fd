# What exists already and is named: a load balancer with its listener, a certificate, databases, caches and repositories.

mock_provider "aws" {
  source = "./tests/mocks"

  override_resource {
    target          = aws_kms_key.main
    override_during = plan
    values          = { arn = "arn:aws:kms:eu-west-1:123456789012:key/ours" }
  }

  override_data {
    target = data.aws_vpc.existing[0]
    values = { id = "vpc-0a", enable_dns_support = true, enable_dns_hostnames = true }
  }
  override_data {
    target = data.aws_subnet.existing
    values = { vpc_id = "vpc-0a", availability_zone = "eu-west-1a" }
  }
  override_data {
    target = data.aws_subnet.existing["data subnet-3b"]
    values = { vpc_id = "vpc-0a", availability_zone = "eu-west-1b" }
  }
  override_data {
    target = data.aws_lb.existing[0]
    values = {
      arn                = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/shared/50dc6c495c0c9188"
      arn_suffix         = "app/shared/50dc6c495c0c9188"
      name               = "shared"
      dns_name           = "shared.elb"
      load_balancer_type = "application"
      vpc_id             = "vpc-0a"
      security_groups    = ["sg-0b", "sg-0a"]
    }
  }
  override_data {
    target = data.aws_lb_listener.existing[0]
    values = {
      arn             = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/shared/50dc6c495c0c9188/f2f7dc8efc522ab2"
      protocol        = "HTTPS"
      certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/theirs"
    }
  }
  override_data {
    target = data.aws_acm_certificate.existing[0]
    values = { arn = "arn:aws:acm:eu-west-1:123456789012:certificate/found" }
  }
  override_data {
    target = data.aws_rds_cluster.existing
    values = { endpoint = "corp.cluster-x.rds", port = 5433, engine = "aurora-postgresql", vpc_security_group_ids = ["sg-1b", "sg-1a"] }
  }
  override_data {
    target = data.aws_db_instance.existing
    values = { address = "corp.rds", port = 5432, engine = "postgres", vpc_security_groups = ["sg-1a"], db_cluster_identifier = "" }
  }
  override_data {
    target = data.aws_elasticache_replication_group.existing
    values = { primary_endpoint_address = "", configuration_endpoint_address = "corp.cache", port = 6380, auth_token_enabled = true, member_clusters = ["corp-2", "corp-1"] }
  }
  override_data {
    target = data.aws_elasticache_cluster.existing
    values = { security_group_ids = ["sg-2a"] }
  }
  override_data {
    target = data.aws_elasticache_serverless_cache.existing
    values = { engine = "valkey", endpoint = { address = "corp.serverless", port = 6379 }, security_group_ids = ["sg-3a"] }
  }
}

variables {
  stack                = "shop"
  environment          = "staging"
  region               = "eu-west-1"
  account_id           = "123456789012"
  services             = jsondecode(file("./tests/other/services.json")).services # test_files.py writes it
  secrets              = jsondecode(file("./tests/other/services.json")).secrets
  vpc_id               = "vpc-0a"
  subnets              = { public = [], private = ["subnet-2a"], data = ["subnet-3a", "subnet-3b"] }
  domain               = "shop.example.org"
  load_balancer        = "shared"
  rule_priority_offset = 20000
}

run "a_load_balancer_that_exists_gets_rules_and_nothing_else" {
  command = plan

  variables {
    certificate_domain = "shop.example.org"
    deployment_alarms  = true
    github_repository  = "acme/shop"
  }

  assert {
    condition     = length(aws_lb.main) + length(aws_lb_listener.http) + length(aws_lb_listener.https) + length(aws_security_group.load_balancer) + length(aws_vpc_security_group_ingress_rule.http) + length(aws_vpc_security_group_ingress_rule.https) + length(aws_s3_bucket.access_logs) == 0
    error_message = "no load balancer, listener, group or bucket of its logs is made"
  }
  assert {
    condition     = alltrue([for rule in concat(values(aws_lb_listener_rule.path), values(aws_lb_listener_rule.host)) : rule.listener_arn == data.aws_lb_listener.existing[0].arn && rule.priority > 20000 && rule.priority <= 25000])
    error_message = "the rules are in its listener, in the 5000 numbers after the offset"
  }
  assert {
    condition     = alltrue([for rule in concat(values(aws_lb_listener_rule.path), values(aws_lb_listener_rule.host)) : length(flatten([for each in rule.condition : [for header in each.host_header : header.values]])) > 0])
    error_message = "no rule takes the requests for other host names"
  }
  assert {
    condition     = length(distinct([for rule in concat(values(aws_lb_listener_rule.path), values(aws_lb_listener_rule.host)) : rule.priority])) == length(aws_lb_listener_rule.path) + length(aws_lb_listener_rule.host)
    error_message = "no two rules have one number"
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.service_from_load_balancer["shop"].referenced_security_group_id == "sg-0a" && aws_vpc_security_group_egress_rule.load_balancer_to_service["shop"].security_group_id == "sg-0a"
    error_message = "its group reaches our services"
  }
  assert {
    condition     = keys(aws_lb_listener_certificate.host) == ["arn:aws:acm:eu-west-1:123456789012:certificate/found"] && output.url == "https://shop.example.org" && output.load_balancer == "shared.elb"
    error_message = "the certificate is found by its name, and comes beside that of the listener"
  }
  assert {
    condition     = local.environment.hourly.ADMIN == "https://a.example.com" && local.environment.hourly.SHOP == "https://shop.example.org/hooks"
    error_message = "a job reaches services through it, by HTTPS: ${jsonencode(local.environment.hourly)}"
  }
  assert {
    condition     = !contains(keys(aws_cloudwatch_metric_alarm.main), "refused") && !contains(keys(aws_cloudwatch_metric_alarm.main), "errors") && toset(keys(local.alarms["shop-errors"].of)) == toset(["LoadBalancer", "TargetGroup"]) && local.alarms["shop-latency"].of.LoadBalancer == "app/shared/50dc6c495c0c9188"
    error_message = "no alarm is on the requests of others"
  }
  assert {
    condition     = one(aws_ecs_service.main["shop"].alarms).alarm_names == toset(["shop-staging-shop-errors", "shop-staging-shop-latency", "shop-staging-shop-unhealthy"])
    error_message = "a rollout fails by the alarms of its own service"
  }
  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.existing[0].statement : length(statement.condition) == 2 && statement.resources == toset(["arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/shared/50dc6c495c0c9188/f2f7dc8efc522ab2/*"])
      if contains(statement.actions, "elasticloadbalancing:DeleteRule")
    ]) && contains(flatten([for statement in data.aws_iam_policy_document.existing[0].statement : statement.actions]), "elasticloadbalancing:DeleteRule")
    error_message = "the deploy role deletes only rules with our tags, and only in that listener"
  }
  assert {
    condition     = one([for statement in data.aws_iam_policy_document.existing[0].statement : statement.resources if statement.sid == "RulesInGroupsThatExist"]) == toset(["arn:aws:ec2:eu-west-1:123456789012:security-group/sg-0a"])
    error_message = "it may put rules into the group of that load balancer, and no other"
  }
}

run "a_load_balancer_that_does_not_fit_is_refused" {
  command = plan

  override_data {
    target = data.aws_lb.existing[0]
    values = { arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/net/shared/5", load_balancer_type = "network", vpc_id = "vpc-0b", security_groups = ["sg-0a"] }
  }

  expect_failures = [data.aws_lb.existing]
}

run "a_listener_without_a_certificate_is_refused" {
  command = plan

  override_data {
    target = data.aws_lb_listener.existing[0]
    values = { arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/shared/5/6", protocol = "HTTP", certificate_arn = "" }
  }

  expect_failures = [data.aws_lb_listener.existing]
}

run "a_certificate_that_the_listener_has_is_refused" {
  command = plan

  variables {
    certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/theirs"
  }

  expect_failures = [data.aws_lb_listener.existing]
}

run "a_load_balancer_needs_the_network_that_it_is_in" {
  command = plan

  variables {
    vpc_id  = null
    subnets = null
  }

  expect_failures = [var.load_balancer]
}

run "databases_and_caches_that_exist_are_reached_and_not_made" {
  command = plan

  variables {
    services           = { for name, service in jsondecode(file("./tests/other/services.json")).services : name => service if !contains(["ledger", "views", "receipts"], name) }
    github_repository  = "acme/shop"
    existing_databases = { orders = { cluster = "corp", password = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:corp-AbCdEf:password::", kms_key = "arn:aws:kms:eu-west-1:123456789012:key/corp" } }
    existing_caches    = { sessions = { replication_group = "corp", password = "arn:aws:ssm:eu-west-1:123456789012:parameter/corp/cache" } }
  }

  assert {
    condition     = length(aws_db_instance.main) + length(aws_db_subnet_group.main) + length(aws_db_parameter_group.main) + length(aws_elasticache_replication_group.main) + length(aws_elasticache_subnet_group.main) + length(aws_ssm_parameter.database) + length(aws_ssm_parameter.cache) + length(aws_security_group.data) + length(aws_cloudwatch_log_group.database) + length(aws_cloudwatch_metric_alarm.storage) == 0
    error_message = "no database, cache, group or password is made"
  }
  assert {
    condition     = length([for name in keys(aws_cloudwatch_metric_alarm.main) : name if startswith(name, "orders-") || startswith(name, "sessions-")]) == 0 && length(flatten([for chart in local.charts : chart.metrics if chart.title == "Databases and caches"])) == 0
    error_message = "who owns them watches them"
  }
  assert {
    condition     = data.aws_elasticache_cluster.existing["sessions"].cluster_id == "corp-1" && aws_vpc_security_group_egress_rule.service_to_data["shop-sessions"].referenced_security_group_id == "sg-2a" && aws_vpc_security_group_ingress_rule.data_from_service["queue-orders"].security_group_id == "sg-1a"
    error_message = "who needs them is let into their groups"
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.data_from_service["shop-orders"].from_port == 5433 && aws_vpc_security_group_egress_rule.service_to_data["shop-sessions"].to_port == 6380
    error_message = "at the ports where they listen"
  }
  assert {
    condition     = local.environment.shop.ORDERS == "postgresql://keeper@corp.cluster-x.rds:5433/shop?application_name=shop&sslmode=require" && local.environment.shop.SESSIONS == "rediss://corp.cache:6380/2" && local.environment.shop.PGHOST == "corp.cluster-x.rds"
    error_message = "the services are told where they are: ${jsonencode(local.environment.shop)}"
  }
  assert {
    condition     = one([for secret in local.containers.shop.secrets : secret.valueFrom if secret.name == "PASSWORD"]) == "arn:aws:secretsmanager:eu-west-1:123456789012:secret:corp-AbCdEf:password::"
    error_message = "the password is read where its owner keeps it"
  }
  assert {
    condition     = one([for statement in data.aws_iam_policy_document.execution.statement : statement.resources if contains(statement.actions, "secretsmanager:GetSecretValue")]) == toset(["arn:aws:secretsmanager:eu-west-1:123456789012:secret:corp-AbCdEf"])
    error_message = "and that secret alone"
  }
  assert {
    condition     = alltrue([for document in [data.aws_iam_policy_document.execution, data.aws_iam_policy_document.job_execution["nightly"], data.aws_iam_policy_document.boundary] : contains(flatten([for statement in document.statement : tolist(statement.resources) if contains(statement.actions, "kms:Decrypt")]), "arn:aws:kms:eu-west-1:123456789012:key/corp")])
    error_message = "with the key that encrypts it"
  }
  assert {
    condition     = one([for each in output.compositions : each.secrets if endswith(each.parameter, "CACHE_URL")]) == { SESSIONS_PASSWORD = "arn:aws:ssm:eu-west-1:123456789012:parameter/corp/cache" } && one([for each in output.compositions : each.text if endswith(each.parameter, "DATABASE_URL")]) == "postgres://keeper:{POSTGRES_PASSWORD}@corp.cluster-x.rds:5433/shop?sslmode=require"
    error_message = "a URL is composed of it: ${jsonencode(output.compositions)}"
  }
  assert {
    condition     = length(setintersection(keys(output.given_secrets), ["POSTGRES_PASSWORD", "SESSIONS_PASSWORD"])) == 0
    error_message = "nobody has to store them once more"
  }
  assert {
    condition     = one([for statement in data.aws_iam_policy_document.existing[0].statement : statement.resources if statement.sid == "RulesInGroupsThatExist"]) == toset([for id in ["sg-0a", "sg-1a", "sg-2a"] : "arn:aws:ec2:eu-west-1:123456789012:security-group/${id}"])
    error_message = "the deploy role may put rules into their groups"
  }
}

run "an_instance_and_a_serverless_cache_without_a_password_are_reached_too" {
  command = plan

  variables {
    services           = { for name, service in jsondecode(file("./tests/other/services.json")).services : name => service if name != "shop" && name != "nightly" }
    existing_databases = { orders = { instance = "corp", password = "arn:aws:ssm:eu-west-1:123456789012:parameter/corp/orders" } }
    existing_caches    = { sessions = { serverless = "corp" } }
  }

  assert {
    condition     = local.existing_addresses == { orders = "corp.rds", sessions = "corp.serverless" } && local.existing_groups == { orders = "sg-1a", sessions = "sg-3a" }
    error_message = "each is looked up by its kind"
  }
}

run "a_cache_with_a_password_that_nobody_names_is_refused" {
  command = plan

  variables {
    existing_caches = { sessions = { replication_group = "corp", tls = false } }
  }

  expect_failures = [data.aws_elasticache_replication_group.existing]
}

run "databases_of_other_engines_are_refused" {
  command = plan

  variables {
    existing_databases = { orders = { instance = "corp", password = "arn:aws:ssm:eu-west-1:123456789012:parameter/corp/orders" } }
  }

  override_data {
    target = data.aws_db_instance.existing
    values = { address = "corp.rds", port = 3306, engine = "mysql", vpc_security_groups = ["sg-1a"], db_cluster_identifier = "corp" }
  }

  expect_failures = [data.aws_db_instance.existing]
}

run "what_names_nothing_or_no_secret_is_refused" {
  command = plan

  variables {
    existing_databases = { ledger = { password = "hunter2" } }
    existing_caches    = { orders = { replication_group = "corp", serverless = "corp" } }
  }

  expect_failures = [var.existing_databases, var.existing_caches]
}

run "a_repository_that_exists_gets_the_images_and_keeps_them" {
  command = plan

  variables {
    github_repository     = "acme/shop"
    existing_repositories = { shop = "corp/shop" }
  }

  override_data {
    target = data.aws_ecr_repository.existing
    values = { name = "corp/shop", arn = "arn:aws:ecr:eu-west-1:123456789012:repository/corp/shop", repository_url = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/corp/shop" }
  }

  assert {
    condition     = keys(aws_ecr_repository.service) == ["queue"] && keys(aws_ecr_lifecycle_policy.service) == ["queue"]
    error_message = "only the other service gets one, and rules of what expires"
  }
  assert {
    condition     = local.image_repositories.shop.url == "123456789012.dkr.ecr.eu-west-1.amazonaws.com/corp/shop"
    error_message = "its images go there"
  }
  assert {
    condition = alltrue([
      for document in [data.aws_iam_policy_document.boundary, data.aws_iam_policy_document.release] :
      anytrue([for statement in document.statement : contains(statement.resources, "arn:aws:ecr:eu-west-1:123456789012:repository/corp/shop")])
    ])
    error_message = "a release pushes there, and tasks may pull"
  }
}

run "one_repository_for_two_services_is_refused" {
  command = plan

  variables {
    existing_repositories = { shop = "corp/all", queue = "corp/all", reports = "corp/other" }
  }

  expect_failures = [var.existing_repositories]
}
