"""`python -m gateway` is the command `linescribe`."""

from gateway.cli import main

if __name__ == "__main__":
    main()
