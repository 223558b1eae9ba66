"""What tests share: small runs, pages and servers to look at, and ways to break things."""
