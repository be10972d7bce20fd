# The whole of it on this machine, against an AWS emulator: see `./inv rehearse`. Whatever it makes is thrown away.
stack       = "stackhand"
environment = "rehearsal"
region      = "eu-west-1"
account_id  = "000000000000" # the emulator's

aws_endpoint        = "http://172.17.0.1:4566" # as containers reach the emulator
architecture        = "X86_64"
placeholder_image   = "python:3.13-alpine"
deletion_protection = false
final_snapshot      = null
log_days            = 1
