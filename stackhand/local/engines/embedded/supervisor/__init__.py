"""supervisord, and the processes that it starts."""
