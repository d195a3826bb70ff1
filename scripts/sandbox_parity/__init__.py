"""What scripts/sandbox_parity.py is made of."""
