# What differs between environments: environments/NAME.tfvars. What a service needs is in ../docker-compose.yml.

variable "stack" {
  type        = string
  description = "Prefix of the names of all resources."

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,10}[a-z0-9]$", var.stack))
    error_message = "The stack's name has 2 to 12 lower-case letters, digits and hyphens, and starts with a letter: names on AWS are short."
  }

  # Load balancers (internal-), security groups (sg-), parameters (/aws, /ssm), buckets (amzn-, sthree-, xn--), databases and caches (--).
  validation {
    condition     = !can(regex("^(aws|ssm|(internal|sg|amzn|sthree)(-|$))|--", var.stack))
    error_message = "AWS reserves names that begin with aws, ssm, internal-, sg-, amzn- or sthree-, and refuses two hyphens in a row: use another name for the stack."
  }
}

variable "environment" {
  type        = string
  description = "The environment's name, as in its .tfvars file."

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,11}$", var.environment))
    error_message = "The environment's name has 2 to 12 lower-case letters and digits, and starts with a letter."
  }
}

variable "region" {
  type        = string
  description = "AWS region."

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "The region is a name such as eu-west-1."
  }
}

variable "account_id" {
  type        = string
  description = "The account of this environment; no other account is changed."

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "The account is twelve digits, in quotes."
  }
}

variable "services" {
  type        = any
  description = "The services with x-aws, as Compose resolves them for this environment: stackhand/infrastructure/services/tfvars.py writes them."
}

variable "secrets" {
  type        = map(string)
  default     = {}
  description = "The secret variables of the Compose files: generated, given, or required by Compose and not declared. No values."
}

variable "settings" {
  type        = map(string)
  default     = {}
  description = "Values of the Compose files' variables that differ from their defaults, such as LOG_LEVEL; they are in `services` already."
}

variable "vpc_cidr" {
  type        = string
  default     = "10.20.0.0/16"
  description = "The network's addresses."

  validation {
    condition     = try(cidrsubnet(var.vpc_cidr, 0, 0) == var.vpc_cidr && contains([16, 17, 18, 19], tonumber(split("/", var.vpc_cidr)[1])), false)
    error_message = "The network is a block from a /16, the largest of AWS, to a /19, whose subnets are the smallest for a load balancer: such as 10.20.0.0/16."
  }
}

variable "vpc_id" {
  type        = string
  default     = null
  description = "An existing network, instead of one of its own; its subnets are named in `subnets`."

  validation {
    condition     = var.vpc_id == null || can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "vpc_id is the id of a network: vpc-0123456789abcdef0."
  }

  validation {
    condition     = (var.vpc_id == null) == (var.subnets == null)
    error_message = "vpc_id and subnets go together: { public = [...], private = [...], data = [...] }."
  }

  validation {
    condition     = var.vpc_id == null || var.nat == "single"
    error_message = "nat is for a network of its own; in an existing one, the private subnets have their way to AWS already."
  }
}

variable "subnets" {
  type        = object({ public = list(string), private = list(string), data = list(string) })
  default     = null
  description = "Subnets of vpc_id: of the load balancer, of tasks (with a way to AWS, by NAT or endpoints), of databases and caches."
}

variable "zone" {
  type        = string
  default     = null
  description = "A public hosted zone of Route 53 in this account, such as example.org: domain and the host names of services in it point at the load balancer."

  validation {
    condition     = var.zone == null || var.domain != null
    error_message = "zone is for the host names of a certificate: set domain too, and certificate_arn, certificate_domain or load_balancer."
  }
}

variable "zones" {
  type        = number
  default     = 2
  description = "The number of availability zones."

  validation {
    condition     = contains([2, 3], var.zones)
    error_message = "Two or three availability zones: the load balancer and the database need two, and a region has three at least."
  }
}

variable "nat" {
  type        = string
  default     = "single"
  description = "How tasks reach the internet: one NAT gateway, one per zone, a regional one that AWS extends to each zone, or none, with only the endpoints of AWS services that they need."

  validation {
    condition     = contains(["single", "per_az", "regional", "none"], var.nat)
    error_message = "nat is single, per_az, regional or none."
  }
}

