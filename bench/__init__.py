"""Load and cost of the service beside a bare socket server; README.md explains the table."""
