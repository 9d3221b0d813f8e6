"""Beyond training: speed beside other libraries."""
