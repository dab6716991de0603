"""What people see of the records of the testbed: tables, CSV, and pages of the documentation."""
