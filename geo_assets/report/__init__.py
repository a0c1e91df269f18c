"""What a run did and what it cost, for people and for programs: figures of its jobs, tables, charts and pages."""
