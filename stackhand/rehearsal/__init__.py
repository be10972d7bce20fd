"""A whole deploy on this machine, against an AWS emulator that runs real containers."""
