"""What runs in the emulator's own environment, not in ours: ministack, and what it lacks of AWS."""
