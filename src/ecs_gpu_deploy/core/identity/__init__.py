"""Who a job says it is, and what STS says to that."""
