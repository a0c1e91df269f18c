"""The Dagster assets: plan tasks, collect receipts, commit once a partition."""
