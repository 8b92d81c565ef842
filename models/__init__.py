"""Networks, their shift, their cards, every checkpoint layout."""
