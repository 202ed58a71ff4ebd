"""What people read: progress, log lines, summary, result."""
