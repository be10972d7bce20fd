"""The cloud side of the stack: what Terraform gets, plans and prints, and what it would cost."""
