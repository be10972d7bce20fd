# What each rule of variables.tf refuses.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  stack       = "stackhand"
  environment = "staging"
  region      = "eu-west-1"
  account_id  = "123456789012"
}

run "names_numbers_and_words_that_aws_would_refuse_much_later" {
  command = plan

  variables {
    stack                = "Stack_Hand"
    environment          = "a-very-long-environment"
    region               = "Ireland"
    account_id           = "1234"
    zones                = 1
    vpc_cidr             = "10.0.0.0/28"
    architecture         = "arm"
    spot_weight          = 101
    database_backup_days = 1
    cache_replicas       = 9
    log_days             = 8
    secrets_version      = 0
    kept_images          = 3
    alarm_email          = "the team"
    github_repository    = "acme/*"
    github_ids           = { owner = "acme", repository = "*" }
    github_workflow      = ".github/workflows/*@refs/heads/main"
    snapshot_identifiers = { redis = "not-a-database" }
  }

  expect_failures = [
    var.stack, var.environment, var.region, var.account_id, var.zones, var.vpc_cidr, var.architecture, var.spot_weight,
    var.database_backup_days, var.cache_replicas, var.log_days, var.secrets_version, var.kept_images, var.alarm_email, var.github_repository,
    var.github_ids, var.github_workflow, var.snapshot_identifiers,
  ]
}

run "a_word_that_is_none_of_nat" {
  command = plan

  variables {
    stack    = "internal"    # of load balancers
    vpc_cidr = "10.0.0.0/20" # whose subnets are too small for one
    nat      = "two"
  }

  expect_failures = [var.nat, var.stack, var.vpc_cidr]
}

run "production_without_a_certificate_or_without_protection" {
  command = plan

  variables {
    environment         = "production"
    deletion_protection = false
  }

  expect_failures = [var.certificate_arn, var.deletion_protection]
}

run "a_certificate_that_is_none" {
  command = plan

  variables {
    stack           = "aws-shop"    # of parameters
    vpc_cidr        = "10.0.1.0/16" # an address in the network, not the network's
    certificate_arn = "the-certificate"
    domain          = "status.example.com"
  }

  expect_failures = [var.certificate_arn, var.stack, var.vpc_cidr]
}

run "a_certificate_for_no_name" {
  command = plan

  variables {
    stack           = "shop--eu"    # of databases
    vpc_cidr        = "10.0.0.0/15" # larger than AWS has them
    certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/0"
  }

  expect_failures = [var.domain, var.stack, var.vpc_cidr]
}

run "without_nat_a_placeholder_from_the_internet" {
  command = plan

  variables {
    nat = "none"
  }

  expect_failures = [var.placeholder_image]
}
