"""What is compared: one file a measure; each says what a bound engine needs to know of it."""
