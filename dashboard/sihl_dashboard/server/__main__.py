"""`python -m sihl_dashboard.server`."""

from sihl_dashboard.server.main import main

main()
