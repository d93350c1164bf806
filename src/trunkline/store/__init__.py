"""All SQL: tables, statements and the connection to the database."""
