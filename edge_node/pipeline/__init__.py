"""From raw values to what is worth publishing: pure functions over columns, one batch a poll."""
