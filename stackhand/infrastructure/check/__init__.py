"""What AWS would refuse, without an account."""
