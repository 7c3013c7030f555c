"""The `attento` command: one verb a file, and nothing worth reusing. Knows argv; all work is done on lower floors."""
