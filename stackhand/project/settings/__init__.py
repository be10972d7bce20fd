"""The settings in `.env`, and what `.env.example` declares of them."""
