# The profile of production: nothing that is there only once.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  stack             = "stackhand"
  environment       = "production"
  region            = "eu-west-1"
  account_id        = "123456789012"
  certificate_arn   = "arn:aws:acm:eu-west-1:123456789012:certificate/0"
  domain            = "status.example.com"
  nat               = "per_az"
  database_multi_az = true
  cache_replicas    = 1
  deployment_alarms = true
  github_repository = "acme/shop"
  github_ids        = { owner = "123", repository = "456" }
}

run "nothing_is_there_only_once_and_tls_is_all_there_is" {
  command = plan

  assert {
    condition     = length(aws_nat_gateway.main) == 2 && aws_db_instance.main["postgres"].multi_az
    error_message = "a NAT gateway in each zone, a standby of the database"
  }
  assert {
    condition     = aws_elasticache_replication_group.main["redis"].num_cache_clusters == 2 && aws_elasticache_replication_group.main["redis"].automatic_failover_enabled
    error_message = "the cache has somebody to fail over to"
  }
  assert {
    condition     = aws_lb.main[0].enable_deletion_protection && !aws_ecr_repository.service["api"].force_delete && !aws_s3_bucket.access_logs[0].force_destroy
    error_message = "what holds something is not deleted in passing"
  }
  assert {
    condition     = alltrue([for service in aws_ecs_service.main : [for each in service.capacity_provider_strategy : each.capacity_provider] == ["FARGATE"]])
    error_message = "no task of production can be taken away"
  }
  assert {
    condition     = alltrue([for service in aws_ecs_service.main : length(service.alarms) == 1]) && contains(one(aws_ecs_service.main["api"].alarms).alarm_names, "stackhand-production-api-unhealthy") && one(aws_ecs_service.main["api"].alarms).rollback
    error_message = "a rollout that makes an alarm ring goes back"
  }
  assert {
    condition     = aws_lb_listener.https["https"].routing_http_response_strict_transport_security_header_value == "max-age=31536000"
    error_message = "Strict-Transport-Security on every answer"
  }
}

run "github_is_let_in_by_its_numbers_only" {
  command = plan

  assert {
    condition     = local.github_claims.deploy.sub == "repo:acme@123/shop@456:environment:production" && local.github_claims.plan.sub == "repo:acme@123/shop@456:pull_request"
    error_message = "whoever takes the name over has other numbers"
  }
  assert {
    condition     = local.github_claims.deploy.job_workflow_ref == "acme/shop/.github/workflows/deploy.yml@refs/heads/main"
    error_message = "only main's own workflow deploys"
  }
}

run "github_is_let_in_by_its_name_where_its_numbers_are_not_said" {
  command = plan

  variables {
    github_ids      = null
    github_workflow = null
  }

  assert {
    condition     = local.github_claims == { plan = { sub = "repo:acme/shop:pull_request" }, deploy = { sub = "repo:acme/shop:environment:production" } }
    error_message = "an older repository sends no numbers"
  }
}
