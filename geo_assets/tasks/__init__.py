"""What a worker runs: one module a product, no Dagster."""
