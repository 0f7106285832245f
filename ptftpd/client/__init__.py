"""The TFTP client: its command line, its prompt, and the transfers behind them."""
