"""Terraform: the program, its runs and the folder it runs in."""
