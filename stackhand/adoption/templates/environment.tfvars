# One environment on AWS; Stackhand's Terraform reads this file. Another one is another file: environments/production.tfvars.
stack       = "@STACK@" # prefix of all names there: 2 to 12 lower-case letters, digits and hyphens
environment = "@ENVIRONMENT@"
region      = "@REGION@"
account_id  = "@ACCOUNT@" # nothing is done in another account

nat         = "single" # one NAT gateway; "per_az" for production
spot_weight = 50       # percent of the tasks on spare capacity, which AWS may take back at any time
exec        = true     # allows ./inv cloud.exec

alarm_email = "" # who is told of alarms, and has to open the link in a mail from AWS first; empty: nobody

# For deploys from GitHub Actions, without a stored key:
# github_repository = "owner/name"
github_workflow = ".github/workflows/stackhand.yml@refs/heads/@BRANCH@" # the only file and branch that may deploy

# Values of variables in the Compose files that differ here:
# settings = { LOG_LEVEL = "warning" }
