# The longest names, of which AWS allows some fewer letters: tests/longest/docker-compose.yml.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  stack       = "acme-billing"
  environment = "preproductio"
  region      = "ap-southeast-2"
  account_id  = "123456789012"
  services    = jsondecode(file("./tests/longest/services.json")).services # test_files.py writes it
}

run "they_are_cut_and_stay_different" {
  command = plan

  assert {
    condition     = length(distinct([for group in aws_lb_target_group.service : group.name])) == 2 && alltrue([for group in aws_lb_target_group.service : can(regex("^acme-billing-preproductio-[a-z0-9-]{0,5}[a-z0-9]$", group.name))])
    error_message = "two target groups, of 32 letters at most: ${jsonencode([for group in aws_lb_target_group.service : group.name])}"
  }
  assert {
    condition     = length(distinct([for cache in aws_elasticache_replication_group.main : cache.replication_group_id])) == 2 && alltrue([for cache in aws_elasticache_replication_group.main : length(cache.replication_group_id) <= 40 && can(regex("^[a-z0-9]+(-[a-z0-9]+)*$", cache.replication_group_id))])
    error_message = "two caches, of 40 letters at most: ${jsonencode([for cache in aws_elasticache_replication_group.main : cache.replication_group_id])}"
  }
  assert {
    condition     = aws_elasticache_replication_group.main["recommendation_of_shop-cache"].replication_group_id == "acme-billing-preproductio-recomme-3bba38"
    error_message = "stackhand/project/environments.py cuts names as terraform/names.tf does"
  }
  assert {
    condition     = alltrue([for name, cache in aws_elasticache_replication_group.main : aws_cloudwatch_metric_alarm.main["${name}-memory"].dimensions.CacheClusterId == "${cache.replication_group_id}-001"])
    error_message = "an alarm watches the cache by the name that it has"
  }
  assert {
    condition     = aws_db_instance.main["recommendations_data"].db_name == "postgres" && aws_db_instance.main["recommendations_data"].username == "postgres"
    error_message = "a database and its user have the names that the image gives them"
  }
  assert {
    condition = alltrue([
      for name in [
        aws_db_instance.main["recommendations_data"].identifier, aws_db_parameter_group.main["recommendations_data"].name,
        aws_elasticache_parameter_group.main["recommendation_of_shop-cache"].name,
        aws_cloudwatch_metric_alarm.main["recommendations_data-cpu"].dimensions.DBInstanceIdentifier,
      ] : can(regex("^acme-billing-preproductio-(recommendations-data|recommendation-of-shop-cache)(-16|-valkey8)?$", name))
    ])
    error_message = "RDS and ElastiCache have no underscores in names"
  }
  assert {
    condition     = aws_cloudwatch_log_group.database["recommendations_data/postgresql"].name == "/aws/rds/instance/acme-billing-preproductio-recommendations-data/postgresql"
    error_message = "a log group is what it was to Terraform, or an apply would remove it with its lines"
  }
  assert {
    condition     = contains(keys(aws_ecs_service.main), "recommendations_of_them-api1") && aws_ecs_service.main["recommendations_of_them-api1"].name == "recommendations_of_them-api1"
    error_message = "ECS has them, and Service Connect too"
  }
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.data_from_service) == 5 && alltrue([for key in ["shop/a-b", "shop-a/b"] : contains(keys(aws_vpc_security_group_ingress_rule.data_from_service), key)])
    error_message = "of shop and a-b, and of shop-a and b, each has its rule: ${jsonencode(keys(aws_vpc_security_group_ingress_rule.data_from_service))}"
  }
  assert {
    condition     = !contains([for statement in data.aws_iam_policy_document.execution.statement : statement.sid], "PullImages")
    error_message = "IAM refuses a statement without a resource"
  }
}

run "two_databases_that_rds_would_call_the_same" {
  command = plan

  variables {
    services = merge(
      jsondecode(file("./tests/longest/services.json")).services,
      { a_b = jsondecode(file("./tests/longest/services.json")).services["a-b"] },
    )
  }

  expect_failures = [aws_ecs_cluster.main]
}
