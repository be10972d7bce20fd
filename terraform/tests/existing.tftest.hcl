# What exists already and is named: a load balancer with its listener, a certificate.

mock_provider "aws" {
  source = "./tests/mocks"

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
    condition     = !contains(keys(aws_cloudwatch_metric_alarm.main), "refused") && !contains(keys(aws_cloudwatch_metric_alarm.main), "errors") && toset(keys(local.alarms["shop-errors"].of)) == toset(["LoadBalancer", "TargetGroup"]) && local.alarms["shop-latency"].of.LoadBalancer == "app/shared/50dc6c495c0c9188"
    error_message = "no alarm is on the requests of others"
  }
  assert {
    condition     = one(aws_ecs_service.main["shop"].alarms).alarm_names == toset(["shop-staging-shop-errors", "shop-staging-shop-latency", "shop-staging-shop-unhealthy"])
    error_message = "a rollout fails by the alarms of its own service"
  }
  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.roles.statement : length(statement.condition) == 2 && statement.resources == toset(["arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/shared/50dc6c495c0c9188/f2f7dc8efc522ab2/*"])
      if contains(statement.actions, "elasticloadbalancing:DeleteRule")
    ]) && contains(flatten([for statement in data.aws_iam_policy_document.roles.statement : statement.actions]), "elasticloadbalancing:DeleteRule")
    error_message = "the deploy role deletes only rules with our tags, and only in that listener"
  }
  assert {
    condition     = one([for statement in data.aws_iam_policy_document.roles.statement : statement.resources if statement.sid == "RulesInGroupsThatExist"]) == toset(["arn:aws:ec2:eu-west-1:123456789012:security-group/sg-0a"])
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
