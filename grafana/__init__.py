"""Grafana's dashboards, written from the list of all metrics: `python -m grafana` writes them."""
