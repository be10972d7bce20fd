"""What a plan of Terraform changes, and what it costs."""
