"""`python -m sihl_dashboard.cli`."""

from sihl_dashboard.cli.main import main

if __name__ == "__main__":
    main()
