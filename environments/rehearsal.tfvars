# On this machine, against an AWS emulator, whose address `./inv rehearse` adds. All resources are discarded.
stack       = "stackhand"
environment = "rehearsal"
region      = "eu-west-1"
account_id  = "000000000000" # the emulator's

architecture        = "X86_64"
placeholder_image   = "python:3.13-alpine"
deletion_protection = false
log_days            = 1
alarm_email         = "" # the emulator sends no mail
