"""The database's side of the historian: numbered migrations, and what kind of server runs them."""
