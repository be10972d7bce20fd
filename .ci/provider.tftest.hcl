# A plan with the genuine provider, without an account: what it validates itself (ARNs, enums, arguments that exclude each other).

provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "none"
  secret_key                  = "none"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
}

override_data {
  target = data.aws_caller_identity.current
  values = { account_id = "123456789012" }
}

override_data {
  target = data.aws_availability_zones.available
  values = { names = ["eu-west-1a", "eu-west-1b", "eu-west-1c"] }
}

variables {
  stack             = "stackhand"
  environment       = "staging"
  region            = "eu-west-1"
  account_id        = "123456789012"
  github_repository = "acme/shop"
  github_ids        = { owner = "123", repository = "456" }
  alarm_email       = "team@example.com"
}

run "staging" {
  command = plan

  variables {
    spot_weight = 50
    exec        = true
  }
}

run "production" {
  command = plan

  variables {
    environment       = "production"
    certificate_arn   = "arn:aws:acm:eu-west-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
    domain            = "status.example.com"
    nat               = "per_az"
    database_multi_az = true
    cache_replicas    = 1
  }
}

run "without_nat" {
  command = plan

  variables {
    nat               = "none"
    placeholder_image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/python:3"
  }
}
