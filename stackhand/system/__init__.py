"""What every package asks of this machine: run a program, wait, ask by HTTP."""
