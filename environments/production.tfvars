# For users: no single point of failure. Put your own account, certificate and host name here.
stack       = "stackhand"
environment = "production"
region      = "eu-west-1"
account_id  = "123456789012"

certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
domain          = "status.example.com"

nat                  = "per_az"
database_multi_az    = true
database_backup_days = 30
cache_replicas       = 1

alarm_email = "" # who is told of alarms, and has to open the link in a mail from AWS first; empty: nobody

settings = { LOG_LEVEL = "warning" }