variable "existing_databases" {
  type        = map(object({ instance = optional(string), cluster = optional(string), password = string, kms_key = optional(string) }))
  default     = {}
  description = "Databases that exist, by the service they stand in for: an RDS instance or a cluster by its identifier, and the ARN of the secret with the password of its role."

  validation {
    condition     = alltrue([for each in values(var.existing_databases) : (each.instance == null) != (each.cluster == null)])
    error_message = "existing_databases name an instance or a cluster each: { postgres = { instance = \"orders\", password = \"arn:aws:ssm:...\" } }."
  }

  validation {
    condition     = alltrue([for each in values(var.existing_databases) : can(regex("^arn:aws[a-z-]*:(ssm:[a-z0-9-]+:[0-9]{12}:parameter/|secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:)", each.password))])
    error_message = "password is no password, and the ARN of what holds it: a parameter of SSM, or a secret of Secrets Manager (for a key of its JSON, with :KEY:: after it)."
  }

  validation {
    condition     = alltrue([for name in keys(var.existing_databases) : contains(keys(local.all_databases), name)]) || var.destroying
    error_message = "existing_databases are by the names of services with `managed: rds`."
  }
}

variable "existing_caches" {
  type        = map(object({ replication_group = optional(string), serverless = optional(string), password = optional(string), kms_key = optional(string), tls = optional(bool, true) }))
  default     = {}
  description = "Caches that exist, by the service they stand in for: a replication group or a serverless cache by its name, and the ARN of the secret with its password, if it has one."

  validation {
    condition     = alltrue([for each in values(var.existing_caches) : (each.replication_group == null) != (each.serverless == null)])
    error_message = "existing_caches name a replication_group or a serverless cache each: { redis = { replication_group = \"sessions\" } }."
  }

  validation {
    condition     = alltrue([for each in values(var.existing_caches) : each.password == null || can(regex("^arn:aws[a-z-]*:(ssm:[a-z0-9-]+:[0-9]{12}:parameter/|secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:)", each.password))])
    error_message = "password is no password, and the ARN of what holds it: a parameter of SSM, or a secret of Secrets Manager (for a key of its JSON, with :KEY:: after it)."
  }

  validation {
    condition     = alltrue([for name in keys(var.existing_caches) : contains(keys(local.all_caches), name)]) || var.destroying
    error_message = "existing_caches are by the names of services with `managed: elasticache`."
  }
}

variable "existing_repositories" {
  type        = map(string)
  default     = {}
  description = "Repositories of this account's ECR that exist, by the service whose images go there; each service has its own."

  validation {
    condition     = alltrue([for name in keys(var.existing_repositories) : contains(local.built, name)]) || var.destroying
    error_message = "existing_repositories are by the names of services that are built: { api = \"corp/shop-api\" }."
  }

  validation {
    condition     = length(distinct(values(var.existing_repositories))) == length(var.existing_repositories)
    error_message = "existing_repositories has one repository twice: images are tagged with their commit, so each service needs its own."
  }
}

variable "certificate_arn" {
  type        = string
  default     = null
  description = "ACM certificate of the load balancer. Without one it uses plain HTTP."

  validation {
    condition     = var.certificate_arn == null || can(regex("^arn:aws[a-z-]*:acm:[a-z0-9-]+:[0-9]{12}:certificate/", var.certificate_arn))
    error_message = "certificate_arn is the ARN of an ACM certificate."
  }

  validation {
    condition     = var.certificate_arn != null || var.certificate_domain != null || var.load_balancer != null || var.environment != "production"
    error_message = "production needs certificate_arn or certificate_domain: passwords and sessions do not travel over plain HTTP."
  }

  validation {
    condition     = var.certificate_arn == null || var.certificate_domain == null
    error_message = "certificate_domain stands in for certificate_arn: set one of them."
  }
}

variable "certificate_domain" {
  type        = string
  default     = null
  description = "The first name of an issued ACM certificate, such as *.example.org: looked up, in place of certificate_arn."

  validation {
    condition     = var.certificate_domain == null || can(regex("^(\\*\\.)?[a-z0-9.-]+$", var.certificate_domain))
    error_message = "certificate_domain is a host name as in the certificate: shop.example.org, or *.example.org."
  }
}

