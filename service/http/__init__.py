"""What stands between waitress and the application: limits, the fast path, request ids, headers, errors, the log."""
