"""`python -m stackhand` is `./inv` without the making of its environment."""

from stackhand.program import main

main()
