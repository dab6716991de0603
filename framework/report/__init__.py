"""What people see: rich tables, live displays, figures."""