variable "load_balancer" {
  type        = string
  default     = null
  description = "The name of an existing application load balancer in vpc_id, instead of one of its own: rules are added to its HTTPS listener."

  validation {
    condition     = var.load_balancer == null || can(regex("^[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?$", var.load_balancer))
    error_message = "load_balancer is the name of a load balancer: up to 32 letters, digits and hyphens."
  }

  validation {
    condition     = var.load_balancer == null || var.vpc_id != null
    error_message = "load_balancer needs vpc_id and subnets: it is in a network that exists, and reaches tasks in no other."
  }
}

variable "listener_port" {
  type        = number
  default     = 443
  description = "Where the HTTPS listener of load_balancer listens."

  validation {
    condition     = var.listener_port >= 1 && var.listener_port <= 65535
    error_message = "listener_port is a port, 1 to 65535."
  }
}

variable "rule_priority_offset" {
  type        = number
  default     = 0
  description = "The rules in the listener of load_balancer have the 5000 priorities after this number: each environment there has an offset of its own."

  validation {
    condition     = var.rule_priority_offset >= 0 && var.rule_priority_offset <= 45000
    error_message = "rule_priority_offset is 0 to 45000: AWS has the priorities 1 to 50000, and an environment takes 5000 of them."
  }

  validation {
    condition     = var.rule_priority_offset == 0 || var.load_balancer != null
    error_message = "rule_priority_offset is for the listener of an existing load_balancer."
  }
}

variable "certificate_arns" {
  type        = list(string)
  default     = []
  description = "Further ACM certificates, for host names of services (x-aws.host) that certificate_arn is not for."

  validation {
    condition     = length(var.certificate_arns) == 0 || var.domain != null
    error_message = "certificate_arns are beside certificate_arn, which the load balancer needs first."
  }
}

variable "domain" {
  type        = string
  default     = null
  description = "The host name that the certificate is for; point it at the load balancer."

  validation {
    condition     = (var.domain == null) == (var.certificate_arn == null && var.certificate_domain == null && var.load_balancer == null)
    error_message = "domain goes with certificate_arn, certificate_domain or load_balancer: a certificate is for that name."
  }
}

variable "architecture" {
  type        = string
  default     = "ARM64"
  description = "The processor architecture of tasks and images."

  validation {
    condition     = contains(["ARM64", "X86_64"], var.architecture)
    error_message = "architecture is ARM64 or X86_64."
  }
}

variable "placeholder_image" {
  type        = string
  default     = "public.ecr.aws/docker/library/python@sha256:79e7a9b9ff1cbceff819f856fb374477792a5967759d94df266de7b7b4120e6f" # 3.13-alpine, as in images.lock
  description = "An image with Python, which answers the health checks until the first release is deployed."

  validation {
    condition     = var.nat != "none" || local.emulated || can(regex("\\.dkr\\.ecr\\.", var.placeholder_image))
    error_message = "Without NAT, tasks pull from ECR only: push an image with Python to this account's ECR, and name it as placeholder_image."
  }
}

variable "spot_weight" {
  type        = number
  default     = 0
  description = "Percentage of tasks beyond each service's first that run on Fargate Spot: cheaper, but stopped with two minutes' notice."

  validation {
    condition     = var.spot_weight >= 0 && var.spot_weight <= 100
    error_message = "spot_weight is a percentage, 0 to 100."
  }
}

variable "exec" {
  type        = bool
  default     = false
  description = "Whether `./inv cloud.exec` may open a shell in a running task; its containers can then write to their root file system."
}

variable "database_multi_az" {
  type        = bool
  default     = false
  description = "Whether databases have a standby in another zone."
}

variable "apply_immediately" {
  type        = bool
  default     = false
  description = "Whether a change that restarts a database happens with the deploy; otherwise in its next maintenance window, as a plan says."
}

variable "database_backup_days" {
  type        = number
  default     = 7
  description = "Days that automatic backups are kept."

  validation {
    condition     = var.database_backup_days >= 7 && var.database_backup_days <= 35
    error_message = "Backups are kept 7 to 35 days."
  }
}

variable "cache_replicas" {
  type        = number
  default     = 0
  description = "Replicas of each cache, in other zones, to fail over to."

  validation {
    condition     = var.cache_replicas >= 0 && var.cache_replicas <= 5
    error_message = "A cache has 0 to 5 replicas."
  }
}

variable "deployment_alarms" {
  type        = bool
  default     = false
  description = "Whether an alarm on errors, latency or unhealthy tasks fails a rollout; ECS then waits for as long as the slowest of them takes, some minutes."
}

