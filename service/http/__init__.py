"""Between waitress and the application: limits, the lane that never waits, ids, headers, errors, the log."""
