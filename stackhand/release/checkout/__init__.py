"""What is released: a commit of this checkout, and its files."""