variable "log_days" {
  type        = number
  default     = 365
  description = "Days that logs are kept."

  validation {
    condition     = contains([1, 3, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827], var.log_days)
    error_message = "log_days is one of CloudWatch's numbers: 1, 3, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827."
  }
}

variable "secrets_version" {
  type        = number
  default     = 1
  description = "Raise it by one to generate new passwords with the next deploy."

  validation {
    condition     = var.secrets_version >= 1 && floor(var.secrets_version) == var.secrets_version
    error_message = "secrets_version is a whole number, 1 at first."
  }
}

variable "kept_images" {
  type        = number
  default     = 30
  description = "Number of images kept per repository; rollbacks reach no further back."

  validation {
    condition     = var.kept_images >= 10
    error_message = "At least 10 images are kept: a rollback needs its images."
  }
}

variable "deletion_protection" {
  type        = bool
  default     = true
  description = "Whether databases and the load balancer, and non-empty buckets and repositories, are protected against deletion."

  validation {
    condition     = var.deletion_protection || var.environment != "production" || var.destroying
    error_message = "production keeps its deletion protection; ./inv destroy lifts it."
  }
}

variable "destroying" {
  type        = bool
  default     = false
  description = "Set only by ./inv, while it removes a database or the environment."
}

variable "snapshot_identifiers" {
  type        = map(string)
  default     = {}
  description = "The snapshot to create a database from, by its name in the Compose file. An existing database stays unchanged."

  validation {
    condition     = alltrue([for name in keys(var.snapshot_identifiers) : contains(keys(merge(local.databases, local.clusters)), name)]) || var.destroying
    error_message = "snapshot_identifiers are by the names of services with `managed: rds`: { postgres = \"shop-staging-postgres-final-20260131-120000\" }."
  }
}

variable "final_snapshot" {
  type        = string
  default     = "final"
  description = "Suffix of the snapshot name of a deleted database; null for no snapshot."
}

variable "alarm_email" {
  type        = string
  default     = null
  description = "The recipient of alarms; AWS first sends a mail whose link must be opened. Empty: none, and a plan warns."

  validation {
    condition     = length(compact([var.alarm_email])) == 0 || can(regex("^[^@\\s]+@[^@\\s]+[.][^@\\s]+$", var.alarm_email))
    error_message = "alarm_email is an e-mail address, or empty."
  }
}

variable "github_repository" {
  type        = string
  default     = null
  description = "owner/name of the repository whose workflows may plan and deploy this environment; null for none."

  validation {
    condition     = var.github_repository == null || can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "github_repository is owner/name, without a wildcard: it decides who may deploy."
  }
}

variable "github_ids" {
  type        = object({ owner = string, repository = string })
  default     = null
  description = "The ids of owner and repository, which GitHub puts into the subject of its tokens for repositories created, renamed or opted in since July 2026; no other subject is then accepted."

  validation {
    condition     = var.github_ids == null || can(regex("^[0-9]+/[0-9]+$", "${var.github_ids.owner}/${var.github_ids.repository}"))
    error_message = "github_ids are two numbers, in quotes: gh api repos/OWNER/NAME --jq '.owner.id, .id'."
  }
}

variable "github_workflow" {
  type        = string
  default     = ".github/workflows/deploy.yml@refs/heads/main"
  description = "The only workflow file and branch whose jobs may deploy this environment; null for any job of the GitHub environment."

  validation {
    condition     = var.github_workflow == null || can(regex("^\\.github/workflows/[A-Za-z0-9._-]+\\.ya?ml@refs/heads/[A-Za-z0-9._/-]+$", coalesce(var.github_workflow, "-")))
    error_message = "github_workflow is a file and its branch, without a wildcard: .github/workflows/deploy.yml@refs/heads/main."
  }
}

variable "github_provider_arn" {
  type        = string
  default     = null
  description = "The account's existing identity provider for GitHub, if any: an account can have only one."
}

variable "aws_endpoint" {
  type        = string
  default     = null
  description = "Address of an AWS emulator for this machine, such as http://127.0.0.1:4566. `./inv rehearse` sets it."
}

variable "aws_endpoint_of_tasks" {
  type        = string
  default     = null
  description = "Address of an AWS emulator for its tasks, if it differs."
}
