# For trying releases: small, one NAT gateway, no standby. Put your own account number here.
stack       = "stackhand"
environment = "staging"
region      = "eu-west-1"
account_id  = "123456789012"

nat         = "single"
spot_weight = 50
exec        = true

alarm_email = "" # who is told of alarms, and has to open the link in a mail from AWS first; empty: nobody
