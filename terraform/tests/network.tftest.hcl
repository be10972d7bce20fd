# The network and the front door, as the variables shape them.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  stack       = "stackhand"
  environment = "staging"
  region      = "eu-west-1"
  account_id  = "123456789012"
}

run "by_default_it_is_small_and_closed" {
  command = plan

  assert {
    condition     = length(aws_subnet.private) == 2 && length(aws_nat_gateway.main) == 1 && length(aws_route.private) == 2
    error_message = "two zones share one NAT gateway"
  }
  assert {
    condition     = length(setintersection([for subnet in aws_subnet.data : subnet.cidr_block], [for subnet in concat(values(aws_subnet.public), values(aws_subnet.private)) : subnet.cidr_block])) == 0
    error_message = "the tiers have addresses of their own"
  }
  assert {
    condition     = aws_vpc_endpoint.s3[0].vpc_endpoint_type == "Gateway" && length(aws_vpc_endpoint.interface) == 0
    error_message = "only the endpoint that costs nothing"
  }
  assert {
    condition     = length(aws_lb_listener.https) == 0 && one(aws_lb_listener.http[0].default_action).type == "fixed-response"
    error_message = "without a certificate, HTTP only"
  }
  assert {
    condition     = alltrue([for name in keys(local.services) : local.containers[name].readonlyRootFilesystem]) && length(aws_iam_role_policy.exec) == 0
    error_message = "nobody writes into a container, and nobody gets a shell in it"
  }
  assert {
    condition     = aws_db_instance.main["postgres"].deletion_protection && !aws_db_instance.main["postgres"].multi_az
    error_message = "protected, without a standby"
  }
  assert {
    condition     = toset(keys(aws_lb_listener_rule.path)) == toset(["/api/*", "/health*", "/healthz", "/version", "/*", "/health"])
    error_message = "each path of the Compose file has its rule, and each health check leads to its own service"
  }
  assert {
    condition = (
      aws_lb_listener_rule.path["/healthz"].priority < aws_lb_listener_rule.path["/health*"].priority &&
      aws_lb_listener_rule.path["/health*"].priority < aws_lb_listener_rule.path["/*"].priority &&
      max([for rule in aws_lb_listener_rule.path : rule.priority]...) <= 50000
    )
    error_message = "what is written out longest is tried first"
  }
}

run "without_nat_tasks_reach_aws_from_inside" {
  command = plan

  variables {
    nat               = "none"
    exec              = true
    placeholder_image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/python:3.13"
  }

  assert {
    condition     = length(aws_nat_gateway.main) == 0 && length(aws_route.private) == 0
    error_message = "no egress route of the private network"
  }
  assert {
    condition     = toset(keys(aws_vpc_endpoint.interface)) == toset(["ecr.api", "ecr.dkr", "logs", "ssm", "kms", "ssmmessages"])
    error_message = "all that Fargate needs has an endpoint"
  }
  assert {
    condition     = length(aws_vpc_security_group_egress_rule.service_to_internet) == 0 && length(aws_vpc_security_group_egress_rule.service_to_s3) == 3
    error_message = "tasks may talk to the endpoints only"
  }
  assert {
    condition     = !anytrue([for name in keys(local.services) : local.containers[name].readonlyRootFilesystem]) && alltrue([for service in aws_ecs_service.main : service.enable_execute_command])
    error_message = "the agent of a shell can write its files"
  }
}

run "a_regional_nat_gateway_is_of_the_whole_network" {
  command = plan

  variables {
    nat = "regional"
  }

  assert {
    condition     = keys(aws_nat_gateway.main) == ["regional"] && aws_nat_gateway.main["regional"].availability_mode == "regional" && length(aws_eip.nat) == 0
    error_message = "one gateway, whose addresses are AWS's"
  }
  assert {
    condition     = length(aws_route.private) == 2 && length(aws_vpc_endpoint.interface) == 0
    error_message = "each zone leads to it"
  }
}

run "with_a_certificate_plain_http_only_redirects" {
  command = plan

  variables {
    certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/0"
    domain          = "status.example.com"
  }

  assert {
    condition     = one(aws_lb_listener.http[0].default_action).type == "redirect" && one(one(aws_lb_listener.http[0].default_action).redirect).status_code == "HTTP_301"
    error_message = "port 80 redirects"
  }
  assert {
    condition     = aws_lb_listener.https["https"].ssl_policy == "ELBSecurityPolicy-TLS13-1-2-2021-06" && output.url == "https://status.example.com"
    error_message = "TLS 1.3, under the certificate's name"
  }
}

run "an_existing_network_and_zone_are_used_and_not_made" {
  command = plan

  variables {
    vpc_id          = "vpc-0a"
    subnets         = { public = ["subnet-1a", "subnet-1b"], private = ["subnet-2a"], data = ["subnet-3a", "subnet-3b"] }
    certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/0"
    domain          = "shop.example.org"
    zone            = "example.org"
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
    target = data.aws_subnet.existing["public subnet-1b"]
    values = { vpc_id = "vpc-0a", availability_zone = "eu-west-1b" }
  }
  override_data {
    target = data.aws_subnet.existing["data subnet-3b"]
    values = { vpc_id = "vpc-0a", availability_zone = "eu-west-1b" }
  }

  assert {
    condition     = length(aws_vpc.main) + length(aws_subnet.public) + length(aws_subnet.private) + length(aws_subnet.data) + length(aws_nat_gateway.main) + length(aws_route_table.public) + length(aws_default_security_group.closed) + length(aws_flow_log.main) == 0
    error_message = "nothing of a network is made"
  }
  assert {
    condition     = toset(aws_lb.main[0].subnets) == toset(["subnet-1a", "subnet-1b"]) && toset(one(aws_ecs_service.main["api"].network_configuration).subnets) == toset(["subnet-2a"]) && toset(aws_db_subnet_group.main["stackhand-staging"].subnet_ids) == toset(["subnet-3a", "subnet-3b"]) && aws_security_group.service["api"].vpc_id == "vpc-0a"
    error_message = "all is in the network that exists"
  }
  assert {
    condition     = keys(aws_route53_record.host) == ["shop.example.org"] && one(aws_route53_record.host["shop.example.org"].alias).evaluate_target_health == false
    error_message = "the host name in the zone points at the load balancer"
  }
}

run "an_existing_network_that_does_not_fit_is_refused" {
  command = plan

  variables {
    vpc_id  = "vpc-0a"
    subnets = { public = ["subnet-1a"], private = ["subnet-2a"], data = ["subnet-3a"] }
  }

  override_data {
    target = data.aws_vpc.existing[0]
    values = { id = "vpc-0a", enable_dns_support = true, enable_dns_hostnames = false }
  }
  override_data {
    target = data.aws_subnet.existing
    values = { vpc_id = "vpc-0b", availability_zone = "eu-west-1a" }
  }

  expect_failures = [data.aws_vpc.existing, data.aws_subnet.existing]
}

run "an_existing_network_in_one_zone_is_refused" {
  command = plan

  variables {
    vpc_id  = "vpc-0a"
    subnets = { public = ["subnet-1a"], private = ["subnet-2a"], data = ["subnet-3a"] }
  }

  override_data {
    target = data.aws_vpc.existing[0]
    values = { id = "vpc-0a", enable_dns_support = true, enable_dns_hostnames = true }
  }
  override_data {
    target = data.aws_subnet.existing
    values = { vpc_id = "vpc-0a", availability_zone = "eu-west-1a" }
  }

  expect_failures = [terraform_data.existing_network]
}
