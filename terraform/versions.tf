# Versions, providers, the state's backend, and common names.

terraform {
  required_version = ">= 1.11" # write-only arguments: no secret is in the state

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.69" # has write-only passwords for caches too
    }
    random = {
      source  = "hashicorp/random"
      version = "~> 3.7"
    }
  }

  # The bucket depends on the environment: `./inv bootstrap -e NAME` creates it and `./inv plan -e NAME` passes it.
  backend "s3" {
    key          = "terraform.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = merge(local.tags, { ManagedBy = "terraform" })
  }
}

data "aws_caller_identity" "current" {}

data "aws_availability_zones" "available" {
  #checkov:skip=CKV_AWS_394: the first ones by name are used, which a new one at the end does not change
  state = "available"
}

locals {
  name    = "${var.stack}-${var.environment}"
  tags    = { Stack = var.stack, Environment = var.environment } # tell whose a thing is, also to the policies of github.tf
  account = data.aws_caller_identity.current.account_id
  zones   = slice(sort(data.aws_availability_zones.available.names), 0, var.zones)

  # An emulator on this machine has an authority of its own for certificates, which its tasks trust: stackhand/rehearsal/ministack/encryption.py.
  emulated = var.aws_endpoint != null
}
