"""The cloud side of the stack: what Terraform is told, what it says, what it would cost."""
