"""Pages: HTML from templates that escape whatever they are given, and the tables that stand on them."""
