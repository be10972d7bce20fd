"""What is wrong with this machine or the stack, and how to fix it."""
